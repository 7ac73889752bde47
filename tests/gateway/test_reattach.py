"""What a kept session is worth when somebody comes back to it: recorded as the policy says by then, named in every
event, and over only where nothing is missing."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from rppam.access.accounts.store import SqlAccounts
from rppam.db.errors import DatabaseBusy
from rppam.gateway.holder import protocol
from rppam.gateway.holder.protocol import HolderError
from rppam.gateway.policy import ACCESS, AccessPolicy
from rppam.gateway.ssh.holding import GONE, NOW_RECORDED
from rppam.gateway.ssh.reaper import Reaper
from rppam.gateway.tables import access_sessions
from rppam.recordings.store import SqlRecordings
from tests.gateway import test_ended, test_kept
from tests.gateway.places import Place
from tests.gateway.test_false_holder import replace_holder
from tests.gateway.test_kept import cut, sessions, terminal, until, until_recorded
from tests.gateway.test_recorded import bytes_of, exported, listed, verified
from tests.gateway.test_register import recorded

place, served, target = test_ended.place, test_ended.served, test_ended.target
places, policy = test_kept.places, test_kept.policy
pytestmark = [pytest.mark.integration]


def wants(place: Place, monkeypatch: pytest.MonkeyPatch, **policy: Any) -> None:
    current, wanted = type(place.served.live).current, AccessPolicy(**policy)
    monkeypatch.setattr(
        type(place.served.live), "current", lambda live, one: wanted if one is ACCESS else current(live, one)
    )


async def left(place: Place, typed: str = "", user: str = "admin+web1") -> int:
    """A shell whose user was cut off, with what was typed last; the process that holds it."""
    async with place.client(user) as client:
        screen = await terminal(client)
        screen.type("mark=$((40+2)); echo of-$PPID; echo was-$mark\n")
        await screen.until("was-42\r\n")
        screen.type(typed)
        if typed:
            await asyncio.sleep(0.2)
        cut(client)
    await until_recorded(place, "access.detach")
    found = re.search(r"of-(\d+)\r\n", screen.text)
    assert found
    return int(found.group(1))


@contextlib.asynccontextmanager
async def reaping(place: Place) -> AsyncIterator[None]:
    task = asyncio.create_task(Reaper(place.gateway.gate, place.served.services.get(SqlAccounts)).run(0.05))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()


async def full(*_: object, **__: object) -> None:
    raise DatabaseBusy("no space is left")


async def looked_for_long_ago(place: Place) -> None:
    longer = {"seen": access_sessions.c.seen - 61_000, "detached": access_sessions.c.detached - 61_000}
    waiting = update(access_sessions).where(access_sessions.c.detached.is_not(None)).values(**longer)
    await place.served.database.write(lambda connection: connection.execute(waiting))


@pytest.mark.parametrize("policy", [{"recording": "off"}], ids=["off"])
async def test_a_session_that_was_not_recorded_is_from_now_on_where_the_policy_asks_for_it(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = places
    await left(a)
    assert await listed(a) == []
    wants(b, monkeypatch, recording="strict")
    async with b.client() as client:
        screen = await terminal(client)
        assert "back in the session" in await asyncio.wait_for(screen.process.stderr.readline(), 10)
        assert NOW_RECORDED in await asyncio.wait_for(screen.process.stderr.readline(), 10)
        await screen.until("was-42\r\n")
        screen.type("echo still-$mark\n")
        await screen.until("still-42\r\n")
        cut(client)
    await until_recorded(a, "access.detach", 2)
    async with a.client() as client:
        screen = await terminal(client)
        await screen.until("still-42\r\n")
        screen.type("echo last-$mark; exit 7\n")
        assert (await screen.process.wait()).exit_status == 7
    (one,) = await listed(a)
    raw = bytes_of(await exported(a, one["id"], "ttyrec"))
    assert [raw.count(word) for word in (b"was-42\r\n", b"still-42\r\n", b"last-42\r\n")] == [1, 1, 1]
    assert (one["state"], one["exit"], (await verified(a, one["id"]))["ok"]) == ("done", "7", True)


@pytest.mark.parametrize("policy", [{"recording": "off"}], ids=["off"])
async def test_where_it_cannot_be_recorded_nobody_goes_on_with_it_but_it_is_kept(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = places
    await left(a)
    wants(b, monkeypatch)
    with monkeypatch.context() as broken:
        broken.setattr(SqlRecordings, "begin", full)
        async with b.client() as client:
            screen = await terminal(client)
            said = await asyncio.wait_for(screen.process.stderr.readline(), 10)
            assert "this session cannot be recorded: no space is left" in said
            assert "RPPAM-8702" in said
        await until_recorded(a, "access.detach", 2)
    assert (await sessions(a))[0]["active"]
    async with b.client() as client:
        screen = await terminal(client)
        screen.type("echo still-$mark; exit\n")
        await screen.until("still-42\r\n")
        await screen.process.wait()


async def test_every_event_names_a_session_that_there_is(place: Place) -> None:
    await test_ended.set_up(place)
    ident = await test_ended.cut_off(place)
    async with place.client("ursula+web1") as client:
        screen = await terminal(client)
        await screen.until("on-42")
        async with place.client("ursula+web1") as other:  # a second window looks whether somebody has the first
            second = await terminal(other)
            second.type("echo anew-$((40+2)); exit\n")
            await second.until("anew-42")
            await second.process.wait()
        screen.type("exit\n")
        await screen.process.wait()
    await until_recorded(place, "access.end", 2)
    known = {one["id"] for one in await sessions(place)}
    assert len(known) == 2
    used = [one["reason"] or str(one["details"]) for one in await recorded(place, "secret.use")]
    named = [next((one for one in known if one in text), text) for text in used]
    assert set(named) == known, "the way of each session was opened in its own name"
    assert all(one["actor"]["session"] in known for one in await recorded(place, "secret.use"))
    (again,) = await recorded(place, "access.reattach")
    assert (again["object"]["id"], again["actor"]["session"]) == (ident, ident)


async def test_what_was_not_recorded_is_not_acknowledged_and_ends_no_session(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await test_ended.set_up(place)
    monkeypatch.setattr("rppam.recordings.recorder.LOSS_S", 0.3)
    monkeypatch.setattr("rppam.gateway.ssh.reaper.AGAIN_S", 0.5)
    async with place.client("ursula+web1") as client:
        screen = await terminal(client)
        screen.type("exec sh -c 'trap \"echo last-42; exit 3\" HUP; echo on-$((40+2)); while :; do sleep 1; done'\n")
        await screen.until("on-42\r\n")
        cut(client)
    await until_recorded(place, "access.detach")
    (one,) = await sessions(place)
    await test_ended.kill(place, one["id"])
    with monkeypatch.context() as broken:
        broken.setattr(SqlRecordings, "append", full)
        async with reaping(place):
            await until_recorded(place, "access.detach", 2)
        assert (await sessions(place))[0]["active"]
        assert place.target.held == [one["id"]], "its holder has what it said last"
        whys = [one["details"]["why"] for one in await recorded(place, "access.detach")]
        assert any("what it said last could not be recorded: no space is left" in why for why in whys), whys
    async with reaping(place):
        assert await test_ended.ended(place) == "ended by an administrator while nobody was attached"
    (tape,) = await listed(place)
    assert bytes_of(await exported(place, tape["id"], "ttyrec")).endswith(b"last-42\r\n")
    (end,) = await recorded(place, "access.end")
    assert end["details"]["claimedBy"] == "target"


async def test_an_end_that_was_not_recorded_is_told_and_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await test_ended.set_up(place)
    monkeypatch.setattr("rppam.recordings.recorder.LOSS_S", 0.3)
    with monkeypatch.context() as broken:
        async with place.client("ursula+web1") as client:
            screen = await terminal(client)
            screen.type("echo on-$((40+2))\n")
            await screen.until("on-42\r\n")
            broken.setattr(SqlRecordings, "append", full)
            screen.type("echo last-$((40+2)); exit 3\n")
            assert (await asyncio.wait_for(screen.process.wait(), 15)).exit_status == 255
        await until_recorded(place, "access.detach")
    assert await recorded(place, "access.end") == []
    assert len(place.target.held) == 1
    await looked_for_long_ago(place)
    async with reaping(place):
        assert await test_ended.ended(place) == "its shell had ended"
    (tape,) = await listed(place)
    assert b"last-42\r\n" in bytes_of(await exported(place, tape["id"], "ttyrec"))


async def test_a_shell_that_ends_while_nobody_has_it_is_noticed(place: Place) -> None:
    await test_ended.set_up(place)
    await left(place, "sleep 0.5; echo last-$mark; exit\n", "ursula+web1")
    async with reaping(place):
        await asyncio.sleep(1)
        assert place.target.held, "nobody looks so soon"
        await looked_for_long_ago(place)
        assert await test_ended.ended(place) == "its shell had ended"
    (tape,) = await listed(place)
    assert bytes_of(await exported(place, tape["id"], "ttyrec")).count(b"last-42\r\n") == 1


async def test_a_shell_that_goes_on_is_left_alone_by_who_looks(place: Place) -> None:
    await test_ended.set_up(place)
    await left(place, user="ursula+web1")
    await looked_for_long_ago(place)
    async with reaping(place):
        for _ in range(200):
            if any(one["actor"]["kind"] == "node" for one in await recorded(place, "secret.use")):
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
    uses = [one for one in await recorded(place, "secret.use") if one["actor"]["kind"] == "node"]
    assert len(uses) == 1, "the next look is in a minute"
    async with place.client("ursula+web1") as client:
        screen = await terminal(client)
        screen.type("echo still-$mark; exit\n")
        await screen.until("still-42\r\n")
        await screen.process.wait()


@pytest.mark.parametrize(
    ("frame", "is_end"),
    [
        ("struct.pack('>Ii', 4, 0)", True),
        ("struct.pack('>Ii', 4, 256)", False),
        ("struct.pack('>Ii', 4, -65)", False),
        ("struct.pack('>I', 0)", False),
    ],
)
async def test_that_a_shell_ended_is_recorded_as_what_the_target_says(
    places: list[Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame: str, is_end: bool
) -> None:
    a, b = places
    holder = await left(a)
    answer = "{**dict.fromkeys(('from', 'off', 'end'), ask['off']), 'in': 0}"
    with monkeypatch.context() as false:
        replace_holder(tmp_path, false, answer, said="")
        path = tmp_path / "false.py"
        path.write_text(path.read_text().replace("while os.read", f"os.write(1, b'x' + {frame})\nwhile os.read"))
        async with b.client() as client:
            screen = await terminal(client)
            assert (await asyncio.wait_for(screen.process.wait(), 15)).exit_status == (0 if is_end else 255)
    if is_end:
        await until_recorded(a, "access.end")
        assert [one["details"]["claimedBy"] for one in await recorded(a, "access.end")] == ["target"]
        assert "claimedBy" in (await recorded(a, "access.channel"))[-1]["details"]
    else:
        await until_recorded(a, "access.detach", 2)
        assert (await sessions(a))[0]["active"], "that is no end of a shell"
        async with b.client() as client:
            screen = await terminal(client)
            screen.type("exit\n")
            await screen.process.wait()
        await until(lambda: a.target.held == [])
    for name in a.target.held:  # the real one, which was left out
        os.kill(holder, signal.SIGKILL)
        (a.target.folder / ".rppam" / name).unlink()


async def test_no_shell_ends_before_the_output_that_its_holder_has(
    places: list[Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = places
    await left(a)
    with monkeypatch.context() as false:
        replace_holder(tmp_path, false, "{'from': ask['off'], 'off': ask['off'], 'in': 0, 'end': ask['off'] + 9}", "")
        path = tmp_path / "false.py"
        ends = "os.write(1, b'x' + struct.pack('>Ii', 4, 0))\nwhile os.read"
        path.write_text(path.read_text().replace("while os.read", ends))
        async with b.client() as client:
            screen = await terminal(client)
            assert (await asyncio.wait_for(screen.process.wait(), 15)).exit_status == 255
    await until_recorded(a, "access.detach", 2)
    async with b.client() as client:
        screen = await terminal(client)
        screen.type("exit\n")
        await screen.process.wait()
    await until(lambda: a.target.held == [])


async def test_that_a_shell_is_gone_is_what_the_target_says_and_the_order_stands(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await test_ended.set_up(place)
    holder = await left(place, user="ursula+web1")
    ident = (await sessions(place))[0]["id"]
    await test_ended.kill(place, ident)
    replace_holder(tmp_path, monkeypatch, "{'gone': True}", "")
    async with reaping(place):
        await until_recorded(place, "access.end")
    (end,) = await recorded(place, "access.end")
    assert end["details"]["why"] == f"ended by an administrator while nobody was attached: {GONE}"
    assert end["details"]["claimedBy"] == "target"
    os.kill(holder, signal.SIGKILL)


@pytest.mark.parametrize("body", [b"", b"\0\0\0", b"\0\0\0\0\0", (256).to_bytes(4, "big"), b"\x80\0\0\0"])
def test_no_shell_ends_so(body: bytes) -> None:
    with pytest.raises(HolderError):
        protocol.status_of(body)
