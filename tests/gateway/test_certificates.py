"""Certificates: what the authority signs lets in where it is trusted, and what does not count is refused by name."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import asyncssh
import pytest

from rppam.gateway.authority import Authority
from rppam.gateway.certificates import (
    OWN_PREFIX,
    Shown,
    State,
    Trust,
    new_key,
    problem,
    shown,
    signed,
)
from rppam.gateway.errors import AuthorityState, CertificateInvalid
from rppam.gateway.policy import CERTIFICATES, CertificatePolicy
from rppam.gateway.ports import Credential
from rppam.gateway.ssh.chained_login import Limits
from rppam.gateway.ssh.server import GatewayServer
from rppam.kernel.secret import Secret
from tests.access.mfa.test_api import age, enrolled
from tests.gateway.places import HOST, Ended, Place, Sshd, sshd
from tests.gateway.test_agent import agent, allowed
from tests.gateway.test_in_browser import decide, waiting
from tests.gateway.test_register import recorded
from tests.gateway.test_user_keys import added, made, signed_in
from tests.requests.people import headers as log_in
from tests.support.authenticator import code
from tests.support.served import PASSWORD, Served

__all__ = ["agent"]

CA, MINE = "/api/v1/access/ca", "/api/v1/users/me/ssh-certificates"
NOW = 1_700_000_000
TRUST = Trust(frozenset({"own"}), frozenset({"other"}), frozenset())
FINE = Shown(7, "one", (f"{OWN_PREFIX}alice",), NOW - 60, NOW + 60, "own", True, (), "SHA256:key")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"authority": "other", "principals": ("alice",)}, ""),
        ({"authority": "stranger"}, "its authority stranger is not trusted here"),
        ({"before_s": NOW}, "it has expired: it counted until 2023-11-14 22:13 UTC"),
        ({"after_s": NOW + 1}, "it does not count before 2023-11-14 22:13 UTC"),
        ({"principals": ("alice",)}, "it names alice, and not rppam-user:alice"),
        ({"principals": ()}, "it names nobody, and not rppam-user:alice"),
        ({"authority": "other"}, "it names rppam-user:alice, and not alice"),
        ({"is_user": False}, "it is one of a host"),
        ({"sources": ("10.0.0.0/8",)}, "it is not for the address 192.0.2.7"),
        ({"sources": ("10.0.0.0/8", "192.0.2.0/24")}, ""),
        ({"sources": ("nonsense",)}, "it is not for the address 192.0.2.7"),
    ],
)
def test_what_a_certificate_is_worth(changes: dict[str, Any], why: str) -> None:
    assert problem(FINE._replace(**changes), "alice", TRUST, "192.0.2.7", NOW) == why


@pytest.mark.parametrize("word", ["7", "one", "SHA256:key"])
def test_one_that_is_revoked_counts_no_more(word: str) -> None:
    assert problem(FINE, "alice", TRUST._replace(revoked=frozenset({word})), "", NOW) == "it is revoked"


def test_what_is_signed_reads_back_and_only_whole() -> None:
    private, _, fingerprint = new_key()
    _, public, _ = new_key()
    made = signed(
        private, public, serial=9, key_id="one", principal="root", now_s=NOW, minutes=5, extensions=["permit-pty"],
        source="10.0.0.1",
    )  # fmt: skip
    one = shown(made.line.encode())
    assert one == Shown(9, "one", ("root",), NOW - 60, NOW + 300, fingerprint, True, ("10.0.0.1",), one.fingerprint)
    for bad in (b"", b"ssh-ed25519 AAAA", public.encode(), made.line.encode()[:-8] + b"AAAAAAA="):
        with pytest.raises(CertificateInvalid):
            shown(bad)
    with pytest.raises(CertificateInvalid):
        signed(private, "ssh-dss AAAA", serial=1, key_id="", principal="a", now_s=NOW, minutes=5, extensions=[])


# ---- real servers and clients ----------------------------------------------------------------------------------------


@pytest.fixture
def policy() -> dict[str, Any]:
    return {}


class Trusting(NamedTuple):
    """A gateway, its authority, and a target that lets in by that alone."""

    place: Place
    authority: Authority
    sshd: Sshd
    trusted: Path


@pytest.fixture
async def trusting(
    place: Place, served: Served, tmp_path: Path, policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Trusting]:
    wants(served, monkeypatch, **policy)
    authority = served.services.get(Authority)
    trusted = tmp_path / "ca.pub"
    trusted.write_text((await authority.make()).line + "\n")
    with sshd(tmp_path / "trusting", f"TrustedUserCAKeys {trusted}") as one:
        (one.folder / "authorized_keys").write_text("")
        place.routes.add("ca1", one.port, one.user, Credential(), tags=("ssh-ca",))
        place.routes.add("plain", one.port, one.user, Credential())
        yield Trusting(place, authority, one, trusted)


def wants(served: Served, monkeypatch: pytest.MonkeyPatch, **policy: Any) -> None:
    current, wanted = type(served.live).current, CertificatePolicy(**policy)
    monkeypatch.setattr(
        type(served.live), "current", lambda live, one: wanted if one is CERTIFICATES else current(live, one)
    )


@pytest.mark.integration
async def test_a_certificate_for_the_session_opens_a_target_that_trusts_the_authority(trusting: Trusting) -> None:
    place = trusting.place
    fine = await place.ssh("echo in", user="admin+ca1")
    assert (fine.code, fine.out) == (0, b"in\n"), fine
    (issued,) = await recorded(place, "certificate.issue")
    (started,) = await recorded(place, "access.start")
    assert issued["object"]["id"] == started["object"]["id"]
    key = await trusting.authority.active()
    assert key is not None
    assert issued["details"]["authority"] == key.fingerprint
    assert (issued["details"]["account"], issued["details"]["minutes"]) == (trusting.sshd.user, 5)
    plain = await place.ssh("echo in", user="admin+plain")
    assert "RPPAM-8618" in plain.err, "a target without the tag is shown none"


@pytest.mark.integration
async def test_what_the_target_does_not_take_is_told_and_then_the_vault_s_key_is_tried(
    trusting: Trusting, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, one = trusting.place, trusting.sshd
    told = "with a certificate of this cluster, nor with what the vault has"
    trusting.trusted.write_text(new_key()[1] + "\n")  # the target trusts another authority
    other = await place.ssh("echo in", user="admin+ca1")
    assert other.code == 255
    assert told in other.err
    key = await trusting.authority.active()
    assert key is not None
    trusting.trusted.write_text(key.line + "\n")
    with monkeypatch.context() as late:
        late.setattr(Authority, "now_s", NOW)
        assert told in (await place.ssh("echo in", user="admin+ca1")).err, "it has expired"
    place.routes.add("ca2", one.port, "nobody-there", Credential(), tags=("ssh-ca",))
    assert told in (await place.ssh("echo in", user="admin+ca2")).err, "it names another account"
    (one.folder / "authorized_keys").write_text((one.folder / "user.pub").read_text())
    trusting.trusted.write_text(new_key()[1] + "\n")
    place.routes.add("ca3", one.port, one.user, Credential(private_key=Secret(one.private_key)), tags=("ssh-ca",))
    assert (await place.ssh("echo in", user="admin+ca3")).out == b"in\n"


def signed_by(authority: Path, key: Path, *more: str) -> None:
    """By ssh-keygen, as any authority does it."""
    subprocess.run(
        ["ssh-keygen", "-q", "-s", str(authority), "-I", "made-elsewhere", *more, str(key.with_suffix(".pub"))],
        check=True,
    )


def read_by_openssh(key: Path) -> str:
    argv = ["ssh-keygen", "-L", "-f", f"{key}-cert.pub"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


async def by_certificate(
    place: Place,
    key: Path,
    *,
    options: tuple[str, ...] = (),
    word: str = "echo in",
    answers: tuple[str, ...] = ("no",),
    agent: Mapping[str, str] | None = None,
) -> Ended:
    """``options``: before those that are for all; of one that stands twice the first counts."""
    chosen = [
        "-o", "LogLevel=INFO", "-o", "PubkeyAuthentication=yes", "-o", "IdentitiesOnly=yes", "-i", str(key),
        "-o", "PreferredAuthentications=publickey", "-o", f"CertificateFile={key.with_name(key.name + '-cert.pub')}",
    ]  # fmt: skip
    env = {**place.environment(*answers), **(agent or {})}
    return await place.run("ssh", *options, *chosen, *place.options(), HOST, word, env=env)


@pytest.fixture
async def elsewhere(tmp_path: Path) -> Path:
    """Another authority."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return await made(folder, "-t", "ed25519")


