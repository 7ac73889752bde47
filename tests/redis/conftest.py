"""One real server (the newest Redis that is here), and connections and links to it that are closed at the end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvloop

from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.connection import Connection
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions, Target
from tests.support.lab_fixtures import KIND
from tests.support.redis_servers import PASSWORD, Server, need

Open = Callable[..., Awaitable[Connection]]
MakeLink = Callable[..., Link]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops that a node may run on: they order timers, reads and writes differently."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def redis() -> Iterator[Server]:
    """A running Redis of its own for this test."""
    need(KIND)
    with Server(KIND) as running:
        yield running


@contextlib.asynccontextmanager
async def slow_to_load() -> AsyncIterator[Server]:
    """A server with 4,000 keys that takes 1.6 s to load them, by its own key-load-delay; it runs, loaded."""
    need(KIND)
    with Server(KIND, "--key-load-delay", "400", "--loading-process-events-interval-bytes", "1024") as running:
        running.ask("EVAL", "for i = 1, 4000 do redis.call('SET', i, string.rep('x', 100)) end", 0)
        running.ask("BGREWRITEAOF")
        await eventually(lambda: b"aof_rewrite_in_progress:1" not in running.ask("INFO", "persistence"))
        yield running


@pytest.fixture
async def open_(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """``await open_(port, ...)``: a Connection with the test password; further words go to Target."""
    opened: list[Connection] = []

    async def open_to(port: int, *, on_push: Any = None, on_lost: Any = None, **settings: Any) -> Connection:
        settings = {"host": "127.0.0.1", "password": Secret(PASSWORD), "connect_timeout_ms": 2_000, **settings}
        target = Target(port=port, **settings)
        connection = await Connection.open(target, clock=SystemClock(), on_push=on_push, on_lost=on_lost)
        opened.append(connection)
        return connection

    yield open_to
    for connection in opened:
        await connection.close()


@pytest.fixture
async def make_link() -> AsyncIterator[MakeLink]:
    """``make_link(port, ...)``: a Link that is not started yet; further words go to LinkOptions."""
    made: list[Link] = []

    def make(*ports: int, **settings: Any) -> Link:
        settings = {"password": Secret(PASSWORD), "connect_timeout_ms": 2_000, "command_timeout_ms": 2_000, **settings}
        options = LinkOptions(endpoints=tuple(("127.0.0.1", port) for port in ports), **settings)
        link = Link(options, clock=SystemClock(), entropy=SystemEntropy())
        made.append(link)
        return link

    yield make
    for link in made:
        with contextlib.suppress(asyncio.CancelledError):
            await link.stop()


async def eventually(holds: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """Wait until ``holds()``, at most ``within_s``."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
