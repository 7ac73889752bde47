"""Sessions of two persons that lose their gateway, their user or who watches: nobody goes on with one alone."""

import asyncio
import contextlib
from typing import Any

import pytest

from rppam.access.accounts.api import USERS
from rppam.db.errors import DatabaseBusy
from rppam.gateway.ssh.second_person import Watch
from rppam.kernel.actor import Actor, ActorKind
from rppam.recordings.watchers import SqlWatchers
from tests.gateway import test_terminals
from tests.gateway.places import Place
from tests.gateway.test_kept import cut, sessions, terminal, until, until_recorded
from tests.gateway.test_reattach import wants
from tests.gateway.test_recorded import listed, verified
from tests.gateway.test_register import recorded
from tests.gateway.test_second_person import TWO, as_approver, watched
from tests.gateway.test_terminals import URL, bearer, shown
from tests.gateway.test_user_keys import signed_in

served = test_terminals.served
places = test_terminals.places
pytestmark = [pytest.mark.integration]
AGAIN = "goes on once somebody else watches it: rppam session watch "


@pytest.fixture(autouse=True)
async def two(places: list[Place]) -> None:
    for place in places:
        place.routes.add("two", place.target.port, place.target.user, place.key, tags=("two-person",))


async def heard(process: Any, word: str) -> str:
    """What is on standard error, up to a word."""
    text = ""
    async with asyncio.timeout(15):
        while word not in text:
            data = await process.stderr.read(4096)
            assert data, text
            text += data
    return text


async def begun(place: Place, headers: dict[str, str]) -> tuple[contextlib.AsyncExitStack, Any, dict[str, Any]]:
    """A shell that an approver has had begin, who watches until the stack is closed, and its recording."""
    stack = contextlib.AsyncExitStack()
    client = await stack.enter_async_context(place.client(TWO))
    screen = await terminal(client)
    await heard(screen.process, "rppam session watch")
    (one,) = await listed(place)
    async with watched(place, one["id"], headers):
        screen.type("mark=$((40+2)); echo was-$mark\n")
        await screen.until("was-42\r\n")
    return stack, client, one


