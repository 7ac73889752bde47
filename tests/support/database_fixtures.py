"""Both databases, with the tables of this release and nothing in them, for each test that asks for one."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rppam.db.database import Database
from tests.support.postgres import Server, binaries, running
from tests.support.redis_servers import missing
from tests.support.tables import make_tables, new_sqlite

TIMEOUT_MS = 15_000
"""Five times what a node waits: here it is the machine that is slow, not the database."""
TEMPLATE = "of_this_release"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    programs = binaries()
    if programs is None:
        missing("no PostgreSQL server programs here: apt-get install postgresql")
    with running(programs) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_template(postgresql: Server) -> str:
    """The name of a database of this release, which is copied."""
    with postgresql.connect() as admin:
        admin.execute(f"CREATE DATABASE {TEMPLATE}")
    make_tables(postgresql.url(TEMPLATE, "postgresql+psycopg"))
    return TEMPLATE


@pytest.fixture
def has_tables() -> bool:
    """Whether a database has its tables already. Files whose tests are about how they are made say no."""
    return True


@pytest.fixture
def postgresql_url(postgresql: Server, has_tables: bool, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"t{uuid.uuid4().hex}"
    template = request.getfixturevalue("postgresql_template") if has_tables else "template1"
    with postgresql.connect() as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield postgresql.url(name)
    with postgresql.connect() as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(tmp_path: Path, has_tables: bool) -> str:
    if has_tables:
        new_sqlite(tmp_path / "rppam.db")
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
