"""Kept shells end when they are to, whatever their users may by then and whatever is wrong with others."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from rppam.access.accounts.store import SqlAccounts
from rppam.access.sessions.model import Identity, SessionKind
from rppam.gateway.errors import TooManyKept
from rppam.gateway.held_store import KEPT_MAX, NOT_BEGUN, SqlHeld
from rppam.gateway.holder import protocol
from rppam.gateway.model import NewAccess
from rppam.gateway.policy import ACCESS, AccessPolicy
from rppam.gateway.ports import Ways
from rppam.gateway.ssh.reaper import Reaper
from rppam.gateway.taping import Taping
from rppam.gateway.terminals_service import TerminalOpening
from rppam.gateway.wiring import ways_of
from rppam.http.bounds import ApiLimits
from rppam.kernel.actor import Actor, ActorKind
from rppam.recordings.service import Recordings
from tests.gateway.places import HOST, Place, Sshd, sshd
from tests.gateway.test_false_holder import replace_holder
from tests.gateway.test_kept import answering, cut, sessions, terminal, until, until_recorded
from tests.gateway.test_recorded import listed
from tests.gateway.test_register import recorded
from tests.gateway.test_vault_routes import Catalogue
from tests.support.served import Served

pytestmark = [pytest.mark.integration]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    (tmp_path / "node1").mkdir()
    one = Served(tmp_path / "node1", ApiLimits(), more={"access": {"enabled": True}})
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Sshd]:
    """One whose shells are no other test's."""
    with sshd(tmp_path / "target") as one:
        yield one


