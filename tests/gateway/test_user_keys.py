"""Public keys of users: a key lets in alone, or before the code; nothing but its signature proves anything."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from rppam.gateway.ssh.server import GatewayServer
from tests.access.mfa.test_api import age, enrolled
from tests.gateway.places import HOST, Ended, Place
from tests.gateway.test_register import recorded
from tests.support.authenticator import code
from tests.support.served import PASSWORD
from tests.vault.people import host, person

pytestmark = [pytest.mark.integration]
KEYS = "/api/v1/users/me/ssh-keys"


async def made(folder: Path, *words: str) -> Path:
    path = folder / "user-key"
    process = await asyncio.create_subprocess_exec("ssh-keygen", "-q", "-N", "", "-f", str(path), *words)
    assert await process.wait() == 0
    return path


async def signed_in(place: Place, user: str = "admin") -> dict[str, str]:
    answer = await place.served.http.post("/api/v1/auth/login", json={"username": user, "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['accessToken']}"}


async def added(place: Place, path: Path, headers: dict[str, str]) -> dict[str, Any]:
    text = path.with_suffix(".pub").read_text()
    answer = await place.served.http.post(KEYS, json={"key": text}, headers=headers)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def by_key(place: Place, path: Path, *more: str, answers: tuple[str, ...] = ("no",)) -> Ended:
    chosen = ["-o", "PubkeyAuthentication=yes", "-i", str(path), "-o", "IdentitiesOnly=yes"]  # the first one counts
    return await place.run("ssh", *chosen, *more, *place.options(), HOST, "echo in", answers=answers)


async def me(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = (await place.served.http.get("/api/v1/users/me", headers=await signed_in(place))).json()
    return found


@pytest.mark.parametrize("kind", [["ed25519"], ["rsa", "-b", "2048"], ["ecdsa"]], ids=lambda one: one[0])
async def test_a_key_lets_in_until_it_is_taken_away(place: Place, tmp_path: Path, kind: list[str]) -> None:
    path, headers = await made(tmp_path, "-t", *kind), await signed_in(place)
    assert (await by_key(place, path)).code == 255
    key = await added(place, path, headers)
    fine = await by_key(place, path)
    assert (fine.code, fine.out) == (0, b"in\n"), fine
    assert [one["id"] for one in (await place.served.http.get(KEYS, headers=headers)).json()["items"]] == [key["id"]]
    (login,) = await recorded(place, "access.login")
    assert login["details"] == {"how": "key", "secondFactor": False}
    again = await place.served.http.post(KEYS, json={"key": path.with_suffix(".pub").read_text()}, headers=headers)
    assert (again.status_code, again.json()["code"]) == (400, "RPPAM-8608")
    assert (await place.served.http.delete(f"{KEYS}/{key['id']}", headers=headers)).status_code == 204
    assert (await by_key(place, path)).code == 255


@pytest.mark.parametrize("path", [KEYS, "/api/v1/users/me/ssh-certificates"])
async def test_a_session_of_long_ago_leaves_no_key_behind_without_the_password(
    place: Place, tmp_path: Path, path: str
) -> None:
    made_one = await made(tmp_path, "-t", "ed25519")
    body, headers, http = {"key": made_one.with_suffix(".pub").read_text()}, await signed_in(place), place.served.http
    assert (await http.post("/api/v1/access/ca", headers=place.served.bearer())).status_code == 201
    await age(place.served, 11 * 60_000)
    missing = await http.post(path, json=body, headers=headers)
    assert (missing.status_code, missing.json()["code"]) == (400, "RPPAM-6010")
    assert [flaw["field"] for flaw in missing.json()["errors"]] == ["body.currentPassword"]
    wrong = await http.post(path, json=body | {"currentPassword": "a guess"}, headers=headers)
    assert (wrong.status_code, wrong.json()["code"]) == (403, "RPPAM-3111")
    assert (await http.get(KEYS, headers=headers)).json()["items"] == []
    assert await recorded(place, "certificate.user") == []
    fine = await http.post(path, json=body | {"currentPassword": PASSWORD}, headers=headers)
    assert fine.status_code == 201, fine.text


async def test_signatures_by_sha_1_are_not_taken(place: Place, tmp_path: Path) -> None:
    path, headers = await made(tmp_path, "-t", "rsa", "-b", "2048"), await signed_in(place)
    await added(place, path, headers)
    assert (await by_key(place, path, "-o", "PubkeyAcceptedAlgorithms=ssh-rsa")).code == 255


async def test_the_code_follows_the_key(place: Place, tmp_path: Path) -> None:
    path = await made(tmp_path, "-t", "ed25519")
    await added(place, path, await signed_in(place))
    _, secret, _ = await enrolled(place.served)
    assert (await by_key(place, path)).code == 255
    fine = await by_key(place, path, answers=(code(secret, 1),))
    assert (fine.code, fine.out) == (0, b"in\n"), fine


async def test_whoever_only_shows_somebodys_key_has_proved_nothing(place: Place, tmp_path: Path) -> None:
    path = await made(tmp_path, "-t", "ed25519")
    await added(place, path, await signed_in(place))
    await enrolled(place.served)
    server = GatewayServer(place.gateway.gate, place.served.clock.wall_ms, "192.0.2.1")
    await server.begin_auth("admin+web1")
    assert await server.validate_public_key("admin+web1", asyncssh.read_public_key(path.with_suffix(".pub")))
    assert not server.needs_second()
    assert server._account is None
    assert await server.key_proved(0, None)  # what a right signature leads to
    assert server.needs_second()
    assert server._account is None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", KEYS, None),
        ("POST", KEYS, {"key": "ssh-ed25519 " + "A" * 68}),
        ("DELETE", f"{KEYS}/x", None),
        ("GET", "/api/v1/users/me/ssh-tokens", None),
        ("POST", "/api/v1/users/me/ssh-tokens", {"target": "web1"}),
        ("DELETE", "/api/v1/users/me/ssh-tokens/x", None),
        ("GET", "/api/v1/users/me/ssh-logins", None),
        ("POST", "/api/v1/users/me/ssh-logins/x/approve", None),
        ("POST", "/api/v1/users/me/ssh-logins/x/refuse", None),
        ("POST", "/api/v1/users/me/ssh-certificates", {"key": "ssh-ed25519 " + "A" * 68}),
    ],
)
async def test_what_belongs_to_an_account_a_host_has_none_of(
    place: Place, method: str, path: str, body: dict[str, str] | None
) -> None:
    """Each says so in the same words, whatever it is about."""
    answer = await place.served.http.request(method, path, json=body, headers=place.served.bearer())
    assert (answer.status_code, answer.json()["code"]) == (403, "RPPAM-3112"), answer.text


async def test_bad_keys_are_refused(place: Place) -> None:
    bad = await place.served.http.post(KEYS, json={"key": "ssh-dss " + "A" * 40}, headers=await signed_in(place))
    assert bad.status_code == 400


async def test_from_elsewhere_neither_key_nor_password_lets_in(place: Place, tmp_path: Path) -> None:
    """And nobody is told more than of a wrong password."""
    http, host = place.served.http, place.served.bearer()
    path, headers = await made(tmp_path, "-t", "ed25519"), await signed_in(place)
    await added(place, path, headers)
    me = (await http.get("/api/v1/users/me", headers=headers)).json()
    assert me["allowedFrom"] == []
    for networks, may in ((["10.0.0.0/8", "fd00::/8"], False), (["127.0.0.0/8"], True), ([], True)):
        changed = await http.patch(f"/api/v1/users/{me['id']}", json={"allowedFrom": networks}, headers=host)
        assert (changed.status_code, changed.json()["allowedFrom"]) == (200, networks)
        answer = await http.post("/api/v1/auth/login", json={"username": "admin", "password": PASSWORD})
        assert answer.status_code == (200 if may else 401), answer.text
        assert may or answer.json()["detail"] == "User name or password is wrong."
        for done in (await place.ssh("echo in"), await by_key(place, path)):
            assert (done.code == 0, done.out) == (may, b"in\n" if may else b""), (networks, done)
    wrong = await http.patch(f"/api/v1/users/{me['id']}", json={"allowedFrom": ["10.0.0.1/8"]}, headers=host)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "RPPAM-3114")


async def test_an_administrator_takes_somebodys_keys_away(place: Place, tmp_path: Path) -> None:
    path = await made(tmp_path, "-t", "ed25519")
    key = await added(place, path, await signed_in(place))
    ursula, admin = await person(place.served, "ursula"), host(place.served)
    of_admin = f"/api/v1/users/{(await me(place))['id']}/ssh-keys"
    assert (await ursula.get(of_admin)).status_code == (await ursula.delete(of_admin)).status_code == 403
    headers = await signed_in(place)
    own = await place.served.http.delete(of_admin, headers=headers)
    assert (own.status_code, "one by one" in own.json()["detail"]) == (403, True), own.text
    assert [one["fingerprint"] for one in (await admin.get(of_admin)).json()["items"]] == [key["fingerprint"]]
    assert (await by_key(place, path)).code == 0
    assert (await admin.delete(of_admin)).status_code == 204
    assert (await by_key(place, path)).code == 255
    assert (await admin.get(of_admin)).json()["items"] == []
    assert (await place.served.http.get(KEYS, headers=headers)).status_code == 401, "the log-ins end"
    [event] = await recorded(place, "userkey.reset")
    assert (event["object"]["id"], event["details"]) == ("id-admin", {"fingerprints": [key["fingerprint"]]})
    none = "/api/v1/users/00000000-0000-0000-0000-000000000000/ssh-keys"
    assert (await admin.get(none)).status_code == (await admin.delete(none)).status_code == 404


async def test_who_is_no_administrator_ends_no_log_ins_of_one(place: Place) -> None:
    guard = await person(place.served, "simon")
    of_admin = f"/api/v1/users/{(await me(place))['id']}/ssh-keys"
    assert ((await guard.get(of_admin)).status_code, (await guard.delete(of_admin)).status_code) == (200, 403)


async def test_the_commands_add_show_and_take_away(place: Place, tmp_path: Path) -> None:
    path = await made(tmp_path, "-t", "ed25519", "-C", "the laptop")
    by_host = place.served.bearer()["Authorization"].removeprefix("Bearer ")
    own = (await signed_in(place))["Authorization"].removeprefix("Bearer ")

    async def rppam(*words: str, token: str = own, typed: str = "") -> Ended:
        env = {"RPPAM_URL": place.served.url, "RPPAM_TOKEN": token}
        return await place.run(sys.executable, "-m", "rppam", "ssh-key", *words, env=env, given=typed.encode())

    private = await rppam("add", str(path))
    assert (private.code, "expected one public key" in private.err) == (2, True), private
    fine = await rppam("add", str(path.with_suffix(".pub")))
    assert (fine.code, fine.out.startswith(b"added: "), b"the laptop" in fine.out) == (0, True, True), fine
    assert (await by_key(place, path)).code == 0
    twice = await rppam("add", str(path.with_suffix(".pub")))
    assert (twice.code, "RPPAM-8608" in twice.err) == (1, True), twice
    [one] = json.loads((await rppam("ls", "--json")).out)["items"]
    assert (await rppam("rm", one["id"])).code == 0
    assert (await rppam("rm", one["id"])).code == 1
    assert (await by_key(place, path)).code == 255

    await age(place.served, 11 * 60_000)
    late = await rppam("add", str(path.with_suffix(".pub")))
    assert (late.code, "run 'rppam login', then this again" in late.err) == (2, True), late
    assert (await rppam("add", str(path.with_suffix(".pub")), typed=f"{PASSWORD}\n")).code == 0
    listed = await rppam("ls", "Admin", token=by_host)
    assert (listed.code, b"SHA256:" in listed.out) == (0, True), listed
    assert (await rppam("reset", "admin", token=by_host)).code == 0
    assert (await rppam("ls", "admin", token=by_host)).out == b""
    ended = await rppam("ls")
    assert (ended.code, "RPPAM-6005" in ended.err) == (2, True), ended
    nobody = await rppam("reset", "nobody", token=by_host)
    assert (nobody.code, "there is no account 'nobody'" in nobody.err) == (1, True), nobody
