"""What is wrong with a database is seen by looking at it, on both engines, and named by the finding that it is."""

import asyncio
import functools
import re
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import Connection, insert, select, text

import rppam.app.slices  # noqa: F401  # all tables
from rppam.db.clock import clocks_apart
from rppam.db.condition import Condition
from rppam.db.database import Database
from rppam.db.errors import DatabaseError, DatabaseUnreachable
from rppam.db.tables import cluster_settings
from rppam.db.watch import BUSY_US, OPENING_US, REMEMBERED_US, DatabaseWatch
from rppam.kernel.instant import Instant, WallMs
from rppam.kernel.system_clock import SystemClock
from tests.support.database_fixtures import TIMEOUT_MS
from tests.support.postgres import PASSWORD, Server, binaries, running
from tests.support.redis_servers import missing

pytestmark = [pytest.mark.integration, pytest.mark.server]


class HandClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.us = 1_000_000
        self.wall = 1_795_000_000_000

    def now(self) -> Instant:
        return Instant(self.us)

    def wall_ms(self) -> WallMs:
        return WallMs(self.wall)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def watch(database: Database, clock: HandClock) -> DatabaseWatch:
    return DatabaseWatch(database, clock, writes_to_disk=True)


async def seen(watch: DatabaseWatch) -> Condition:
    found = await watch.look()
    assert found is not None
    return found


async def run(database: Database, *statements: str) -> None:
    def work(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement))

    await database.write(work)


async def test_a_database_that_is_well_has_a_latency_and_no_code(watch: DatabaseWatch) -> None:
    found = await seen(watch)
    assert (found.code, found.evidence, found.errors) == ("", "", 0)
    assert found.latency_ms is not None
    assert found.latency_ms < 2_000


@pytest.mark.parametrize(
    ("revision", "code", "words"),
    [("9999", "RD-622", "made by a newer release"), ("0001", "RD-622", "an earlier backup")],
)
async def test_tables_of_another_release_are_told(
    watch: DatabaseWatch, database: Database, revision: str, code: str, words: str
) -> None:
    await run(database, f"UPDATE rppam_schema SET version_num = '{revision}'")
    found = await seen(watch)
    assert found.code == code
    assert words in found.evidence


async def test_a_database_that_is_half_restored_names_what_is_missing(watch: DatabaseWatch, database: Database) -> None:
    await run(database, "DROP TABLE audit_nodes", "DROP TABLE epochs")
    found = await seen(watch)
    assert found == Condition("RD-625", "these tables are missing: audit_nodes, epochs", found.latency_ms, 0)
    await run(database, "DROP TABLE rppam_schema")
    assert "half restored" in (await seen(watch)).evidence


async def test_a_clock_that_is_off_is_measured_where_it_is_a_servers_own(database: Database, clock: HandClock) -> None:
    is_file = database.is_file
    for off_s in (45, -45, 0):
        clock.wall = SystemClock().wall_ms() - off_s * 1000
        watch = DatabaseWatch(database, clock)
        assert (await seen(watch)).is_well
        told = clocks_apart(watch.clock_offset_ms)
        if is_file or not off_s:
            assert (told, watch.clock_offset_ms is None) == ("", is_file)
        else:
            side = "ahead of" if off_s > 0 else "behind"
            assert re.fullmatch(f"the database's clock is 4[3-7] s {side} this host's", told), told


async def test_what_others_were_refused_counts_for_a_while(
    watch: DatabaseWatch, database: Database, clock: HandClock
) -> None:
    with pytest.raises(DatabaseError):
        await run(database, "SELECT 1 FROM nowhere")
    found = await seen(watch)
    assert (found.code, found.errors) == ("RD-625", 1)
    assert "nowhere" in found.evidence
    clock.us += REMEMBERED_US
    assert (await seen(watch)).code == ""


async def test_one_that_cannot_be_opened_is_lost_and_one_that_is_being_opened_is_given_time(clock: HandClock) -> None:
    database = Database("postgresql://a:b@127.0.0.1:1/c", 300)
    watch = DatabaseWatch(database, clock)
    assert await watch.look() is None
    clock.us += OPENING_US
    assert (await seen(watch)).evidence == "the database is still being opened"
    with pytest.raises(DatabaseError):
        await database.start()
    found = await seen(watch)
    assert found.code == "RD-607"
    assert "Connection refused" in found.evidence
    await database.stop()


