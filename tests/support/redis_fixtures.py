"""A fresh real server of each kind for every contract test, and processes that share a cache on it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.support.cached import Join, Process, Table
from tests.support.redis_servers import SERVERS, Server, ServerKind, need


@pytest.fixture(params=SERVERS, ids=str)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A running server. One that is missing here skips the test, except in CI, where it fails."""
    kind: ServerKind = request.param
    need(kind)
    with Server(kind) as running:
        yield running


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
async def join(server: Server, table: Table) -> AsyncIterator[Join]:
    """``await join()``: one more process."""
    made: list[Process] = []

    async def one_more(*, proven: bool = True, **words: Any) -> Process:
        process = Process(server.port, table, **words)
        made.append(process)
        return await process.start(proven=proven)

    yield one_more
    for process in made:
        await process.stop()
