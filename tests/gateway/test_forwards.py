"""Forwarded ports, where the policy allows them."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from tests.gateway.places import HOST, Place
from tests.gateway.test_register import recorded
from tests.support.ports import free_port

pytestmark = [pytest.mark.integration]


@pytest.fixture(autouse=True)
def allowed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = place.gateway.gate.policy._replace(local_forward=True, remote_forward=True)
    monkeypatch.setattr(type(place.gateway.gate), "policy", property(lambda _: policy))


async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello ")
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that greets first, then gives back what it gets, and ends when that does."""

    async with await asyncio.start_server(greeting, HOST, 0) as server:
        yield server.sockets[0].getsockname()[1]


async def opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for _ in range(100):
        with contextlib.suppress(OSError):
            return await asyncio.open_connection(HOST, port)
        await asyncio.sleep(0.05)
    raise AssertionError(port)


async def through(port: int, data: bytes) -> bytes:
    reader, writer = await opened(port)
    writer.write(data)
    writer.write_eof()
    found = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return found


async def test_w_carries_both_ways_and_the_greeting_of_the_server_first(place: Place) -> None:
    data = os.urandom(500_000)
    assert (await place.ssh("true")).code == 0
    async with echo() as port:
        ended = await asyncio.gather(*(place.ssh(options=("-W", f"{HOST}:{port}"), given=data) for _ in range(4)))
    assert [one.out == b"hello " + data for one in ended] == [True] * 4, [one.err for one in ended]


async def test_l_and_r(place: Place) -> None:
    data, here, there = os.urandom(300_000), free_port(), free_port()
    async with echo() as port:
        options = ("-L", f"{here}:{HOST}:{port}", "-R", f"{there}:{HOST}:{port}")
        running = asyncio.create_task(place.ssh("sleep 20", options=options))
        try:
            assert await through(here, data) == b"hello " + data
            assert await through(there, data) == b"hello " + data
            assert await asyncio.gather(*(through(here, data) for _ in range(5))) == [b"hello " + data] * 5
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_what_stands_opens_nothing_more_once_the_policy_has_changed(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, its = free_port(), tmp_path / "its"
    async with echo() as port:
        options = ("-R", f"{there}:{HOST}:{port}", "-R", f"{its}:{HOST}:{port}")
        running = asyncio.create_task(place.ssh("sleep 20", options=options))
        try:
            assert await through(there, b"you") == b"hello you"
            policy = place.gateway.gate.policy._replace(remote_forward=False)
            monkeypatch.setattr(type(place.gateway.gate), "policy", property(lambda _: policy))
            for reader, writer in (await asyncio.open_unix_connection(its), await opened(there)):
                with contextlib.suppress(ConnectionError), contextlib.closing(writer):
                    assert await asyncio.wait_for(reader.read(1), 10) == b"", "else it is greeted"
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_sockets_of_the_target_and_of_the_user(place: Place, tmp_path: Path) -> None:
    data, here = os.urandom(300_000), free_port()
    mine, its = tmp_path / "mine", tmp_path / "its"
    async with echo() as port, await asyncio.start_unix_server(greeting, mine):
        options = ("-L", f"{here}:{mine}", "-R", f"{its}:{HOST}:{port}")
        running = asyncio.create_task(place.ssh("sleep 20", options=options))
        try:
            assert await through(here, data) == b"hello " + data
            reader, writer = await asyncio.open_unix_connection(its)
            writer.write(data)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 10) == b"hello " + data
            writer.close()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    told = [one["details"].get("to") for one in await recorded(place, "access.channel")]
    assert str(mine) in told
    assert str(its) in told


async def test_a_socket_that_is_not_there_is_closed_at_once(place: Place, tmp_path: Path) -> None:
    here = free_port()
    running = asyncio.create_task(place.ssh("sleep 20", options=("-L", f"{here}:{tmp_path / 'none'}")))
    try:
        with contextlib.suppress(ConnectionError):
            assert await through(here, b"x") == b""
        assert (await place.ssh("true")).code == 0
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_r_on_a_port_that_the_target_chooses(place: Place) -> None:
    ended = await place.ssh("echo ok", options=("-R", f"0:{HOST}:22", "-o", "ExitOnForwardFailure=yes"))
    assert (ended.code, ended.out) == (0, b"ok\n"), ended


async def test_the_targets_own_ssh_port_is_no_way_around_the_recording(place: Place) -> None:
    ended = await place.ssh(options=("-W", f"{HOST}:{place.target.port}"))
    assert ended.code != 0
    assert ended.out == b""


async def test_what_cannot_be_reached_is_said(place: Place) -> None:
    ended = await place.ssh(options=("-W", f"{HOST}:{free_port()}"))
    assert ended.code != 0


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f000001", "0", "::ffff:127.0.0.1", "LOCALHOST", "localhost.", "ip6-loopback"]
)
async def test_nor_is_it_by_another_way_to_write_its_address(place: Place, host: str) -> None:
    async with place.client() as client:
        with pytest.raises(asyncssh.ChannelOpenError) as refused:
            await client.open_connection(host, place.target.port)
        assert refused.value.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
        assert "would not be recorded" in refused.value.reason
    assert "RPPAM-8604" in {one["details"]["code"] for one in await recorded(place, "access.refuse")}
