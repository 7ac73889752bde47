"""More connections than there is room for, from one address and from several."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from rppam.http.bounds import ApiLimits
from tests.support.served import Served

pytestmark = pytest.mark.integration

NOTE = "/api/v1/admin/cluster/note"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Open = Callable[[str], Awaitable[Connection]]


@pytest.fixture
def limits() -> ApiLimits:
    return ApiLimits(connections=4)


@pytest.fixture
async def open_(served: Served) -> AsyncIterator[Open]:
    """Opens a connection from an address."""
    writers: list[asyncio.StreamWriter] = []

    async def opened(address: str) -> Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port, local_addr=(address, 0))
        writers.append(writer)
        return reader, writer

    yield opened
    for writer in writers:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def are_hung_up_on(gone: list[Connection], stay: list[Connection]) -> None:
    """The server closes the first, and none of the others."""
    assert [await is_hung_up_on(one, within_s=10) for one in gone] == [True] * len(gone)
    assert [await is_hung_up_on(one) for one in stay] == [False] * len(stay)


async def is_hung_up_on(connection: Connection, within_s: float = 0.05) -> bool:
    """Whether the server closes it, or has."""
    try:
        async with asyncio.timeout(within_s):
            return await connection[0].read(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


async def test_a_host_that_opens_too_many_connections_loses_its_own_oldest(open_: Open) -> None:
    friend = await open_("127.0.0.2")
    held = [await open_("127.0.0.3") for _ in range(6)]
    await are_hung_up_on(held[:3], [*held[3:], friend])


async def test_a_flood_of_connections_is_told_when_it_begins(open_: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "rppam.api")
    await open_("127.0.0.2")
    for _ in range(3):
        await open_("127.0.0.3")
    await asyncio.sleep(0.05)
    assert not caplog.records
    held = [await open_("127.0.0.3") for _ in range(3)]
    assert not await is_hung_up_on(held[-1])
    (told,) = caplog.records
    assert "more than 4 connections to the REST API" in told.getMessage()
    assert told.getMessage().endswith("are closed, 1 so far; most, 4, are from 127.0.0.3")


async def test_who_is_being_answered_is_not_hung_up_on(served: Served, open_: Open) -> None:
    served.note.silent.clear()
    asking = [await open_("127.0.0.3") for _ in range(2)]
    headers = {"Host": "x", "Connection": "close", **served.bearer()}
    for _, writer in asking:
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        writer.write(f"GET {NOTE} HTTP/1.1\r\n{lines}\r\n".encode())
    async with asyncio.timeout(10):
        while served.room.in_flight < 2:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
    others = [await open_("127.0.0.3") for _ in range(5)]
    await are_hung_up_on(others[:3], others[3:])
    served.note.silent.set()
    assert [(await reader.read()).split()[1] for reader, _ in asking] == [b"200"] * 2


async def test_where_nobody_has_more_than_others_the_newcomer_gets_in(open_: Open) -> None:
    held = [await open_(f"127.0.0.{number}") for number in range(2, 6)]
    newcomer = await open_("127.0.0.6")
    await are_hung_up_on(held[:1], [*held[1:], newcomer])
