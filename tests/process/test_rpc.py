"""Calls between the processes of a node: one question, one answer, or a plain error in bounded time."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rppam.cluster.admin.errors import ControlSilent
from rppam.kernel.system_clock import host_us
from rppam.process import rpc as calls
from rppam.process.rpc import answer_calls, caller, is_for_calls, listen_for_calls


class Answering:
    """Echoes, and counts."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def __call__(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((name, arguments))
        if name == "unknown":
            raise ValueError("no such call")
        return {"said": arguments}


@pytest.fixture
async def plug() -> AsyncIterator[socket.socket]:
    opened = listen_for_calls()
    yield opened
    opened.close()


async def test_a_call_is_answered_and_many_at_once_each_get_their_own(plug: socket.socket) -> None:
    answering = Answering()
    assert is_for_calls(plug)
    async with await answer_calls(plug, answering):
        call = caller(plug)
        answers = await asyncio.gather(*(call("pause", {"on": number}) for number in range(20)))
    assert answers == [{"said": {"on": number}} for number in range(20)]


async def test_a_call_made_while_nobody_answers_waits_for_the_next_who_does(plug: socket.socket) -> None:
    answering = Answering()
    waiting = asyncio.ensure_future(caller(plug)("pause", {"on": True}))
    await asyncio.sleep(0)
    assert not waiting.done()
    async with await answer_calls(plug, answering):
        assert await waiting == {"said": {"on": True}}


async def test_without_an_answer_in_time_it_says_so_and_the_order_is_not_carried_out_later(
    plug: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "WAIT_S", 0.05)
    with pytest.raises(ControlSilent):
        await caller(plug)("pause", {"on": True})
    asked = {"format": 1, "name": "pause", "arguments": {"on": True}}
    late = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    late.connect(plug.getsockname())
    late.sendall(json.dumps(asked | {"until_us": host_us() - 1}).encode() + b"\n")
    answering = Answering()
    async with await answer_calls(plug, answering):
        assert await caller(plug)("first", {}) == {"said": {}}
    late.close()
    assert [name for name, _ in answering.asked] == ["first"]


async def test_a_call_that_is_none_gets_no_answer_and_the_next_one_does(plug: socket.socket) -> None:
    answering = Answering()
    async with await answer_calls(plug, answering):
        with pytest.raises(ControlSilent):
            await caller(plug)("unknown", {})
        asked = {"format": 2, "name": "pause", "arguments": {}, "until_us": host_us() + 10**7}
        newer = json.dumps(asked).encode() + b"\n"
        for data in (b"{\n", b"[1]\n", b"7\n", b"[" * 60_000 + b"\n", newer, b"x" * (calls.BYTES_MAX + 2) + b"\n", b""):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as odd:
                odd.connect(plug.getsockname())
                odd.sendall(data)
        assert await caller(plug)("pause", {}) == {"said": {}}


async def test_what_a_later_release_says_besides_is_passed_over(plug: socket.socket) -> None:
    asked = {"format": 1, "trace": [1], "name": "pause", "arguments": {"on": True}, "until_us": host_us() + 10**7}
    answering = Answering()
    async with await answer_calls(plug, answering):
        reader, writer = await asyncio.open_unix_connection(plug.getsockname())
        writer.write(json.dumps(asked).encode() + b"\n")
        assert json.loads(await reader.readline()) == {"said": {"on": True}}
        writer.close()


async def test_a_process_of_another_account_is_not_heard(plug: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    answering = Answering()
    monkeypatch.setattr(os, "getuid", lambda: 12_345)
    async with await answer_calls(plug, answering):
        with pytest.raises(ControlSilent):
            await caller(plug)("pause", {})
    assert answering.asked == []


async def test_nobody_listening_is_told_at_once() -> None:
    plug = listen_for_calls()
    call = caller(plug)
    plug.close()
    with pytest.raises(ControlSilent):
        await call("pause", {})
