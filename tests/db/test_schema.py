"""Migrations: the same tables everywhere, made once, all or nothing, and never by an older release."""

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from rppam.app.slices import tables
from rppam.cluster.store.epoch_register import SqlEpochRegister
from rppam.db.cluster_id import SqlClusterSettings
from rppam.db.database import Database
from rppam.db.engine import create_file
from rppam.db.errors import (
    DatabaseError,
    DatabaseRefused,
    DatabaseUnreachable,
    DatabaseUrlInvalid,
    SchemaNewer,
)
from rppam.db.steps import STEPS, Steps
from rppam.db.tables import VERSION_TABLE
from rppam.db.url import parse_database_url
from rppam.kernel.fence import Fenced
from rppam.kernel.secret import Secret
from tests.support.epochs import highest
from tests.support.migrations import alembic_config

pytestmark = pytest.mark.integration


def of_every_database(_thing: object, name: str | None, *_more: object) -> bool:
    """All but the indexes that PostgreSQL has with its extension pg_trgm alone."""
    return not (name or "").startswith("ix_trgm_")


async def test_the_steps_lead_to_exactly_the_tables_of_this_release(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "include_object": of_every_database}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), tables()))

    assert await database.read(differences) == []

    def checks(connection: Connection) -> set[str | None]:
        return {check["name"] for check in inspect(connection).get_check_constraints("fence")}

    assert await database.read(checks) == {"ck_fence_single_row"}


def test_steps_are_one_chain_and_the_head_is_the_last() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert script.get_heads() == [STEPS.head]
    numbers = [revision.revision for revision in script.walk_revisions()]
    assert sorted(numbers, reverse=True) == numbers


@pytest.mark.parametrize("name", ["v0006_gap.py", "v0004_twice.py", "v5_short.py"])
def test_a_step_with_a_gap_or_with_a_number_that_is_taken_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "more_steps").mkdir()
    (tmp_path / "more_steps" / "__init__.py").touch()
    (tmp_path / "more_steps" / name).touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    steps = Steps()
    with pytest.raises(LookupError, match=r"import rppam\.app\.slices first"):
        _ = steps.head
    steps.declare(["more_steps"])
    with pytest.raises(ValueError, match=name):
        _ = steps.head


async def test_six_nodes_start_at_once_on_an_empty_database(url: str) -> None:
    nodes = [Database(url, 5_000) for _ in range(6)]
    await asyncio.gather(*(node.start() for node in nodes))
    rows = await nodes[0].read(lambda connection: connection.execute(text(f"SELECT * FROM {VERSION_TABLE}")).all())
    assert [tuple(row) for row in rows] == [(STEPS.head,)]
    ids = await asyncio.gather(
        *(SqlClusterSettings(node).cluster_id(f"id-{number}") for number, node in enumerate(nodes))
    )
    assert len(set(ids)) == 1, "the cluster has one id, whoever was first"
    for node in nodes:
        await node.stop()


@pytest.mark.parametrize("revision", ["0099", "9999", "10000"])
async def test_tables_of_a_newer_release_are_refused_and_left_alone(
    url: str, open_database: Callable[..., Any], revision: str
) -> None:
    database = await open_database(url)
    await SqlEpochRegister(database).claim(5, "node1", "boot", 2_000)
    change = text(f"UPDATE {VERSION_TABLE} SET version_num = :revision")
    await database.write(lambda connection: connection.execute(change, {"revision": revision}))
    older = Database(url, 2_000)
    with pytest.raises(SchemaNewer, match=f"revision {revision}, made by a newer release; this one knows {STEPS.head}"):
        await older.start()
    assert not older.is_ready
    assert await SqlEpochRegister(older).claim(6, "node1", "boot", 2_000) is Fenced.UNKNOWN
    assert await highest(SqlEpochRegister(database), 2_000) == 5, "a node that runs already keeps running"
    await older.stop()


async def test_a_step_that_fails_half_way_leaves_nothing(url: str) -> None:
    database = Database(url, 3_000)
    database._is_ready = True  # to make a table that is in the way before the first start
    await _open_threads(database)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE cluster_note (x INTEGER)")))
    with pytest.raises(DatabaseRefused, match="cluster_note"):
        await database.start()
    tables = await database.read(lambda connection: inspect(connection).get_table_names())
    assert tables == ["cluster_note"]
    await database.write(lambda connection: connection.execute(text("DROP TABLE cluster_note")))
    await database.start()
    assert await SqlEpochRegister(database).claim(1, "node1", "boot", 2_000) is Fenced.ACCEPTED
    await database.stop()


async def _open_threads(database: Database) -> None:
    create_file(database._url)
    for lane in database._lanes.values():
        lane.open(database._engine)
    database._is_open = True


async def test_a_second_start_keeps_everything(url: str, open_database: Callable[..., Any]) -> None:
    first = await open_database(url)
    assert await SqlEpochRegister(first).claim(5, "node1", "boot", 2_000) is Fenced.ACCEPTED
    await first.stop()
    assert await highest(SqlEpochRegister(await open_database(url)), 2_000) == 5


async def test_sqlite_is_opened_for_one_owner_and_for_power_cuts(
    sqlite_url: str, tmp_path: Path, open_database: Callable[..., Any]
) -> None:
    database = await open_database(sqlite_url, 3_000)
    assert stat.S_IMODE((tmp_path / "rppam.db").stat().st_mode) == 0o600

    def pragmas(connection: Connection) -> dict[str, Any]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names}

    assert await database.read(pragmas) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 3_000,
    }
    await SqlEpochRegister(database).claim(1, "node1", "boot", 2_000)
    for name in ("rppam.db-wal", "rppam.db-shm"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


async def test_a_missing_directory_is_named_and_may_be_made_later(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/later/rppam.db")
    with pytest.raises(DatabaseUnreachable, match=r"later/rppam\.db: No such file or directory; make its directory"):
        await database.start()
    (tmp_path / "later").mkdir()
    await database.start()
    assert database.is_ready
    await database.stop()


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "rppam.db").write_bytes(b"this is a letter, not a database" * 40)
    database = Database(f"sqlite:///{tmp_path}/rppam.db")
    with pytest.raises(DatabaseError, match="not a database"):
        await database.start()
    await database.stop()
    assert (tmp_path / "rppam.db").read_bytes().startswith(b"this is a letter")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "expected sqlite:"),
        ("just words", "expected sqlite:"),
        ("mysql://u:hush@h/db", "found 'mysql'"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite:///relative.db", "absolute path"),
        ("sqlite://host/x.db", "four slashes"),
        ("sqlite:////x.db?mode=ro", "no options"),
        ("postgresql://u:hush@h", "name is missing"),
        ("postgresql:///name", "host is missing"),
        ("postgresql://u:hush@h:54x/name", "write @ as %40"),
        ("postgresql://u:hush@h/name?sslmod=require", "no connection option 'sslmod'"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_repeated(url: str, told: str) -> None:
    with pytest.raises(DatabaseUrlInvalid) as caught:
        parse_database_url(Secret(url))
    assert told in str(caught.value)
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_urls_as_people_write_them() -> None:
    parsed = parse_database_url("postgres://u:p%40ss@[::1]:6543/name?sslmode=verify-full", Secret("oth/er"))
    assert (parsed.drivername, parsed.host, parsed.port, parsed.password) == (
        "postgresql+psycopg",
        "::1",
        6543,
        "oth/er",
    )
    assert parse_database_url("postgresql:///name?host=/run/postgresql").database == "name"
    assert parse_database_url("sqlite:////var/lib/rppam/rppam.db").database == "/var/lib/rppam/rppam.db"
