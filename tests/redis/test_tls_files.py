"""The TLS files: what they become, when they are read again, and how long they are good for."""

import asyncio
import errno
import os
import ssl
from pathlib import Path

import pytest

from rppam.config.errors import ConfigValueError
from rppam.crypto.certificate_expiry import days_left, expiry_warning
from rppam.doctor.diagnosis import code_of
from rppam.kernel.instant import Instant, WallMs
from rppam.kernel.secret import Secret
from rppam.redis.errors import StoreTlsFailed
from rppam.redis.tls import AUTHORITIES_MAX, TlsFiles, server_certificate_warning
from tests.support.authority import DAY, NOW, Authority
from tests.support.late_threads import LateThreads

DAY_MS = 24 * 3_600_000
WALL = WallMs(int(NOW.timestamp() * 1000))


class Clock:
    def __init__(self) -> None:
        self.wall = WALL

    def now(self) -> Instant:
        return Instant(0)

    def wall_ms(self) -> WallMs:
        return self.wall


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def files(ca: Path | None = None, pfx: Path | None = None, password: str = "päss", clock: Clock | None = None):
    return TlsFiles(ca_path=ca, cert_path=pfx, cert_password=Secret(password), clock=clock or Clock())


def replaced(path: Path, content: bytes) -> None:
    """As deployment tools do it: write beside, rename over."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    os.utime(beside, ns=(1, 1))
    beside.replace(path)


async def test_only_tls_1_2_and_later_and_names_are_checked(authority: Authority) -> None:
    context = await files(authority.path).current()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert [ca["subject"] for ca in context.get_ca_certs()] == [((("commonName", "test authority"),),)]


async def test_without_an_authority_the_systems_are_trusted() -> None:
    assert (await files().current()).cert_store_stats() == ssl.create_default_context().cert_store_stats()


async def test_files_that_did_not_change_are_not_read_again(authority: Authority) -> None:
    tls = files(authority.path, authority.pfx())
    loaded = tls.load()
    assert await tls.current() is loaded
    assert await tls.current() is loaded


async def test_a_renewed_certificate_is_picked_up(authority: Authority) -> None:
    path = authority.pfx("old-node")
    tls = files(authority.path, path)
    first = tls.load()
    assert tls.client is not None
    assert tls.client.subject == "CN=old-node"
    replaced(path, authority.pfx("new-node", file="other.pfx").read_bytes())
    second = await tls.current()
    assert second is not first
    assert tls.client.subject == "CN=new-node"


async def test_a_new_file_that_is_wrong_is_told_and_the_old_one_stays(authority: Authority) -> None:
    path = authority.pfx()
    tls = files(authority.path, path)
    first = tls.load()
    good = path.read_bytes()
    replaced(path, b"-----BEGIN CERTIFICATE-----")
    assert await tls.current() is first
    (warning,) = tls.warnings()[:1]
    assert warning.startswith("changed TLS files cannot be used, those read before stay in use: redis.tlsCertPath")
    path.unlink()
    assert await tls.current() is first
    assert "No such file" in tls.warnings()[0]
    path.write_bytes(good)
    assert await tls.current() is not first
    assert tls.problem == ""


async def test_new_files_that_could_not_be_read_once_are_read_for_the_next_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "next").mkdir()
    old = Authority(tmp_path)
    tls = files(old.path)
    first = tls.load()
    replaced(old.path, Authority(tmp_path / "next", "next authority").own.pem())

    asyncio.get_running_loop().set_default_executor(LateThreads())
    assert await tls.current() is first
    assert "RuntimeError: can't start new thread. It is tried again" in tls.warnings()[0]

    def no_file_left(**_options: object) -> ssl.SSLContext:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(ssl, "create_default_context", no_file_left)
        assert await tls.current() is first
        assert await tls.current() is first
    assert caplog.text.count("Too many open files") == 1, "told once"

    assert await tls.current() is not first
    assert [one.subject for one in tls.authorities] == ["CN=next authority"]
    assert tls.problem == ""


async def test_files_that_are_back_as_they_were_are_no_problem_any_more(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    authority = Authority(tmp_path / "tls")
    tls = files(authority.path)
    first = tls.load()
    away = (tmp_path / "tls").rename(tmp_path / "away")
    assert await tls.current() is first
    assert "No such file" in tls.problem
    away.rename(tmp_path / "tls")
    assert await tls.current() is first
    assert tls.problem == ""


async def test_one_change_is_read_once_by_all_who_connect(authority: Authority) -> None:
    tls = files(authority.path, authority.pfx())
    contexts = await asyncio.gather(*(tls.current() for _ in range(5)))
    assert len(set(contexts)) == 1


async def test_out_of_date_is_said_before_the_server_says_it_in_other_words(authority: Authority) -> None:
    path = authority.pfx(since=NOW - 10 * DAY, until=NOW - DAY)
    tls = files(authority.path, path)
    tls.load()
    with pytest.raises(StoreTlsFailed) as caught:
        await tls.current()
    text = str(caught.value)
    assert text.startswith("redis.tlsCertPath: expected a client certificate that is valid now (")
    assert f"found one that expired on {NOW - DAY:%Y-%m-%d %H:%M} UTC in {path}. Replace the file" in text
    replaced(path, authority.pfx(file="new.pfx").read_bytes())
    assert await tls.current()

    young = files(authority.path, authority.pfx(file="young.pfx", since=NOW + DAY, until=NOW + 9 * DAY))
    young.load()
    with pytest.raises(StoreTlsFailed, match=f"one that is valid only from {NOW + DAY:%Y-%m-%d %H:%M} UTC in"):
        await young.current()


def test_the_end_is_told_thirty_days_ahead(authority: Authority) -> None:
    clock = Clock()
    tls = files(authority.path, authority.pfx(until=NOW + 90 * DAY), clock=clock)
    tls.load()
    assert tls.warnings() == ()
    clock.wall = WallMs(WALL + 60 * DAY_MS + 60_000)
    (warning,) = tls.warnings()
    assert "client.pfx (CN=node) expires in 29 days, on" in warning
    assert warning.endswith("replace the file; it is picked up at the next connection")
    clock.wall = WallMs(WALL + 91 * DAY_MS)
    assert "(CN=node) expired on" in tls.warnings()[0]


def test_the_end_of_an_authority_is_told_with_its_file(tmp_path: Path) -> None:
    clock = Clock()
    authority = Authority(tmp_path, until=NOW + 90 * DAY)
    tls = files(authority.path, clock=clock)
    tls.load()
    assert tls.warnings() == ()
    (known,) = tls.authorities
    assert (known.subject, days_left(known.not_after, WALL)) == ("CN=test authority", 89)
    clock.wall = WallMs(WALL + 60 * DAY_MS + 60_000)
    (warning,) = tls.warnings()
    assert warning.startswith(f"the authority CN=test authority in {authority.path} expires in 29 days, on")


async def test_an_authority_that_has_expired_is_named_and_not_the_server(tmp_path: Path) -> None:
    old = Authority(tmp_path, until=NOW - DAY)
    tls = files(old.path)
    tls.load()
    with pytest.raises(StoreTlsFailed) as caught:
        await tls.current()
    text = str(caught.value)
    assert text.startswith("redis.tlsCaPath: expected an authority that is valid now (")
    assert f"found one that expired on {NOW - DAY:%Y-%m-%d %H:%M} UTC (CN=test authority) in {old.path}" in text
    assert code_of(caught.value, with_tls=True) == "RD-612"
    (tmp_path / "next").mkdir()
    replaced(old.path, old.own.pem() + Authority(tmp_path / "next", "next authority").own.pem())
    assert await tls.current(), "one that is valid is enough"
    assert [one.subject for one in tls.authorities] == ["CN=test authority", "CN=next authority"]
    assert len(tls.warnings()) == 1


def test_of_an_authority_that_was_renewed_the_later_end_counts(tmp_path: Path) -> None:
    (tmp_path / "next").mkdir()
    old, new = Authority(tmp_path, until=NOW + 5 * DAY), Authority(tmp_path / "next")
    old.path.write_bytes(new.own.pem() + old.own.pem())
    tls = files(old.path)
    tls.load()
    assert len(tls.authorities) == 1
    assert tls.warnings() == ()


def test_a_systems_collection_of_authorities_is_not_watched(tmp_path: Path) -> None:
    ending = [Authority(tmp_path, f"authority {number}", until=NOW - DAY) for number in range(AUTHORITIES_MAX + 1)]
    ending[0].path.write_bytes(b"".join(one.own.pem() for one in ending))
    tls = files(ending[0].path)
    tls.load()
    assert tls.authorities == ()
    assert tls.warnings() == ()
    assert tls.out_of_date() is None


def test_a_certificate_that_is_believed_by_itself_needs_no_authority(tmp_path: Path) -> None:
    old = Authority(tmp_path, until=NOW - DAY)
    old.path.write_bytes(old.own.pem() + old.certify("redis", until=NOW + 9 * DAY).pem())
    tls = files(old.path)
    tls.load()
    assert tls.out_of_date() is None
    assert len(tls.warnings()) == 1


@pytest.mark.parametrize(
    ("left_ms", "days", "said"),
    [
        (40 * DAY_MS, 40, ""),
        (31 * DAY_MS, 31, ""),
        (31 * DAY_MS - 1, 30, "it expires in 30 days, on"),
        (DAY_MS, 1, "it expires in 1 day, on"),
        (0, 0, "it expires in 0 days, on"),
        (-1, -1, "it expired on"),
    ],
)
def test_days_are_whole_days(left_ms: int, days: int, said: str) -> None:
    end = WallMs(WALL + left_ms)
    assert days_left(end, WALL) == days
    text = expiry_warning("it", end, WALL, "renew it")
    assert text.startswith(said)
    assert bool(text) == bool(said)


def test_a_servers_certificate_is_judged_by_what_the_handshake_showed() -> None:
    end = ssl.cert_time_to_seconds("Jan  5 12:00:00 2031 GMT") * 1000
    shown = {"notAfter": "Jan  5 12:00:00 2031 GMT"}
    assert server_certificate_warning("r:6379", shown, WallMs(end - 40 * DAY_MS)) == ""
    assert server_certificate_warning("r:6379", shown, WallMs(end - 3 * DAY_MS)) == (
        "the certificate of the server at r:6379 expires in 3 days, on 2031-01-05 12:00 UTC; "
        "renew it there: after that day no node can connect"
    )
    assert server_certificate_warning("r:6379", {}, WALL) == ""


@pytest.mark.parametrize(("content", "found"), [(None, "No such file or directory"), (b"x", "no certificate in it")])
def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, found: str) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigValueError) as caught:
        files(path).load()
    assert str(caught.value) == (
        f"redis.tlsCaPath: expected certificates in PEM; found {path}: {found}. "
        "Name the PEM file of the authority that signed the Redis certificate."
    )
