"""Whatever a user puts in the place of the holder, what is shown is recorded, and no gateway ends by it."""

import asyncio
import os
import re
import shlex
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rppam.access.accounts.store import SqlAccounts
from rppam.gateway.held_store import SqlHeld
from rppam.gateway.holder import protocol
from rppam.gateway.holder.protocol import Ask, Hello, HolderError, hello_of
from rppam.gateway.ssh.reaper import Reaper
from rppam.recordings.service import Recordings
from tests.gateway import test_kept
from tests.gateway.places import Place
from tests.gateway.test_kept import cut, sessions, terminal, until_recorded
from tests.gateway.test_recorded import bytes_of, exported, listed, verified

places, policy = test_kept.places, test_kept.policy
FALSE = """
import json, os, struct, sys
sys.stdin.buffer.readline()
ask = json.loads(sys.stdin.buffer.readline().decode())
text = {said!r}.encode()
answer = eval({answer!r})
sys.stdout.buffer.write((answer if isinstance(answer, str) else json.dumps(answer)).encode() + b"\\n")
sys.stdout.buffer.write(b"o" + struct.pack(">I", len(text)) + text)
sys.stdout.buffer.flush()
while os.read(0, 65536):
    pass
"""
SAID = "never-recorded\r\n"
HIGH = "{'from': ask['off'], 'off': 2**61, 'in': 0, 'end': 2**61}"


def replace_holder(folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str, said: str = SAID) -> None:
    (folder / "false.py").write_text(FALSE.format(answer=answer, said=said))
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(folder / 'false.py'))}"
    monkeypatch.setattr(protocol, "COMMAND", command)


def ask(off: int = 0, back: int = 0, *, is_new: bool = False) -> Ask:
    return Ask("one", "ab" * 32, 2, is_new, off, back, 20, 80, 24, "dumb", ())


@pytest.mark.parametrize(
    ("said", "off", "back"),
    [
        ({"from": 0, "off": 2**62, "in": 0, "end": 2**62}, 0, 0),
        ({"from": 0, "off": 100, "in": 0, "end": 100}, 100, 50),
        ({"from": 90, "off": 90, "in": 0, "end": 100}, 100, 0),
        ({"from": 5, "off": 4, "in": 0, "end": 9}, 0, 0),
        ({"from": 5, "off": 5, "in": 0, "end": 4}, 0, 0),
        ({"from": -5, "off": 5, "in": 0, "end": 9}, 0, 9),
        ({"from": 0, "off": 0, "in": -1, "end": 0}, 0, 0),
        ({"from": False, "off": 0, "in": 0, "end": 0}, 0, 0),
        ({"from": 0.0, "off": 0, "in": 0, "end": 0}, 0, 0),
        ({"from": "0", "off": 0, "in": 0, "end": 0}, 0, 0),
        ({"from": 0, "off": 0, "in": 0}, 0, 0),
        ({"from": 0}, 0, 0),
        ({}, 0, 0),
    ],
)
def test_an_answer_that_no_holder_gives_is_none(said: dict[str, Any], off: int, back: int) -> None:
    with pytest.raises(HolderError):
        hello_of(said, ask(off, back), 0)


def test_a_shell_that_has_just_begun_has_said_nothing() -> None:
    fine = {"from": 0, "off": 0, "in": 0, "end": 7}
    assert hello_of(fine, ask(is_new=True), 0) == Hello(0, 0, 0, 7)
    for more in ({"off": 7}, {"in": 3}, {"from": 7, "off": 7}):
        with pytest.raises(HolderError):
            hello_of({**fine, **more}, ask(is_new=True), 0)


def test_no_more_is_old_than_was_asked_for() -> None:
    said = {"from": 100, "off": 900, "in": 4, "end": 900}
    assert hello_of(said, ask(100), 30) == Hello(70, 100, 4, 900)
    assert hello_of(said, ask(150, 50), 0) == Hello(100, 150, 4, 900)
    assert hello_of({**said, "off": 120}, ask(150, 50), 0).off == 120


def test_an_answer_that_is_nested_without_end_is_none() -> None:
    with pytest.raises(HolderError):
        protocol.read_answer(b"[" * 100_000)


