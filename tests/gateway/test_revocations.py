"""What the SSH authority revokes: no gateway takes it, and OpenSSH itself reads the list for targets."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from rppam.access.accounts.model import AccountRole
from rppam.cluster.link.data_keys import data_keys_of
from rppam.gateway.authority import Authority
from rppam.gateway.certificates import AuthorityKey, State, fingerprint_of, new_key, shown, signed
from rppam.gateway.errors import CertificateInvalid, RevocationUnknown
from rppam.gateway.krl import RevokedKind, read_word, sorted_out, written
from rppam.gateway.ports import Credential
from rppam.gateway.revocations_store import SqlRevocations
from tests.gateway.places import HOST, Ended, Place, sshd
from tests.gateway.test_certificates import by_certificate, wants
from tests.gateway.test_register import recorded
from tests.gateway.test_user_keys import KEYS, added, by_key, made, signed_in
from tests.support.served import Served

CA, MINE = "/api/v1/access/ca", "/api/v1/users/me/ssh-certificates"
NOW = 1_700_000_000
Rppam = Callable[..., Awaitable[Ended]]


class Signer:
    """An authority, as :func:`written` is told of it."""

    def __init__(self, number: int, state: State) -> None:
        self._private, public, fingerprint = new_key()
        self.key = AuthorityKey(number, public, fingerprint, state, 0, "")

    def signed(self, folder: Path, name: str, *, serial: int, key_id: str, public: str = "") -> Path:
        """A certificate in a file."""
        made = signed(
            self._private, public or new_key()[1], serial=serial, key_id=key_id, principal="root", now_s=NOW,
            minutes=5, extensions=[],
        )  # fmt: skip
        file = folder / f"{name}-cert.pub"
        file.write_text(made.line + "\n")
        return file


def is_revoked(krl: Path, key: Path) -> bool:
    """What ssh-keygen says, which reads the list as sshd does."""
    done = subprocess.run(["ssh-keygen", "-Q", "-f", str(krl), str(key)], capture_output=True, text=True, check=False)
    assert done.stderr == "", done.stderr
    assert done.returncode in {0, 1}
    assert ("REVOKED" in done.stdout) is (done.returncode == 1)
    return done.returncode == 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (RevokedKind.SERIAL, "0"), (RevokedKind.SERIAL, "-7"), (RevokedKind.SERIAL, str(2**64)),
        (RevokedKind.SERIAL, "seven"), (RevokedKind.KEY, "SHA256:short"), (RevokedKind.KEY, "MD5:" + "0" * 43),
        (RevokedKind.KEY_ID, " "), (RevokedKind.KEY_ID, "a\nb"), (RevokedKind.KEY_ID, "x" * 201),
    ],
)  # fmt: skip
def test_what_cannot_be_revoked_is_refused(kind: RevokedKind, text: str) -> None:
    with pytest.raises(CertificateInvalid, match="expected"):
        read_word(kind, text)


@pytest.mark.integration
def test_openssh_reads_the_list_as_it_was_meant(tmp_path: Path) -> None:
    now, before, other = Signer(2, State.ACTIVE), Signer(1, State.PREVIOUS), Signer(9, State.ACTIVE)
    retired = Signer(3, State.RETIRED)
    stolen = new_key()[1]
    revoked = {(RevokedKind.SERIAL, "7"), (RevokedKind.SERIAL, str(2**53)), (RevokedKind.KEY_ID, "rppam user alice")}
    revoked.add((RevokedKind.KEY, fingerprint_of(stolen)))
    krl = tmp_path / "krl"
    krl.write_bytes(written([before.key, now.key, retired.key], revoked, sorted_out(["77", "elsewhere"]), NOW * 1000))
    (tmp_path / "stolen.pub").write_text(stolen + "\n")
    expected = {
        now.signed(tmp_path, "a", serial=7, key_id="one"): True,
        before.signed(tmp_path, "b", serial=7, key_id="one"): True,
        now.signed(tmp_path, "c", serial=2**53, key_id="one"): True,
        now.signed(tmp_path, "d", serial=8, key_id="one"): False,
        other.signed(tmp_path, "e", serial=7, key_id="one"): False,  # another authority counts for itself
        now.signed(tmp_path, "f", serial=8, key_id="rppam user alice"): True,
        now.signed(tmp_path, "g", serial=8, key_id="rppam user alice2"): False,
        other.signed(tmp_path, "h", serial=8, key_id="rppam user alice"): False,
        other.signed(tmp_path, "i", serial=77, key_id="one"): True,
        other.signed(tmp_path, "j", serial=8, key_id="elsewhere"): True,
        other.signed(tmp_path, "k", serial=8, key_id="one", public=stolen): True,
        retired.signed(tmp_path, "l", serial=8, key_id="one"): True,
        tmp_path / "stolen.pub": True,
    }
    assert {file.name: is_revoked(krl, file) for file in expected} == {
        file.name: what for file, what in expected.items()
    }
    krl.write_bytes(written([now.key], set(), set(), NOW * 1000))
    assert not any(is_revoked(krl, file) for file in expected), "an empty one is one as well"


@pytest.fixture
async def rppam(place: Place) -> Rppam:
    token = place.served.bearer()["Authorization"].removeprefix("Bearer ")

    async def run(*words: str, own: str = "") -> Ended:
        env = {"RPPAM_URL": place.served.url, "RPPAM_TOKEN": own or token}
        return await place.run(sys.executable, "-m", "rppam", "ca", *words, env=env)

    return run


@pytest.mark.integration
async def test_no_gateway_takes_what_was_revoked(place: Place, tmp_path: Path, rppam: Rppam) -> None:
    await rppam("create")
    headers = await signed_in(place)
    own = headers["Authorization"].removeprefix("Bearer ")
    key = await made(tmp_path, "-t", "ed25519")
    public, certificate = key.with_suffix(".pub"), key.with_name(f"{key.name}-cert.pub")
    assert (await rppam("sign", str(public), own=own)).code == 0
    assert (await by_certificate(place, key)).out == b"in\n"

    done = await rppam("revoke", "--certificate", str(certificate), "--reason", "the laptop is lost", "--json")
    assert done.code == 0, done
    one = json.loads(done.out)
    assert (one["kind"], one["word"]) == ("serial", str(shown(certificate.read_bytes()).serial))
    assert (one["reason"], bool(one["by"])) == ("the laptop is lost", True)
    assert "it is revoked" in (await by_certificate(place, key)).err
    again = await rppam("revoke", "--certificate", str(certificate), "--reason", "again")
    assert (again.code, "revoked already" in again.err) == (1, True)
    assert (await rppam("sign", str(public), own=own)).code == 0
    assert (await by_certificate(place, key)).out == b"in\n", "another one of the same key counts"

    (event,) = await recorded(place, "certificate.revoke")
    assert event["details"] == {"kind": "serial", "word": one["word"]}
    assert event["reason"] == "the laptop is lost"
    assert any("it is revoked" in each["reason"] for each in await recorded(place, "access.refuse"))

    assert (await rppam("revoke", "--key", str(public), "--reason", "stolen")).code == 0
    assert "it is revoked" in (await by_certificate(place, key)).err
    refused = await rppam("sign", str(public), own=own)
    assert (refused.code, "is revoked" in refused.err) == (1, True)
    listed = (await rppam("revocations")).out.decode().splitlines()
    assert [line.split()[3] for line in listed] == ["key", "serial"]
    assert (await rppam("restore", listed[0].split()[0], "--reason", "found again")).code == 0
    assert (await rppam("restore", listed[0].split()[0], "--reason", "found again")).code == 1
    assert (await by_certificate(place, key)).out == b"in\n"
    assert len(await recorded(place, "certificate.restore")) == 1

    assert (await rppam("revoke", "--key-id", "rppam user admin", "--reason", "gone")).code == 0
    assert "it is revoked" in (await by_certificate(place, key)).err
    assert (await rppam("sign", str(public), own=own)).code == 1
    named = (await recorded(place, "certificate.revoke"))[-1]
    assert "admin" not in json.dumps(named["details"]), "a key id names somebody"
    assert (await rppam("revoke", "--serial", "7", "--key", "SHA256:x", "--reason", "both")).code == 2


@pytest.mark.integration
async def test_a_key_that_was_revoked_lets_nobody_in_without_a_certificate_either(
    place: Place, tmp_path: Path, rppam: Rppam
) -> None:
    key, headers = await made(tmp_path, "-t", "ed25519"), await signed_in(place)
    await added(place, key, headers)
    assert (await by_key(place, key)).out == b"in\n"
    public = key.with_suffix(".pub")
    assert (await rppam("revoke", "--key", str(public), "--reason", "the laptop is lost")).code == 0
    done = await by_key(place, key, "-o", "LogLevel=INFO")
    assert (done.code, done.out) == (255, b""), done
    assert f"the key {fingerprint_of(public.read_text())} is not taken: it is revoked" in done.err
    (event, *_) = await recorded(place, "access.refuse")
    assert (event["details"]["kind"], event["reason"]) == ("key", "it is revoked")
    listed = (await rppam("revocations")).out.decode().split()
    assert (await rppam("restore", listed[0], "--reason", "found again")).code == 0
    assert (await by_key(place, key)).out == b"in\n"


@pytest.mark.integration
@pytest.mark.parametrize("taken_away", ["the key is revoked", "the key is removed", "the certificate is revoked"])
async def test_a_connection_begins_no_session_once_what_let_it_in_counts_no_more(
    place: Place, tmp_path: Path, rppam: Rppam, taken_away: str
) -> None:
    key, headers = await made(tmp_path, "-t", "ed25519"), await signed_in(place)
    public, certificate = key.with_suffix(".pub"), key.with_name(f"{key.name}-cert.pub")
    shown_with: Any = str(key)
    what = ["--key", str(public)]
    kept = await added(place, key, headers)
    if "certificate" in taken_away:
        assert (await rppam("create")).code == 0
        assert (await rppam("sign", str(public), own=headers["Authorization"].removeprefix("Bearer "))).code == 0
        shown_with, what = (str(key), str(certificate)), ["--certificate", str(certificate)]
    async with asyncssh.connect(
        HOST, place.port, username="admin+web1", client_keys=[shown_with], known_hosts=None, agent_path=None,
        config=None, kex_algs=["curve25519-sha256"],
    ) as client:  # fmt: skip
        if "removed" in taken_away:
            gone = await place.served.http.delete(f"{KEYS}/{kept['id']}", headers=headers)
            assert gone.status_code == 204, gone.text
        else:
            assert (await rppam("revoke", *what, "--reason", "the laptop is lost")).code == 0
        done = await client.run("echo in")
    assert (done.exit_status, done.stdout) == (254, ""), done
    assert "this log-in has ended meanwhile: connect anew" in str(done.stderr)
    assert await recorded(place, "access.start") == []


@pytest.mark.integration
@pytest.mark.parametrize("by", ["the setting", "a revocation"])
async def test_of_an_authority_that_was_revoked_nothing_counts(
    place: Place, tmp_path: Path, rppam: Rppam, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """As sshd has it, which reads the same list."""
    private, authority, fingerprint = new_key()
    key = await made(tmp_path, "-t", "ed25519")
    line = signed(
        private, key.with_suffix(".pub").read_text(), serial=7, key_id="one", principal="admin",
        now_s=place.served.services.get(Authority).now_s, minutes=5, extensions=["permit-pty"],
    ).line  # fmt: skip
    key.with_name(f"{key.name}-cert.pub").write_text(line + "\n")
    await signed_in(place)
    wants(place.served, monkeypatch, trusted=(authority,))
    before = await by_certificate(place, key)
    assert before.out == b"in\n", before
    if by == "the setting":
        wants(place.served, monkeypatch, trusted=(authority,), revoked=(f"{fingerprint}=",))
    else:
        assert (await rppam("revoke", "--key", fingerprint, "--reason", "taken")).code == 0
    assert "it is revoked" in (await by_certificate(place, key)).err


@pytest.mark.integration
async def test_a_real_sshd_takes_the_list(
    place: Place, tmp_path: Path, rppam: Rppam, monkeypatch: pytest.MonkeyPatch
) -> None:
    wants(place.served, monkeypatch)
    authority = place.served.services.get(Authority)
    ca, krl = tmp_path / "ca.pub", tmp_path / "rppam.krl"
    ca.write_text((await authority.make()).line + "\n")
    assert (await rppam("krl", "--output", str(krl))).code == 0
    with sshd(tmp_path / "target-krl", f"TrustedUserCAKeys {ca}", f"RevokedKeys {krl}") as one:
        (one.folder / "authorized_keys").write_text("")
        place.routes.add("ca1", one.port, one.user, Credential(), tags=("ssh-ca",))
        assert (await place.ssh("echo in", user="admin+ca1")).out == b"in\n"

        key = await authority.active()
        assert key is not None
        private = await made(tmp_path, "-t", "ed25519")
        public = private.with_suffix(".pub").read_text()
        opened = data_keys_of(place.served.base.config, place.served.database)
        unsealed = await opened.unseal(key.sealed, f"the SSH authority {key.fingerprint}")
        line = signed(
            unsealed, public, serial=4711, key_id="direct", principal=one.user, now_s=authority.now_s, minutes=5,
            extensions=["permit-pty"],
        ).line  # fmt: skip
        private.with_name(f"{private.name}-cert.pub").write_text(line + "\n")

        async def direct() -> Ended:
            options = (
                "-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
                "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i", str(private), "-p",
                str(one.port), f"{one.user}@127.0.0.1", "echo direct",
            )  # fmt: skip
            return await place.run("ssh", *options)

        assert (await direct()).out == b"direct\n"
        assert (await rppam("revoke", "--serial", "4711", "--reason", "misused")).code == 0
        assert (await direct()).out == b"direct\n", "the target has not read it yet"
        assert (await rppam("krl", "--output", str(krl))).code == 0
        assert (await direct()).code == 255
        assert (await place.ssh("echo in", user="admin+ca1")).out == b"in\n", "others count"

        # The authority is rolled; the target still trusts the line of the key that was retired.
        await authority.make()
        await authority.activate(2)
        await authority.retire(1)
        assert (await rppam("krl", "--output", str(krl))).code == 0
        assert (await rppam("restore", (await rppam("revocations")).out.decode().split()[0], "--reason", "x")).code == 0
        assert (await direct()).code == 255
    before = krl.read_bytes()
    assert (await rppam("krl", "--output", str(krl), own="nonsense")).code == 2
    assert krl.read_bytes() == before, "what could not be had leaves the file as it was"
    assert not krl.with_name("rppam.krl.part").exists()


@pytest.mark.integration
async def test_who_revokes_over_rest(served: Served) -> None:
    http, admin = served.http, served.bearer(AccountRole.SECURITY_ADMIN)
    body: dict[str, Any] = {"kind": "serial", "word": "7", "reason": "lost"}
    path = f"{CA}/revocations"
    assert (await http.post(path, json=body, headers=served.bearer(AccountRole.USER))).status_code == 403
    assert (await http.get(path, headers=served.bearer(AccountRole.USER))).status_code == 403
    answer = await http.post(path, json=body, headers=admin)
    assert answer.status_code == 201, answer.text
    assert (await http.post(path, json=body, headers=admin)).json()["code"] == "RPPAM-8620"
    assert (await http.post(path, json={**body, "word": "0"}, headers=admin)).json()["code"] == "RPPAM-8622"
    assert (await http.post(path, json={**body, "reason": ""}, headers=admin)).status_code == 400
    found = (await http.get(path, headers=served.bearer(AccountRole.AUDITOR))).json()["items"]
    assert [one["id"] for one in found] == [answer.json()["id"]]
    krl = await http.get(f"{CA}/krl", headers=served.bearer(AccountRole.USER))
    assert (krl.status_code, krl.content[:8]) == (200, b"SSHKRL\n\0")
    assert (await http.post(f"{path}/nobody/lift", json={"reason": "x"}, headers=admin)).json()["code"] == "RPPAM-8630"


@pytest.mark.integration
async def test_one_revocation_of_several_at_once(served: Served) -> None:
    store = served.services.get(SqlRevocations)
    tries = (store.add(RevokedKind.SERIAL, "7", "why", "admin") for _ in range(4))
    done = [one for one in await asyncio.gather(*tries, return_exceptions=True) if not isinstance(one, BaseException)]
    assert len(done) == 1
    assert [one.id for one in await store.all()] == [done[0].id]
    with pytest.raises(RevocationUnknown):
        await store.lift("nobody", "why")


@pytest.mark.integration
async def test_who_has_not_logged_in_has_no_more_read_than_what_is_shown(
    place: Place, tmp_path: Path, rppam: Rppam, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []
    words = SqlRevocations.words

    async def counted(store: SqlRevocations, among: Any) -> Any:
        asked.append(set(among))
        return await words(store, among)

    monkeypatch.setattr(SqlRevocations, "words", counted)
    await signed_in(place)
    assert (await rppam("create")).code == 0
    key = await made(tmp_path, "-t", "ed25519")
    made_up, certificate = new_key()[0], key.with_name(f"{key.name}-cert.pub")
    line = signed(
        made_up, key.with_suffix(".pub").read_text(), serial=7, key_id="one", principal="admin",
        now_s=place.served.services.get(Authority).now_s, minutes=5, extensions=[],
    ).line  # fmt: skip
    certificate.write_text(line + "\n")
    assert "is not trusted here" in (await by_certificate(place, key)).err
    one = shown(line.encode())
    assert not [among for among in asked if one.key_id in among or one.authority in among]
    assert all(len(among) <= 2 for among in asked), "the key itself is looked up, beside its certificate"