@pytest.mark.integration
async def test_whose_certificate_lets_in_and_what_is_said_of_the_others(
    place: Place, tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await signed_in(place)
    key = await made(tmp_path, "-t", "ed25519")
    signed_by(elsewhere, key, "-n", "admin", "-z", "77", "-V", "-1m:+5m")
    refused = await by_certificate(place, key)
    assert refused.code == 255
    assert "'made-elsewhere' is not taken: its authority SHA256:" in refused.err
    assert "is not trusted here" in refused.err
    assert await recorded(place, "access.refuse") == [], "anybody can make such a one"

    trusted = (elsewhere.with_suffix(".pub").read_text().strip(),)
    wants(place.served, monkeypatch, trusted=trusted)
    fine = await by_certificate(place, key)
    assert (fine.code, fine.out) == (0, b"in\n"), fine
    (login,) = await recorded(place, "access.login")
    assert login["details"]["how"] == "certificate 77"
    assert login["committed"] == ["keyId"]

    wants(place.served, monkeypatch, trusted=trusted, revoked=("77",))
    assert "it is revoked" in (await by_certificate(place, key)).err
    wants(place.served, monkeypatch, trusted=trusted)
    signed_by(elsewhere, key, "-n", "ursula", "-V", "-1m:+5m")
    assert "it names ursula, and not admin" in (await by_certificate(place, key)).err
    signed_by(elsewhere, key, "-n", "admin", "-V", "-2h:-1h")
    assert "it has expired: it counted until" in (await by_certificate(place, key)).err
    signed_by(elsewhere, key, "-n", "admin", "-V", "-1m:+5m", "-O", "source-address=10.9.9.9/32")
    assert "it is not for the address 127.0.0.1" in (await by_certificate(place, key)).err
    reasons = [one["reason"] for one in await recorded(place, "access.refuse")]
    assert any("it is revoked" in one for one in reasons), reasons
    assert len(await recorded(place, "access.login")) == 1


BOTH = ("-o", "PreferredAuthentications=publickey,keyboard-interactive")


@pytest.mark.integration
@pytest.mark.parametrize("second", ["none", "code", "browser"])
@pytest.mark.parametrize("terminal", [False, True], ids=["command", "terminal"])
async def test_what_a_certificate_holds_to_holds_also_after_the_second_factor(
    place: Place, tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, second: str, terminal: bool
) -> None:
    secret = ""
    if second == "none":
        await signed_in(place)
    else:
        _, secret, _ = await enrolled(place.served)
    wants(place.served, monkeypatch, trusted=(elsewhere.with_suffix(".pub").read_text().strip(),))
    key = await made(tmp_path, "-t", "ed25519")
    signed_by(elsewhere, key, "-n", "admin", "-V", "-1m:+5m", "-O", "clear", "-O", "force-command=echo forced")
    answers = (code(secret, 1),) if second == "code" else ("",)
    options = (*BOTH, "-tt") if terminal else BOTH
    running = asyncio.create_task(by_certificate(place, key, options=options, answers=answers))
    if second == "browser":
        browser = await log_in(place.served, "admin", mfa=True)
        (one,) = await waiting(place.served, browser)
        assert await decide(place.served, browser, one, "approve") == 204
    held = await running
    assert held.out == (b"" if terminal else b"forced\n"), held
    assert ("PTY allocation request failed" in held.err) is terminal
    (login,) = await recorded(place, "access.login")
    assert login["details"]["secondFactor"] is (second != "none")


@pytest.mark.integration
@pytest.mark.parametrize("then", ["nothing", "another user", "another key", "a password", "the certificate again"])
async def test_a_certificate_holds_whoever_came_in_by_it_and_nobody_else(
    place: Place, tmp_path: Path, then: str
) -> None:
    """What was a factor on the way to nothing counts neither for another user nor for another way in."""
    path = await made(tmp_path, "-t", "ed25519")
    await added(place, path, await signed_in(place))
    _, secret, _ = await enrolled(place.served)
    user, own, limits = "admin+web1", asyncssh.read_public_key(path.with_suffix(".pub")), {"force-command": "echo in"}
    connection: Any = SimpleNamespace(_cert_options=None, send_auth_banner=lambda text: None)
    server = GatewayServer(place.gateway.gate, place.served.clock.wall_ms, "192.0.2.1")
    server._conn = connection

    async def proved(held_to: Limits | None) -> None:
        assert await server.validate_public_key(user, own)
        assert await server.key_proved(0, held_to)
        assert server.needs_second()

    await server.begin_auth(user)
    await proved(limits)
    if then == "another user":
        await server.begin_auth("ursula+web1")
        assert await server.validate_password("ursula+web1", PASSWORD)
    elif then != "nothing":
        server._pending = Secret("it is too late for this one")
        assert not await server.validate_kbdint_response(user, ["123456"])
        if then == "a password":
            assert await server.validate_password(user, PASSWORD)
        else:
            await proved(None if then == "another key" else limits)
    if server.needs_second():
        assert await server.validate_kbdint_response(user, [code(secret, 1)])
    assert server._account is not None
    assert connection._cert_options == (limits if then in {"nothing", "the certificate again"} else None)


@pytest.mark.integration
@pytest.mark.parametrize("permits", [False, True])
async def test_the_agent_comes_along_where_the_certificate_permits_it(
    place: Place, tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, agent: dict[str, str], permits: bool
) -> None:
    allowed(place, monkeypatch)
    await signed_in(place)
    wants(place.served, monkeypatch, trusted=(elsewhere.with_suffix(".pub").read_text().strip(),))
    key = await made(tmp_path, "-t", "ed25519")
    more = ("-O", "permit-agent-forwarding") if permits else ()
    signed_by(elsewhere, key, "-n", "admin", "-V", "-1m:+5m", "-O", "clear", *more)
    listed = await by_certificate(place, key, options=("-A",), word="ssh-add -l; true", agent=agent)
    assert listed.code == 0, listed
    assert (b"laptop" in listed.out) is permits


@pytest.mark.integration
async def test_the_commands_make_roll_and_sign(place: Place, tmp_path: Path) -> None:
    token = place.served.bearer()["Authorization"].removeprefix("Bearer ")
    key = await made(tmp_path, "-t", "ed25519")

    async def rppam(*words: str, own: str = "") -> Ended:
        env = {"RPPAM_URL": place.served.url, "RPPAM_TOKEN": own or token}
        return await place.run(sys.executable, "-m", "rppam", "ca", *words, env=env)

    assert (await rppam("show")).code == 1
    created = await rppam("create", "--json")
    assert (created.code, json.loads(created.out)["state"]) == (0, "active"), created
    headers = await signed_in(place)
    own = headers["Authorization"].removeprefix("Bearer ")
    got = await rppam("sign", str(key.with_suffix(".pub")), own=own)
    assert got.code == 0, got
    assert "rppam-user:admin" in read_by_openssh(key)
    fine = await by_certificate(place, key)
    assert (fine.code, fine.out) == (0, b"in\n"), fine
    assert "admin" not in json.dumps((await recorded(place, "certificate.user"))[0]["details"])

    assert json.loads((await rppam("create", "--json")).out)["state"] == "next"
    assert (await rppam("create")).code == 1, "there is a next one already"
    lines = (await rppam("show")).out.decode().splitlines()
    assert [line.split()[2] for line in lines] == ["rppam-ca-1", "rppam-ca-2"]
    assert (await rppam("retire", "1")).code == 1, "it signs"
    assert (await rppam("activate", "2")).code == 0
    assert (await by_certificate(place, key)).code == 0, "what the one before signed still counts"
    assert (await rppam("retire", "1")).code == 0
    assert "is not trusted here" in (await by_certificate(place, key)).err
    states = [line.split()[1] for line in (await rppam("show", "--all")).out.decode().splitlines()]
    assert states == ["retired", "active"]
    assert [len(await recorded(place, f"authority.{word}")) for word in ("make", "activate", "retire")] == [2, 1, 1]


@pytest.mark.integration
async def test_the_command_asks_for_the_password_where_the_log_in_is_of_long_ago(place: Place, tmp_path: Path) -> None:
    assert (await place.served.http.post(CA, headers=place.served.bearer())).status_code == 201
    key = await made(tmp_path, "-t", "ed25519")
    own = (await signed_in(place))["Authorization"].removeprefix("Bearer ")
    await age(place.served, 11 * 60_000)

    async def sign(typed: str, url: str = place.served.url) -> Ended:
        env = {"RPPAM_URL": url, "RPPAM_TOKEN": own}
        argv = (sys.executable, "-m", "rppam", "ca", "sign", str(key.with_suffix(".pub")))
        return await place.run(*argv, env=env, given=typed.encode())

    alone = await sign("")
    assert (alone.code, "run 'rppam login', then this again" in alone.err) == (2, True), alone
    elsewhere = await sign(f"{PASSWORD}\n", place.served.url.replace("127.0.0.1", "127.1"))
    assert (elsewhere.code, "would cross the network in the clear" in elsewhere.err) == (2, True), elsewhere
    guessed = await sign("a guess\n")
    assert (guessed.code, "RPPAM-3111" in guessed.err) == (1, True), guessed
    assert not key.with_name(f"{key.name}-cert.pub").exists()
    assert (await sign(f"{PASSWORD}\n")).code == 0
    assert "rppam-user:admin" in read_by_openssh(key)


@pytest.mark.integration
async def test_the_authority_over_rest(place: Place) -> None:
    http, admin = place.served.http, place.served.bearer()
    headers = await signed_in(place)
    body = {"key": new_key()[1]}
    assert (await http.post(MINE, json=body, headers=headers)).json()["code"] == "RPPAM-8620"
    assert (await http.post(CA, headers=admin)).status_code == 201
    answer = await http.post(MINE, json={**body, "minutes": 9}, headers=headers)
    assert answer.status_code == 201, answer.text
    one = shown(answer.json()["certificate"].encode())
    assert (one.serial, one.before_s - one.after_s) == (answer.json()["serial"], 10 * 60)
    assert (await http.post(MINE, json=body, headers=admin)).json()["code"] == "RPPAM-3112"
    assert (await http.post(MINE, json={"key": "ssh-dss " + "A" * 40}, headers=headers)).status_code == 400
    for method, path, status in (("POST", "9/activate", 404), ("POST", "1/activate", 409), ("DELETE", "1", 409)):
        assert (await http.request(method, f"{CA}/{path}", headers=admin)).status_code == status
    found = (await http.get(CA, headers=headers)).json()["items"]
    assert [(one["number"], one["state"]) for one in found] == [(1, "active")]
    assert "sealed" not in str(found)


@pytest.mark.integration
async def test_two_processes_make_one_authority(served: Served) -> None:
    authority = served.services.get(Authority)
    found = await asyncio.gather(*(authority.make() for _ in range(4)), return_exceptions=True)
    assert sorted(str(one.state) for one in found if not isinstance(one, BaseException)) == ["active", "next"]
    assert all(isinstance(one, AuthorityState) for one in found if isinstance(one, BaseException))
    assert [one.state for one in await authority.keys()] == [State.ACTIVE, State.NEXT]


@pytest.mark.integration
async def test_a_certificate_ends_with_the_log_ins_of_its_user(place: Place, tmp_path: Path) -> None:
    """Whoever had a session that is ended for ever has no certificate left of it."""
    http, headers = place.served.http, await signed_in(place)
    assert (await http.post(CA, headers=place.served.bearer())).status_code == 201
    key = await made(tmp_path, "-t", "ed25519")
    body = {"key": key.with_suffix(".pub").read_text()}

    async def issued(mine: dict[str, str]) -> None:
        answer = await http.post(MINE, json=body, headers=mine)
        assert answer.status_code == 201, answer.text
        key.with_name(f"{key.name}-cert.pub").write_text(answer.json()["certificate"] + "\n")

    await issued(headers)
    assert "auth-epoch@rppam" in read_by_openssh(key)
    assert (await by_certificate(place, key)).out == b"in\n"
    changed = {"currentPassword": PASSWORD, "newPassword": "another horse battery 9"}
    answer = await http.put("/api/v1/users/me/password", json=changed, headers=headers)
    assert answer.status_code < 300, answer.text
    refused = await by_certificate(place, key)
    assert (refused.code, refused.out) == (255, b"")
    assert "the log-ins of its user were ended after it was signed" in refused.err
    await issued(await signed_in(place))
    assert (await by_certificate(place, key)).out == b"in\n"