@pytest.mark.integration
async def test_a_new_shell_is_recorded_whatever_its_holder_says(
    places: list[Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = places
    replace_holder(tmp_path, monkeypatch, "{'from': 0, 'off': 2**61, 'in': 0, 'end': 2**61}")
    async with a.client() as client:
        screen = await terminal(client)
        said = await asyncio.wait_for(screen.process.stderr.readline(), 10)
        assert "this session ends when its connection does" in said
        screen.type("echo on-$((40+2)); exit 3\n")
        await screen.until("on-42")
        assert (await screen.process.wait()).exit_status == 3
    assert "never-recorded" not in screen.text
    (one,) = await listed(a)
    assert b"on-42" in bytes_of(await exported(a, one["id"], "ttyrec"))


@pytest.mark.integration
async def test_a_shell_that_is_gone_on_with_is_recorded_whatever_its_holder_says(
    places: list[Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = places
    async with a.client() as client:
        screen = await terminal(client)
        screen.type("echo of-$PPID; echo was-$((40+2))\n")
        await screen.until("was-42\r\n")
        holder = re.search(r"of-(\d+)\r\n", screen.text)
        assert holder
        cut(client)
    await until_recorded(a, "access.detach")
    replace_holder(tmp_path, monkeypatch, HIGH)
    async with b.client() as client:
        screen = await terminal(client)
        await screen.until("never-recorded")
        cut(client)
    assert "was-42\r\n" in screen.text, "the false holder has not said it: it comes from the recording"
    await until_recorded(a, "access.detach", 2)
    (one,) = await listed(a)
    raw = bytes_of(await exported(a, one["id"], "ttyrec"))
    assert (raw.count(b"was-42\r\n"), raw.count(b"never-recorded")) == (1, 1)
    assert (await verified(a, one["id"]))["ok"]
    for more in ("'from': 0, 'off': ask['off']", "'from': None, 'off': ask['off']"):
        replace_holder(tmp_path, monkeypatch, f"{{}} if ask['new'] else {{{more}, 'in': 0, 'end': ask['off']}}")
        async with b.client() as client:
            screen = await terminal(client)
            screen.type("echo anew-$((40+2)); exit 3\n")
            await screen.until("anew-42")
            assert (await screen.process.wait()).exit_status == 3
        assert "never-recorded" not in screen.text
    assert [one["exit"] for one in await listed(a)] == ["3", "3", ""]
    os.kill(int(holder.group(1)), signal.SIGKILL)  # the real one, which was left out
    (a.target.folder / ".rppam" / a.target.held[0]).unlink()


@pytest.mark.integration
@pytest.mark.parametrize("answer", ["{'from': None}", "{'from': {}}", "[]", "'[' * 4000", "'[' * 9000", "{}"])
async def test_no_answer_of_a_holder_ends_a_gateway(
    places: list[Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    a, b = places
    async with a.client() as client:
        screen = await terminal(client)
        screen.type("echo was-$((40+2))\n")
        await screen.until("was-42\r\n")
        cut(client)
    await until_recorded(a, "access.detach")
    genuine = protocol.COMMAND
    replace_holder(tmp_path, monkeypatch, answer)
    (one,) = await sessions(a)
    path = f"/api/v1/access/sessions/{one['id']}/kill"
    assert (await b.served.http.post(path, json={"reason": ""}, headers=b.served.bearer())).status_code == 200
    gate, accounts = b.gateway.gate, b.served.services.get(SqlAccounts)
    reaper = asyncio.create_task(Reaper(gate, accounts).run(0.05))
    await until_recorded(a, "access.detach", 2)
    await asyncio.sleep(0.2)
    assert not reaper.done()
    assert (await sessions(a))[0]["active"], "nobody has said that it is over"
    reaper.cancel()
    monkeypatch.setattr(protocol, "COMMAND", genuine)
    reaper = asyncio.create_task(Reaper(gate, accounts).run(0.05))
    await until_recorded(a, "access.end")
    await test_kept.until(lambda: a.target.held == [])
    reaper.cancel()


@pytest.mark.integration
async def test_a_fault_of_one_session_ends_no_gateway(places: list[Place], monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = places
    calls: list[str] = []

    async def due(*_: object) -> list[tuple[Any, str]]:
        calls.append("due")
        return [] if len(calls) == 1 else [(SimpleNamespace(id="one", generation=1), "late")]

    async def end(*_: object) -> None:
        calls.append("end")
        raise KeyError("off")

    monkeypatch.setattr(SqlHeld, "due", due)
    monkeypatch.setattr("rppam.gateway.ssh.reaper.AGAIN_S", 0)
    monkeypatch.setattr(Reaper, "_end", end)
    task = asyncio.create_task(Reaper(a.gateway.gate, a.served.services.get(SqlAccounts)).run(0.01))
    await test_kept.until(lambda: calls.count("end") > 2)
    assert not task.done()
    task.cancel()


@pytest.mark.integration
async def test_what_was_recorded_last_is_read_from_its_end(places: list[Place]) -> None:
    a, _ = places
    async with a.client() as client:
        screen = await terminal(client)
        screen.type("for i in $(seq 1 70); do echo line-$i; sleep 0.02; done; exit\n")
        await screen.process.wait()
    (one,) = await listed(a)
    recordings = a.served.services.get(Recordings)
    raw = bytes_of(await exported(a, one["id"], "ttyrec"))
    for count in (0, 1, 10, 300, len(raw), len(raw) + 1):
        assert await recordings.last(one["id"], count) == raw[max(0, len(raw) - count) :]
