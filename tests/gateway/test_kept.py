"""A shell that loses its user or its gateway is kept by its target, and its user finds it again at any gateway."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from rppam.gateway.cli import state_of
from rppam.gateway.holder import protocol
from rppam.gateway.holder.shell import StaleError, attach
from rppam.gateway.model import Alive
from rppam.gateway.policy import ACCESS, AccessPolicy
from rppam.gateway.ssh.holding import Terminal
from rppam.gateway.ssh.reaper import _Last
from rppam.gateway.store import SqlAccess
from rppam.gateway.taping import Taping
from rppam.recordings.errors import RecordingTaken
from rppam.recordings.model import Chunk, State
from rppam.recordings.service import Recordings
from rppam.recordings.store import SqlRecordings
from tests.gateway.places import HOST, Place, Sshd
from tests.gateway.test_recorded import bytes_of, exported, listed, verified
from tests.gateway.test_register import recorded
from tests.support.served import Served

_SMALL = Terminal(80, 24, "xterm")
pytestmark = [pytest.mark.integration]


@pytest.fixture
def policy() -> dict[str, Any]:
    return {}


@pytest.fixture
async def places(
    served: Served, tmp_path: Path, target: Sshd, policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[Place]]:
    """Two gateways of one cluster."""
    current = type(served.live).current
    wanted = AccessPolicy(**policy)
    monkeypatch.setattr(type(served.live), "current", lambda live, one: wanted if one is ACCESS else current(live, one))
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            one = Place(served, tmp_path / name, target, Taping(served.services.get(Recordings), served.live))
            await one.start()
            stack.push_async_callback(one.stop)
            found.append(one)
        yield found


class Screen:
    """A user with a terminal."""

    def __init__(self, process: Any) -> None:
        self.process, self.text = process, ""

    def type(self, text: str) -> None:
        self.process.stdin.write(text)

    async def until(self, word: str, patience_s: float = 10) -> None:
        async with asyncio.timeout(patience_s):
            while word not in self.text:
                data = await self.process.stdout.read(65536)
                assert data, self.text
                self.text += data


async def terminal(client: Any) -> Screen:
    return Screen(await client.create_process(term_type="xterm", term_size=(90, 20)))


async def answering(client: Any, first: str = "") -> Screen:
    """A terminal whose shell has done ``first`` and answers."""
    screen = await terminal(client)
    screen.type(f"{first}echo on-$((40+2))\n")
    await screen.until("on-42")
    return screen


def cut(client: Any) -> None:
    """As a user whose network is gone."""
    client._transport.abort()


async def sessions(place: Place) -> list[dict[str, Any]]:
    answer = await place.served.http.get("/api/v1/access/sessions", headers=place.served.bearer())
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def until(holds: Callable[[], bool], patience_s: float = 10) -> None:
    for _ in range(int(patience_s / 0.05)):
        if holds():
            return
        await asyncio.sleep(0.05)
    assert holds()


async def until_recorded(place: Place, action: str, count: int = 1) -> None:
    for _ in range(200):
        if len(await recorded(place, action)) >= count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"no {action}")


async def test_who_was_cut_off_goes_on_at_another_gateway_in_the_same_recording(places: list[Place]) -> None:
    a, b = places
    async with a.client() as client:
        screen = await terminal(client)
        screen.type("mark=$((40+2)); stty size; echo was-$mark\n")
        await screen.until("was-42")
        assert "20 90" in screen.text
        cut(client)
    await until_recorded(a, "access.detach")
    async with b.client() as client:
        screen = await terminal(client)
        await screen.until("was-42")
        assert "back in the session" in (await asyncio.wait_for(screen.process.stderr.readline(), 5))
        screen.type("echo still-$mark; exit 7\n")
        await screen.until("still-42")
        ended = await screen.process.wait()
        assert ended.exit_status == 7
    (one,) = await listed(a)
    assert (one["state"], one["exit"]) == ("done", "7")
    raw = bytes_of(await exported(a, one["id"], "ttyrec"))
    assert raw.count(b"\r\nwas-42\r\n") == 1
    assert raw.count(b"still-42\r\n") == 1
    assert (await verified(a, one["id"]))["ok"]
    assert [len(await recorded(a, f"access.{word}")) for word in ("start", "detach", "reattach", "end")] == [1, 1, 1, 1]
    await until(lambda: a.target.held == [])


async def test_a_connection_whose_session_another_took_up_opens_nothing_more(places: list[Place]) -> None:
    """Nobody would look after it: orders and rights are those of whoever has the session."""
    a, _ = places
    async with a.client() as one, a.client() as two:
        screen = await answering(one)
        (had,) = a.gateway.gate.live
        assert had.shell is not None
        had.shell.detach()  # as its user can, who ends on the target what attaches
        await until_recorded(a, "access.channel")
        assert (await one.run("echo still-in")).stdout == "still-in\n"
        screen = await terminal(two)
        await screen.until("on-42")
        assert not a.gateway.gate.holds(had)
        with pytest.raises((asyncssh.ChannelOpenError, asyncssh.ProcessError, asyncssh.ConnectionLost)):
            await one.run("echo still-in", check=True)
        await asyncio.wait_for(one.wait_closed(), 5)
        assert [live.generation for live in a.gateway.gate.live] == [2]


async def test_who_leaves_ends_the_shell(places: list[Place]) -> None:
    a, _ = places
    async with a.client() as client:
        await answering(client)
    await until(lambda: a.target.held == [])
    await until_recorded(a, "access.end")
    assert await recorded(a, "access.detach") == []


async def test_a_second_window_is_a_session_of_its_own(places: list[Place]) -> None:
    a, b = places
    async with a.client() as one, b.client() as other:
        await answering(one, "mark=first; ")
        second = await terminal(other)
        second.type("echo mark-$mark-\n")
        await second.until("mark--")
    await until_recorded(a, "access.end", 2)


async def test_what_was_said_meanwhile_is_in_the_recording_once(places: list[Place]) -> None:
    a, b = places
    async with a.client() as client:
        screen = await terminal(client)
        screen.type(
            "for i in $(seq 1 3000); do echo line-$i; [ $((i%100)) = 0 ] && sleep 0.1; done; echo all-$((1+1))\n"
        )
        await screen.until("line-300\r\n")
        cut(client)
    await until_recorded(a, "access.detach")
    for number, place in ((2, b), (3, a)):
        async with place.client() as client:
            screen = await terminal(client)
            await screen.until(f"line-{number}00\r\n")
            await screen.until(f"line-{number * 500}\r\n")
            cut(client)
        await until_recorded(a, "access.detach", number)
    async with a.client() as client:
        screen = await terminal(client)
        await screen.until("all-2")
        screen.type("exit\n")
        assert (await screen.process.wait()).exit_status == 0
    (one,) = await listed(a)
    raw = bytes_of(await exported(a, one["id"], "ttyrec"))
    assert b"".join(b"line-%d\r\n" % number for number in range(1, 3001)) in raw
    assert (await verified(a, one["id"]))["ok"]
    await until(lambda: a.target.held == [])


async def test_an_administrator_ends_a_shell_that_nobody_is_attached_to(places: list[Place]) -> None:
    a, b = places
    async with a.client() as client:
        await answering(client)
        cut(client)
    await until_recorded(a, "access.detach")
    (one,) = await sessions(a)
    assert one["active"]
    assert state_of(one) == f"kept, nobody attached since {one['detachedAt']}"
    answer = await b.served.http.post(
        f"/api/v1/access/sessions/{one['id']}/kill", json={"reason": "lunch"}, headers=b.served.bearer()
    )
    assert answer.status_code == 200
    await until_recorded(a, "access.end")
    await until(lambda: a.target.held == [])
    (tape,) = await listed(a)
    assert tape["state"] == "done"
    (one,) = await sessions(a)
    assert state_of(one) == one["why"] != ""


@pytest.mark.parametrize("policy", [{"resume": "never"}], ids=["never"])
async def test_where_the_policy_keeps_none_a_lost_connection_ends_the_shell(places: list[Place]) -> None:
    a, _ = places
    async with a.client() as client:
        await answering(client)
        assert a.target.held == []
        cut(client)
    await until_recorded(a, "access.end")


@pytest.mark.parametrize("policy", [{"resume": "ask"}], ids=["ask"])
async def test_where_the_policy_asks_the_user_decides(places: list[Place]) -> None:
    a, b = places
    async with a.client() as client:
        screen = await answering(client, "mark=1; ")
        cut(client)
    await until_recorded(a, "access.detach")
    async with b.client() as client:
        screen = await terminal(client)
        await screen.until("Go on with it? [Y/n]")
        screen.type("n")
        await screen.until("no\r\n")
        screen.type("echo mark-$mark-\n")
        await screen.until("mark--")
        screen.type("exit\n")
        await screen.process.wait()
    async with b.client() as client:
        screen = await terminal(client)
        await screen.until("[Y/n]")
        screen.type("\n")
        await screen.until("on-42")
        screen.type("echo mark-$mark-; exit\n")
        await screen.until("mark-1-")
        await screen.process.wait()


async def test_a_target_that_cannot_keep_a_shell_says_so_at_the_start(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "COMMAND", protocol.COMMAND.replace("python3", "python3-that-is-not-there"))
    async with places[0].client() as client:
        screen = await terminal(client)
        said = await asyncio.wait_for(screen.process.stderr.readline(), 10)
        assert "this session ends when its connection does: web1 cannot keep it, as it has no python3" in said
        screen.type("echo on-$((40+2)); exit 3\n")
        await screen.until("on-42")
        assert (await screen.process.wait()).exit_status == 3


async def test_what_a_gateway_that_was_away_still_writes_is_refused_everywhere(places: list[Place]) -> None:
    a, b = places
    key = asyncssh.import_private_key(a.target.private_key)
    own = asyncssh.connect(
        HOST, a.target.port, username=a.target.user, client_keys=[key], known_hosts=None, config=None,
        agent_path=None, kex_algs=["curve25519-sha256"],
    )  # fmt: skip
    async with a.client() as client, own as other:
        screen = await answering(client)
        (access,) = a.gateway.gate._live.values()
        holding, served = b.gateway.gate.holding, b.served
        await until(lambda: bool(access.shell and access.shell._told))
        kept = await holding.held.find(access.new.id)
        assert kept is not None
        tape = (await served.services.get(SqlRecordings).get(kept.recording))._asdict()
        resumed = await holding.resume([kept], other, access.actor, "", _SMALL, lambda _: None, steal=True)
        assert resumed is not None
        store, recordings = served.services.get(SqlAccess), served.services.get(SqlRecordings)
        ident, old = access.new.id, 1
        chunk = Chunk(tape["chunks"] + 1, "00" * 32, b"stolen")
        with pytest.raises(RecordingTaken):
            await recordings.append(kept.recording, [chunk], 1, access.actor, tell=False, generation=old, output=9)
        with pytest.raises(RecordingTaken):
            await recordings.end(kept.recording, State.DONE, "0", access.actor, old)
        assert not await store.end(ident, "stolen", 0, 0, access.actor, old)
        assert not await holding.held.detach(ident, old, "stolen", 0, 0, access.actor)
        assert not await holding.held.take(kept, "node1", "boot", "", access.actor)
        assert (await store.tick({ident: Alive(old, 0, 999_999)})).taken == {ident}
        ask = holding._ask(
            ident, (await holding._keys.unseal(kept.holder, kept.place)).reveal(), old, _SMALL, is_new=False
        )
        with pytest.raises(StaleError):
            await attach(other, ask, {}, 65536)
        found = await store.find(ident)
        assert found is not None
        assert (found.active, found.bytes_down < 999_999) == (True, True)
        assert (await screen.process.wait()).exit_status == 255
        await until_recorded(a, "access.reattach")
        assert await recorded(a, "access.detach") == []
        assert (await verified(a, kept.recording))["ok"]
        last = _Last(resumed.tape)
        resumed.tape.on_kept(resumed.shell.kept)
        resumed.shell.begin(last)
        resumed.shell.end()
        await asyncio.wait_for(last.over.wait(), 10)
        await resumed.tape.close("over")
        resumed.shell.heard()
        await resumed.shell.gone()
    await until(lambda: a.target.held == [])