async def test_a_database_whose_every_connection_is_busy_is_lost_after_a_while(
    sqlite_url: str, open_database: Callable[..., Any], clock: HandClock
) -> None:
    database = await open_database(sqlite_url, 200)
    watch = DatabaseWatch(database, clock)
    await asyncio.wait_for(watch_once(watch), 5)
    gate = asyncio.get_running_loop().create_future()

    def stuck(_: Connection) -> None:
        asyncio.run_coroutine_threadsafe(_until(gate), loop).result(20)

    loop = asyncio.get_running_loop()
    calls = [asyncio.create_task(database.read(stuck)) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert (await seen(watch)).code == "", "busy for a moment is nothing"
    clock.us += BUSY_US
    assert (await seen(watch)).code == "RD-607"
    gate.set_result(None)
    await asyncio.gather(*calls, return_exceptions=True)


async def _until(gate: "asyncio.Future[None]") -> None:
    await gate


async def watch_once(watch: DatabaseWatch) -> None:
    """One round of its loop, so that it knows a condition."""
    task = asyncio.create_task(watch.run())
    while watch.condition is None:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)
    task.cancel()


# ---- SQLite ---------------------------------------------------------------------------------------------------------


async def test_a_damaged_file_is_told(sqlite_url: str, clock: HandClock, tmp_path: Path) -> None:
    before = Database(sqlite_url)
    await before.start()
    await before.stop()
    with (tmp_path / "rppam.db").open("r+b") as raw:
        raw.write(b"\xff" * 4096 * 3)
    database = Database(sqlite_url)
    with pytest.raises(DatabaseError):
        await database.start()
    assert (await seen(DatabaseWatch(database, clock))).code == "RD-626"
    await database.stop()


async def test_a_file_that_is_gone_is_told_and_no_empty_one_takes_its_place(
    sqlite_url: str, open_database: Callable[..., Any], clock: HandClock, tmp_path: Path
) -> None:
    database = await open_database(sqlite_url)
    watch = DatabaseWatch(database, clock)
    (tmp_path / "rppam.db").rename(tmp_path / "moved.db")
    for _ in range(6):  # one thread has it open still, the others open it anew
        found = await seen(watch)
        assert found.code == "RD-607"
        assert "is not there any more" in found.evidence
    assert not (tmp_path / "rppam.db").exists()


def _put(connection: Connection, name: str) -> None:
    connection.execute(insert(cluster_settings).values(name=name, value="x"))


def _names(connection: Connection) -> set[str]:
    return set(connection.execute(select(cluster_settings.c.name).where(cluster_settings.c.value == "x")).scalars())


async def test_nothing_is_read_from_or_written_to_a_file_that_was_moved_away_or_replaced(
    sqlite_url: str, open_database: Callable[..., Any], tmp_path: Path
) -> None:
    """A connection that has it open could: what it writes is lost, and other nodes see another cluster."""
    file, away, backup = (tmp_path / name for name in ("rppam.db", "away.db", "backup.db"))
    database = await open_database(sqlite_url)

    async def write(*names: str) -> list[Any]:
        works = (database.write(functools.partial(_put, name=name)) for name in names)
        return await asyncio.gather(*works, return_exceptions=True)

    assert await write("before", "before too") == [None, None]
    with closing(sqlite3.connect(file)) as one, closing(sqlite3.connect(backup)) as other:
        one.backup(other)
    file.rename(away)
    for found in [*await write("lost"), *await write("lost 1", "lost 2"), *await write("lost 3")]:
        assert isinstance(found, DatabaseUnreachable), found
    with pytest.raises(DatabaseUnreachable, match=re.escape(f"the file {file} is not there any more")):
        await database.read(_names)
    away.rename(file)
    assert await write("back") == [None]
    assert await database.read(_names) == {"before", "before too", "back"}
    for beside in ("-wal", "-shm"):  # what was not yet in the old file belongs to that one
        file.with_name(file.name + beside).unlink()
    backup.replace(file)
    for _ in range(6):
        assert await database.read(_names) == {"before", "before too"}
    assert await write("after", "after too") == [None, None]
    with closing(sqlite3.connect(file)) as one:
        assert {name for (name,) in one.execute("SELECT name FROM cluster_settings")} >= {"after", "after too"}