@pytest.fixture
async def place(served: Served, tmp_path: Path, target: Sshd, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """A gateway with the vault behind it, that records."""
    current = type(served.live).current
    monkeypatch.setattr(
        type(served.live), "current", lambda live, one: AccessPolicy() if one is ACCESS else current(live, one)
    )
    ways, taping = ways_of(served.services), Taping(served.services.get(Recordings), served.live)
    one = Place(served, tmp_path, target, ways=Ways(ways.routes, ways.known_hosts, taping))
    await one.start()
    yield one
    await one.stop()


@contextlib.asynccontextmanager
async def reaping(place: Place) -> AsyncIterator[None]:
    task = asyncio.create_task(Reaper(place.gateway.gate, place.served.services.get(SqlAccounts)).run(0.05))
    yield
    assert not task.done()
    task.cancel()


async def cut_off(place: Place, user: str = "ursula+web1") -> str:
    """A shell that ursula has lost."""
    async with place.client(user) as client:
        await answering(client)
        cut(client)
    await until_recorded(place, "access.detach")
    ident: str = next(one["id"] for one in await sessions(place) if one["target"] == "web1")
    return ident


async def set_up(place: Place) -> tuple[Catalogue, str, str]:
    """A target whose account ursula may use; its id, and that of the folder."""
    catalogue, target = Catalogue(place.served), place.target
    new = {"name": "web1", "kind": "ssh", "address": HOST, "port": target.port, "hostKeyPolicy": "tofu"}
    resource = (await catalogue.ask("POST", "/api/v1/resources", new))["id"]
    await catalogue.account(resource, target.user, {"privateKey": target.private_key})
    folders = (await catalogue.ask("GET", "/api/v1/vault/folders"))["items"]
    folder = next(one["id"] for one in folders if one["path"] == "unix")
    right = {"items": [{"role": "pam_user", "rights": ["use"]}]}
    await catalogue.ask("PUT", f"/api/v1/vault/folders/{folder}/rights", right)
    return catalogue, resource, folder


async def kill(place: Place, ident: str) -> None:
    path = f"/api/v1/access/sessions/{ident}/kill"
    answer = await place.served.http.post(path, json={"reason": "lunch"}, headers=place.served.bearer())
    assert answer.status_code == 200


async def ended(place: Place) -> Any:
    await until_recorded(place, "access.end")
    await until(lambda: place.target.held == [])
    (end,) = await recorded(place, "access.end")
    assert end["actor"]["kind"] == "node"
    (tape,) = await listed(place)
    assert tape["state"] == "done"
    return end["details"]["why"]


async def test_a_shell_whose_user_has_no_right_any_more_is_ended(place: Place) -> None:
    catalogue, _, folder = await set_up(place)
    await cut_off(place)
    async with reaping(place):
        await asyncio.sleep(0.3)
        assert (await sessions(place))[0]["active"], "it waits for its user"
        await catalogue.ask("PUT", f"/api/v1/vault/folders/{folder}/rights", {"items": []})
        assert await ended(place) == "the access to this account has ended"
    used = await recorded(place, "secret.use")
    assert [one["actor"]["kind"] for one in used] == ["node", "user"] or len(used) == 2
    assert all(place.target.private_key not in str(one) for one in used)


async def test_a_shell_is_ended_while_somebody_else_has_its_secret(place: Place) -> None:
    catalogue, resource, _ = await set_up(place)
    ident = await cut_off(place)
    entry = (await catalogue.ask("GET", "/api/v1/vault/entries"))["items"][0]["id"]
    await catalogue.ask("PUT", f"/api/v1/vault/entries/{entry}", {"exclusive": True})
    await catalogue.ask("POST", "/api/v1/vault/checkouts", {"entryId": entry, "reason": "work", "minutes": 30})
    # What was its target is called otherwise, and another has its name.
    other = {"name": "web1", "kind": "ssh", "address": HOST, "port": 9, "hostKeyPolicy": "tofu"}
    renamed = {**other, "name": "web2", "port": place.target.port}
    await catalogue.ask("PUT", f"/api/v1/resources/{resource}", renamed)
    await catalogue.ask("POST", "/api/v1/resources", other)
    await kill(place, ident)
    async with reaping(place):
        assert await ended(place) == "ended by an administrator while nobody was attached"


async def test_what_has_not_said_that_it_ended_is_not_closed(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_up(place)
    ident = await cut_off(place)
    await kill(place, ident)
    genuine = protocol.COMMAND
    silent = "{**dict.fromkeys(('from', 'off', 'end'), ask['off']), 'in': 0}"
    replace_holder(tmp_path, monkeypatch, silent, said="")
    monkeypatch.setattr("rppam.gateway.ssh.reaper.END_S", 0.3)
    async with reaping(place):
        await until_recorded(place, "access.detach", 2)
    assert (await sessions(place))[0]["active"]
    monkeypatch.setattr(protocol, "COMMAND", genuine)
    monkeypatch.setattr("rppam.gateway.ssh.reaper.END_S", 10)
    async with reaping(place):
        assert await ended(place) == "ended by an administrator while nobody was attached"


async def waiting(place: Place, count: int, user: str) -> list[str]:
    """Terminals that were opened and not begun."""
    held = place.served.services.get(SqlHeld)
    actor = Actor(ActorKind.USER, user, user)
    idents = [f"{user}-{number:02}" for number in range(count)]
    for ident in idents:
        new = NewAccess(ident, user, user, 1, "t", "gone", "a", "root", "terminal", "", "node1", "")
        await held.open(new, NOT_BEGUN, 0, actor, {})
    return idents


async def test_those_that_were_not_begun_keep_nobody_waiting(place: Place) -> None:
    await set_up(place)
    await waiting(place, 30, "id-admin")
    ident = await cut_off(place)
    await kill(place, ident)
    held = place.served.services.get(SqlHeld)
    first, *_ = await held.due()
    assert (first[0].id, len(await held.due([ident]))) == (ident, 20)
    async with reaping(place):
        await until_recorded(place, "access.end", 31)
    await until(lambda: place.target.held == [])
    assert not any(one["active"] for one in await sessions(place))


async def test_a_user_has_so_many_kept_sessions_at_most(place: Place) -> None:
    await set_up(place)
    await waiting(place, KEPT_MAX, "id-ursula")
    async with place.client("ursula+web1") as client:
        screen = await terminal(client)
        said = await asyncio.wait_for(screen.process.stderr.readline(), 10)
        assert f"as {KEPT_MAX} sessions of yours are kept already: end one by 'exit' in it" in said
        screen.type("exit\n")
        await screen.process.wait()
    assert place.target.held == []
    opening = place.served.services.get(TerminalOpening)
    ursula = Identity("ursula", "id-ursula", frozenset(), "", SessionKind.LOGIN, True)
    with pytest.raises(TooManyKept):
        await opening.open(ursula, "web1", "")


async def test_a_kill_ends_a_shell_that_takes_nothing(place: Place) -> None:
    await set_up(place)
    async with place.client("ursula+web1") as client:
        screen = await terminal(client)
        screen.type("stty raw -echo; echo on-$((40+2)); exec sleep 77\n")
        await screen.until("on-42")
        screen.type("x" * 180_000)
        await asyncio.sleep(0.3)
        (one,) = await sessions(place)
        await kill(place, one["id"])
        await until_recorded(place, "access.end")
    await until(lambda: place.target.held == [], 3)
    (end,) = await recorded(place, "access.end")
    assert end["details"]["why"] == "ended by an administrator: lunch"


async def test_a_live_session_is_not_closed_before_its_shell_has_ended(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_up(place)
    monkeypatch.setattr("rppam.gateway.holder.shell.LAST_S", 0.5)
    async with place.client("ursula+web1") as client:
        screen = await answering(client, "echo pid-$PPID-; ")
        found = re.search(r"pid-(\d+)-", screen.text)
        assert found
        os.kill(int(found.group(1)), signal.SIGSTOP)
        (one,) = await sessions(place)
        await kill(place, one["id"])
        await until_recorded(place, "access.detach")
    assert await recorded(place, "access.end") == []
    os.kill(int(found.group(1)), signal.SIGCONT)
    monkeypatch.setattr("rppam.gateway.holder.shell.LAST_S", 6)
    async with reaping(place):
        await until_recorded(place, "access.end")
    await until(lambda: place.target.held == [])
