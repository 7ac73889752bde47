"""Both databases, empty, for each test that asks for one."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from rppam.db.database import Database
from tests.support.postgres import PASSWORD, Server, binaries, running
from tests.support.redis_servers import missing

TIMEOUT_MS = 3_000


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    programs = binaries()
    if programs is None:
        missing("no PostgreSQL server programs here: apt-get install postgresql")
    with running(programs) as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql: Server) -> Iterator[str]:
    name = f"t{uuid.uuid4().hex}"
    with postgresql.connect() as admin:
        admin.execute(f"CREATE DATABASE {name}")
    yield f"postgresql://postgres:{quote(PASSWORD, safe='')}@{postgresql.host}:{postgresql.port}/{name}"
    with postgresql.connect() as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/rppam.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
async def open_database() -> AsyncIterator[Callable[..., Any]]:
    """Opens databases as nodes do, and closes them at the end."""
    opened: list[Database] = []

    async def open_(url: str, timeout_ms: int = TIMEOUT_MS) -> Database:
        database = Database(url, timeout_ms)
        opened.append(database)
        await database.start()
        return database

    yield open_
    for database in opened:
        await database.stop()


@pytest.fixture
async def database(url: str, open_database: Callable[..., Any]) -> Database:
    return await open_database(url)