@pytest.fixture
def small_disk() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="rppam-disk-"))  # PostgreSQL's account has to get there, too
    words = ["mount", "-t", "tmpfs", "-o", "size=160m", "rppam-test", str(place)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    place.chmod(0o777)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False, timeout=30)
    place.rmdir()


def fill(place: Path) -> None:
    with (place / "filler").open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue


async def test_a_file_on_a_full_disk_is_told(
    small_disk: Path, open_database: Callable[..., Any], clock: HandClock
) -> None:
    database = await open_database(f"sqlite:///{small_disk}/rppam.db")
    watch = DatabaseWatch(database, clock)
    assert (await seen(watch)).code == ""
    fill(small_disk)
    assert (await seen(watch)).code == "RD-624"
    (small_disk / "filler").unlink()
    assert (await seen(watch)).code == ""


# ---- PostgreSQL -----------------------------------------------------------------------------------------------------


async def test_a_postgresql_on_a_full_disk_is_told_before_anybody_writes(
    small_disk: Path, open_database: Callable[..., Any], clock: HandClock
) -> None:
    programs = binaries() or missing("no PostgreSQL server programs here: apt-get install postgresql")
    with running(programs, small_disk) as server:
        url = f"postgresql://postgres:{quote(PASSWORD, safe='')}@{server.host}:{server.port}/postgres"
        watch = DatabaseWatch(await open_database(url), clock, writes_to_disk=True)
        assert (await seen(watch)).code == ""
        fill(small_disk)
        found = await seen(watch)
        assert found.code == "RD-624"
        assert "No space left on device" in found.evidence
        (small_disk / "filler").unlink()
        assert (await seen(watch)).code == "RD-624", "what was met counts for a while"
        clock.us += REMEMBERED_US
        assert (await seen(watch)).code == ""


@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        ("ALTER DATABASE {} SET default_transaction_read_only = on", "RD-623", "takes no writes"),
        ("ALTER DATABASE {} ALLOW_CONNECTIONS false", "RD-607", "not currently accepting connections"),
        ("ALTER DATABASE {} SET temp_file_limit = 0", "", ""),
    ],
)
async def test_what_a_server_refuses_is_told(
    postgresql: Server, postgresql_url: str, open_database: Callable[..., Any], clock: HandClock, order: str,
    code: str, words: str,
) -> None:  # fmt: skip
    name = postgresql_url.rpartition("/")[2]
    watch = DatabaseWatch(await open_database(postgresql_url, TIMEOUT_MS), clock, writes_to_disk=True)
    assert (await seen(watch)).code == ""
    with postgresql.connect() as admin:
        admin.execute(order.format(name))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    found = await seen(watch)
    for _ in range(5):  # a connection that was ended is noticed by a look, and there may be several
        if found.code == code and words in found.evidence:
            break
        found = await seen(watch)
    assert found.code == code
    assert words in found.evidence


async def test_a_role_that_may_not_read_a_table_is_told(
    postgresql: Server, postgresql_url: str, open_database: Callable[..., Any], clock: HandClock
) -> None:
    name = postgresql_url.rpartition("/")[2]
    await open_database(postgresql_url)
    with postgresql.connect(name) as admin:
        admin.execute(f"DROP ROLE IF EXISTS small_{name}")
        admin.execute(f"CREATE ROLE small_{name} LOGIN PASSWORD 'pw'")
    try:
        small = Database(f"postgresql://small_{name}:pw@{postgresql.host}:{postgresql.port}/{name}", TIMEOUT_MS)
        with pytest.raises(DatabaseError):
            await small.start()
        assert (await seen(DatabaseWatch(small, clock))).code == "RD-628"
        await small.stop()
    finally:
        with postgresql.connect() as admin:
            admin.execute(f"DROP ROLE small_{name}")