async def test_who_comes_back_waits_until_somebody_watches_and_the_shell_is_kept(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = places
    approver = await as_approver(a)
    stack, client, one = await begun(a, approver)
    cut(client)
    await stack.aclose()
    await until_recorded(a, "access.detach")

    with monkeypatch.context() as soon:
        soon.setattr("rppam.gateway.ssh.second_person.WAIT_S", 0.5)
        async with b.client(TWO) as alone:
            screen = await terminal(alone)
            said = await heard(screen.process, "RPPAM-8624")
            assert AGAIN + one["session"] in said
            await screen.process.wait()
            assert "was-42" not in screen.text, "nothing of it is shown to somebody alone"
    (kept,) = await sessions(a)
    assert (kept["active"], kept["detachedAt"] is not None) == (True, True), "it is kept as any other"
    assert await recorded(a, "access.reattach") == []

    async with b.client(TWO) as again:
        screen = await terminal(again)
        await heard(screen.process, AGAIN)
        async with watched(b, one["id"], approver):
            await screen.until("was-42\r\n")
            screen.type("echo still-$mark; exit\n")
            await screen.until("still-42\r\n")
            await screen.process.wait()
    seconds = await recorded(a, "access.second")
    assert [each["details"].get("again", False) for each in seconds] == [False, True]
    assert {each["object"]["id"] for each in seconds} == {one["session"]}
    assert (await verified(a, one["id"]))["ok"]
    await until(lambda: a.target.held == [])


async def test_who_went_on_watching_counts_at_once(places: list[Place]) -> None:
    a, b = places
    approver = await as_approver(a)
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(a.client(TWO))
        screen = await terminal(client)
        await heard(screen.process, "rppam session watch")
        (one,) = await listed(a)
        await stack.enter_async_context(watched(b, one["id"], approver))
        screen.type("mark=$((40+2)); echo was-$mark\n")
        await screen.until("was-42\r\n")
        cut(client)
        await until_recorded(a, "access.detach")
        back = await terminal(await stack.enter_async_context(b.client(TWO)))
        said = await heard(back.process, "watches this session")
        assert AGAIN not in said
        back.type("echo still-$mark; exit\n")
        await back.until("still-42\r\n")
        await back.process.wait()


async def test_what_was_not_recorded_cannot_be_gone_on_with(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = places
    wants(a, monkeypatch, recording="off", two_person_tag="other")
    async with a.client(TWO) as client:
        screen = await terminal(client)
        screen.type("echo was-$((40+2))\n")
        await screen.until("was-42\r\n")
        cut(client)
    await until_recorded(a, "access.detach")
    wants(a, monkeypatch)  # the target has the tag only now
    async with b.client(TWO) as alone:
        back = await terminal(alone)
        assert "this one was not recorded" in await heard(back.process, "RPPAM-8624")
        await back.process.wait()
    (one,) = await sessions(a)
    killed = await a.served.http.post(
        f"/api/v1/access/sessions/{one['id']}/kill", json={"reason": "over"}, headers=a.served.bearer()
    )
    assert killed.status_code < 300
    await until(lambda: a.target.held == [])


async def test_a_terminal_whose_gateway_died_while_it_waited_waits_anew(places: list[Place]) -> None:
    a, _ = places
    approver = await as_approver(a)
    answer = await a.served.http.post(URL, json={"target": "two"}, headers=await bearer(a.served))
    ident, held = answer.json()["id"], a.gateway.gate.holding.held
    kept = await held.find(ident)
    assert kept is not None
    assert await held.take(kept, "node9", "a gateway that died", "192.0.2.7", Actor(ActorKind.NODE, "node9"))
    user = await shown(a, ident)
    await until(lambda: any("begins once" in text for text in user.told), 20)
    (one,) = await listed(a)
    user.type("echo on-$((40+2)); exit 7\n")
    async with watched(a, one["id"], approver):
        assert (await user.ended()).status == 7
    assert b"on-42" in user.out
    await until_recorded(a, "access.end")
    await until(lambda: a.target.held == [])


async def test_throughout_a_session_ends_when_nobody_watches_any_more(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = places
    wants(a, monkeypatch, two_person="throughout")
    approver = await as_approver(a)
    monkeypatch.setattr("rppam.gateway.ssh.second_person.ALONE_S", 4.0)
    async with a.client(TWO) as client:
        screen = await terminal(client)
        await heard(screen.process, "rppam session watch")
        (one,) = await listed(a)
        async with watched(a, one["id"], approver):
            screen.type("echo on-$((40+2))\n")
            await screen.until("on-42")
        await asyncio.sleep(1.5)  # whoever lost the connection watches at another node
        async with watched(b, one["id"], approver):
            await asyncio.sleep(4.5)
            screen.type("echo still-$((40+2))\n")
            await screen.until("still-42")
        await heard(screen.process, "this session is ended: nobody else watches it any more")
    (ended,) = await until_ended(a)
    assert ended["details"]["why"] == "nobody else watches it any more"
    await until(lambda: a.target.held == [])


async def until_ended(place: Place) -> list[dict[str, Any]]:
    await until_recorded(place, "access.end")
    return await recorded(place, "access.end")


async def test_at_the_start_is_enough_where_the_policy_says_so(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = places
    monkeypatch.setattr("rppam.gateway.ssh.second_person.ALONE_S", 0.0)
    stack, client, _ = await begun(a, await as_approver(a))
    for _ in range(2):
        await Watch(a.gateway.gate).look()
    await asyncio.sleep(1.5)
    assert [one["active"] for one in await sessions(a)] == [True]
    client.close()
    await stack.aclose()
    await until(lambda: a.target.held == [])


async def test_throughout_who_has_lost_the_role_counts_no_more(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where they may go on watching, as auditors may."""
    a, _ = places
    wants(a, monkeypatch, two_person="throughout")
    monkeypatch.setattr("rppam.gateway.ssh.second_person.ALONE_S", 1.0)
    await as_approver(a)
    await roles(a, "pam_approver", "pam_auditor")
    ursula = await signed_in(a, "ursula")
    async with a.client(TWO) as client:
        screen = await terminal(client)
        await heard(screen.process, "rppam session watch")
        (one,) = await listed(a)
        async with watched(a, one["id"], ursula):
            screen.type("echo on-$((40+2))\n")
            await screen.until("on-42")
            await roles(a, "pam_auditor")
            await heard(screen.process, "this session is ended: nobody else watches it any more")
            path = f"/api/v1/recordings/{one['id']}"
            assert (await a.served.http.get(path, headers=ursula)).status_code == 200, "she may see it still"
    await until(lambda: a.target.held == [])


async def roles(place: Place, *names: str) -> None:
    path = f"{USERS}/id-ursula/roles"
    put = await place.served.http.put(path, json={"roles": names}, headers=place.served.bearer())
    assert put.status_code == 200, put.text


async def test_what_waited_and_is_over_is_shown_to_nobody(places: list[Place], monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = places
    wants(a, monkeypatch, two_person="throughout")
    monkeypatch.setattr("rppam.gateway.ssh.second_person.ALONE_S", 2.0)
    approver = await as_approver(a)
    stack, client, one = await begun(a, approver)
    await until_ended(a)
    client.close()
    await stack.aclose()
    path = "/api/v1/recordings"
    assert (await a.served.http.get(f"{path}/{one['id']}/watch", headers=approver)).status_code == 404
    seen = await a.served.http.get(path, params={"session": one["session"]}, headers=approver)
    assert seen.json()["items"] == []
    await until(lambda: a.target.held == [])


async def test_the_watch_survives_whatever_is_wrong_and_forgets_nobody_over_it(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = places
    wants(a, monkeypatch, two_person="throughout")
    monkeypatch.setattr("rppam.gateway.ssh.second_person.ALONE_S", 2.5)
    approver = await as_approver(a)
    second, tries = SqlWatchers.other, []

    async def broken(store: SqlWatchers, recording: str, user_id: str) -> tuple[str, str]:
        tries.append(1)
        if len(tries) % 2:
            raise DatabaseBusy("away") if len(tries) % 4 == 1 else RuntimeError("nobody foresaw this")
        return await second(store, recording, user_id)

    stack, client, _ = await begun(a, approver)
    monkeypatch.setattr(SqlWatchers, "other", broken)
    await asyncio.wait_for(until_ended(a), 20)
    client.close()
    await stack.aclose()
    await until(lambda: a.target.held == [])
