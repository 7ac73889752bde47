"""A log-in with ssh that is approved in the browser, at another node than the one whose gateway it came to."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from sqlalchemy import update

from rppam.gateway import browser_logins_store
from rppam.gateway.ssh import in_browser, listener
from rppam.gateway.tables import ssh_tokens
from rppam.http.bounds import ApiLimits
from tests.access.mfa.test_api import enrolled, require
from tests.gateway.places import HOST, Ended, Place
from tests.gateway.test_register import recorded
from tests.gateway.test_user_keys import added, made, signed_in
from tests.requests.people import headers as log_in
from tests.support.authenticator import code
from tests.support.served import PASSWORD, Served
from tests.support.unnamed import names_nobody

pytestmark = [pytest.mark.integration]
LOGINS = "/api/v1/users/me/ssh-logins"


@pytest.fixture
async def other(served: Served, tmp_path: Path, limits: ApiLimits) -> AsyncIterator[Served]:
    """The node that serves the browser."""
    del served
    one = Served(tmp_path / "keys", limits, node="node2")
    await one.start()
    yield one
    await one.stop()


async def ssh(place: Place, *more: str, answers: tuple[str, ...] = (PASSWORD, "")) -> Ended:
    return await place.run("ssh", "-o", "LogLevel=INFO", *more, *place.options(), HOST, "echo in", answers=answers)


async def waiting(node: Served, headers: dict[str, str], count: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _ in range(200):
        found = (await node.http.get(LOGINS, headers=headers)).json()["items"]
        if len(found) == count:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(found)


async def decide(node: Served, headers: dict[str, str], one: dict[str, Any], what: str) -> int:
    answer = await node.http.post(f"{LOGINS}/{one['id']}/{what}", headers=headers)
    return answer.status_code


async def test_it_is_approved_at_another_node(place: Place, other: Served) -> None:
    await enrolled(place.served)
    browser = await log_in_admin(other, mfa=True)
    assert await waiting(other, browser, 0) == []
    running = asyncio.create_task(ssh(place))
    (one,) = await waiting(other, browser)
    assert (one["target"], one["client"]) == ("web1", "127.0.0.1")
    await signed_in(place, "ursula")
    ursula = await log_in(other, "ursula", mfa=True)
    assert await waiting(other, ursula, 0) == []
    assert await decide(other, ursula, one, "approve") == 404, "it is nobody else's"
    weak = await log_in_admin(other, mfa=False)
    assert await decide(other, weak, one, "approve") == 403, "what showed no second factor stands for none"
    await asyncio.sleep(0.5)
    assert not running.done()
    assert await decide(other, browser, one, "approve") == 204
    fine = await asyncio.wait_for(running, 10)
    assert (fine.code, fine.out) == (0, b"in\n"), fine
    (phrase,) = re.findall(r"with the phrase ([A-Z2-7]{4}-[A-Z2-7]{4}) within 2 min", fine.err)
    assert phrase == one["phrase"]
    assert await decide(other, browser, one, "approve") == 404, "once"
    (login,) = await recorded(place, "access.login")
    assert login["details"] == {"how": "password", "approved": "browser", "secondFactor": True}
    (approved,) = await recorded(place, "sshlogin.approve")
    assert (approved["object"]["id"], approved["details"]["login"]) == ("id-admin", one["id"])
    await names_nobody(place.served)


async def log_in_admin(node: Served, *, mfa: bool) -> dict[str, str]:
    return await log_in(node, "admin", mfa=mfa)


async def test_it_is_refused_there(place: Place, other: Served) -> None:
    await enrolled(place.served)
    browser = await log_in_admin(other, mfa=False)
    running = asyncio.create_task(ssh(place))
    (one,) = await waiting(other, browser)
    assert await decide(other, browser, one, "refuse") == 204
    refused = await asyncio.wait_for(running, 10)
    assert (refused.code, refused.out) == (255, b"")
    assert "this log-in was refused in the browser" in refused.err
    assert len(await recorded(place, "sshlogin.refuse")) == 1
    assert await recorded(place, "access.login") == []


async def test_nobody_approves_it(place: Place, other: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await enrolled(place.served)
    assert (await ssh(place, answers=("wrong",))).code == 255
    for module in (browser_logins_store, in_browser):
        monkeypatch.setattr(module, "WAITS_S", 6)
    monkeypatch.setattr(listener, "LOGIN_S", 0)  # 5 s for who has shown nothing
    late = await asyncio.wait_for(ssh(place), 20)
    assert (late.code, late.out) == (255, b"")
    assert "nobody approved this log-in within 6 s" in late.err
    assert await waiting(other, await log_in_admin(other, mfa=True), 0) == []


async def test_a_code_does_as_well_and_nothing_waits_then(place: Place, other: Served) -> None:
    _, secret, _ = await enrolled(place.served)
    fine = await ssh(place, answers=(PASSWORD, code(secret, 1)))
    assert (fine.code, fine.out) == (0, b"in\n"), fine
    assert "Give the code. Or sign in to the console" in fine.err
    assert await waiting(other, await log_in_admin(other, mfa=True), 0) == []


async def test_it_follows_a_key_and_counts_for_those_who_have_no_code(
    place: Place, other: Served, tmp_path: Path
) -> None:
    path = await made(tmp_path, "-t", "ed25519")
    await added(place, path, await signed_in(place))
    await require(place.served, "required_for_all")
    own = ("-o", "PubkeyAuthentication=yes", "-i", str(path), "-o", "IdentitiesOnly=yes")
    running = asyncio.create_task(ssh(place, *own, answers=("",)))
    browser = await log_in_admin(other, mfa=True)
    (one,) = await waiting(other, browser)
    assert await decide(other, browser, one, "approve") == 204
    fine = await asyncio.wait_for(running, 10)
    assert (fine.code, fine.out) == (0, b"in\n"), fine
    assert "Give the code" not in fine.err


async def test_what_ends_the_accounts_log_ins_ends_what_waits(place: Place, other: Served) -> None:
    await enrolled(place.served)
    browser = await log_in_admin(other, mfa=True)
    running = asyncio.create_task(ssh(place))
    (one,) = await waiting(other, browser)
    older = update(ssh_tokens).values(auth_epoch=ssh_tokens.c.auth_epoch - 1)
    await place.served.database.write(lambda connection: connection.execute(older).close())
    assert await decide(other, browser, one, "approve") == 404
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_who_knows_the_password_alone_cannot_fill_the_list(place: Place, other: Served) -> None:
    await enrolled(place.served)
    browser = await log_in_admin(other, mfa=True)
    tries = [asyncio.create_task(ssh(place, answers=(PASSWORD, " " * n))) for n in range(7)]
    found = await waiting(other, browser, 5)
    assert len({one["phrase"] for one in found}) == 5
    tokens = await other.http.get("/api/v1/users/me/ssh-tokens", headers=browser)
    assert tokens.json()["items"] == [], "they are no tokens that one could type"
    for one in found:
        assert await decide(other, browser, one, "refuse") == 204
    await asyncio.wait(tries, timeout=10)


async def test_it_can_be_switched_off(place: Place, other: Served) -> None:
    await enrolled(place.served)
    path = "/api/v1/settings/access/ssh"
    put = await place.served.http.put(path, json={"browserLogin": False}, headers=place.served.bearer())
    assert put.status_code == 200
    refused = await ssh(place)
    assert refused.code == 255
    assert "phrase" not in refused.err
    assert await waiting(other, await log_in_admin(other, mfa=True), 0) == []


class _Asked(asyncssh.SSHClient):
    """Gives the password, and says nothing more once it is asked for the second factor."""

    def __init__(self) -> None:
        self.second = asyncio.Event()

    async def kbdint_auth_requested(self) -> str:
        return ""

    async def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str]:
        if prompts and prompts[0][0] != "Password: ":
            self.second.set()
            await asyncio.sleep(60)
        return [PASSWORD for _ in prompts]


async def test_what_nobody_waits_for_any_more_is_offered_to_nobody(place: Place, other: Served) -> None:
    """Else who knows the password could fill the list, and keep it full, with connections that are gone."""
    await enrolled(place.served)
    browser = await log_in_admin(other, mfa=True)
    for _ in range(2):
        asked = _Asked()
        connecting = asyncio.create_task(_connect(place, asked))
        await asyncio.wait_for(asked.second.wait(), 10)
        (one,) = await waiting(other, browser)
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        assert await waiting(other, browser, 0) == []
        assert await decide(other, browser, one, "approve") == 404


async def _connect(place: Place, asked: _Asked) -> None:
    async with asyncssh.connect(
        HOST, place.port, username="admin+web1", client_factory=lambda: asked, known_hosts=None, client_keys=None,
        agent_path=None, config=None, kex_algs=["curve25519-sha256"], preferred_auth="keyboard-interactive",
    ):  # fmt: skip
        raise AssertionError("nobody has approved it")
