"""What a database that does not answer costs: *unknown*, in time; never the event loop, never more threads."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import text

from rppam.access.accounts.store import SqlAccounts
from rppam.cluster.store.epoch_register import SqlEpochRegister
from rppam.db.database import Database, Use
from rppam.db.errors import DatabaseBusy, DatabaseError, DatabaseUnknown, DatabaseUnreachable
from rppam.db.fence import advance
from rppam.kernel.fence import Fenced
from rppam.manager.note_store import SqlFencedNote
from tests.support.epochs import highest, leaderships
from tests.support.ports import free_port
from tests.support.postgres import PASSWORD, Server

pytestmark = pytest.mark.integration

LAG_S_MAX = 1.0
"""A loop that waited for libpq would stand still for 2 s at least; less is the noise of a busy machine."""


def seconds() -> float:
    return time.monotonic()


def sql_threads() -> set[threading.Thread]:
    """Those of the tests before among them, as long as a call of theirs is stuck."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("sql-")}


@contextlib.asynccontextmanager
async def loop_lag() -> AsyncIterator[list[float]]:
    """The event loop's own worst lateness while the block runs."""
    worst = [0.0]

    async def tick() -> None:
        while True:
            before = seconds()
            await asyncio.sleep(0.01)
            worst[0] = max(worst[0], seconds() - before - 0.01)

    task = asyncio.create_task(tick())
    yield worst
    task.cancel()


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hole:
        yield f"postgresql://user:pw@127.0.0.1:{hole.getsockname()[1]}/name"


async def test_a_black_hole_at_start(black_hole: str) -> None:
    database = Database(black_hole, 300)
    register = SqlEpochRegister(database)
    begun = seconds()
    async with loop_lag() as worst:
        with pytest.raises(DatabaseUnknown, match="did not answer within 300 ms"):
            await database.start()
        assert seconds() - begun < 5
        assert await register.claim(5, "node1", "boot", 300) is Fenced.UNKNOWN
        assert await highest(register, 300) is None
        assert "did not answer" in database.reason
    assert worst[0] < LAG_S_MAX
    await database.stop()


async def test_a_database_that_was_not_asked_yet_is_no_failure(black_hole: str, sqlite_url: str) -> None:
    database, silent = Database(sqlite_url), Database(black_hole, 300)
    assert (database.warning, bool(database.reason)) == ("", True)
    asking = asyncio.create_task(silent.start())
    await asyncio.sleep(0.05)
    assert silent.warning == "", "it has had no time to answer"
    with pytest.raises(DatabaseUnknown):
        await asking
    assert silent.warning == f"the database does not answer: {silent.reason}"
    await database.start()
    assert (database.is_ready, database.warning) == (True, "")
    for one in (database, silent):
        await one.stop()


async def test_calls_that_never_end_do_not_pile_up_threads(black_hole: str) -> None:
    before = sql_threads()
    database = Database(black_hole, 200)
    async with loop_lag() as worst:
        for _ in range(3):
            with pytest.raises(DatabaseUnknown):
                await database.start()
        begun = seconds()
        with pytest.raises(DatabaseBusy, match="stuck"):
            await database.start()
        assert seconds() - begun < 0.5, "with every connection stuck the answer is immediate"
        mine = sql_threads() - before
        assert len(mine) == 5
    assert worst[0] < LAG_S_MAX
    begun = seconds()
    await database.stop()
    assert seconds() - begun < 2.5
    await asyncio.sleep(1.5)  # libpq gives up connecting after 2 s
    assert not mine & sql_threads()


async def test_nobody_listens() -> None:
    database = Database(f"postgresql://user:hush-hush@127.0.0.1:{free_port()}/name", 2_000)
    with pytest.raises(DatabaseUnreachable, match="refused") as caught:
        await database.start()
    assert "hush" not in str(caught.value) + repr(database) + database.reason
    assert "\n" not in str(caught.value)
    await database.stop()


async def test_a_wrong_password_is_named_but_not_shown(postgresql: Server) -> None:
    database = Database(f"postgresql://postgres:hush-hush@127.0.0.1:{postgresql.port}/postgres", 2_000)
    with pytest.raises(DatabaseUnreachable, match="password authentication failed") as caught:
        await database.start()
    told = str(caught.value) + repr(caught.value.__cause__) + repr(database)
    assert "hush" not in told
    await database.stop()


async def test_the_password_may_stand_apart(postgresql_url: str) -> None:
    from rppam.kernel.secret import Secret

    bare = postgresql_url.replace(":" + quote(PASSWORD, safe=""), "")
    database = Database(Secret(bare), 2_000, password=Secret(PASSWORD))
    await database.start()
    assert database.is_ready
    await database.stop()


async def test_who_waits_for_a_moment_only_has_not_lost_the_database(database: Database) -> None:
    """As a leader's first write does, which has what its lease leaves it."""
    released = threading.Event()
    with pytest.raises(DatabaseUnknown, match="did not answer within 50 ms"):
        await database.read(lambda _: released.wait(10), timeout_ms=50)
    released.set()
    assert (database.reason, database.errors) == ("", 1)


def backends(server: Server, url: str) -> list[int]:
    with server.connect() as admin:
        name = url.rsplit("/", 1)[1]
        rows = admin.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s", (name,)).fetchall()
    return [pid for (pid,) in rows]


async def test_frozen_server_processes_then_well_again(
    postgresql: Server, postgresql_url: str, open_database: Callable[..., Any]
) -> None:
    database = await open_database(postgresql_url, 400)
    register, note = SqlEpochRegister(database), SqlFencedNote(database)
    assert await register.claim(1, "node1", "boot", 3_000) is Fenced.ACCEPTED
    both = threading.Barrier(2)  # so that each of the lane's two threads has its connection
    await asyncio.gather(
        *(database.read(lambda _: both.wait(5), use=Use.FENCE, timeout_ms=5_000) for _ in range(both.parties))
    )
    frozen = backends(postgresql, postgresql_url)
    try:
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        async with loop_lag() as worst:
            begun = seconds()
            claimed, written = await asyncio.gather(
                register.claim(2, "node1", "boot", 400), note.write(2, "node1", "boot", "hi", "admin")
            )
            assert (claimed, written) == (Fenced.UNKNOWN, Fenced.UNKNOWN)
            assert seconds() - begun < 5
        assert worst[0] < LAG_S_MAX
        assert "did not answer within" in database.reason
        # The stuck calls were broken off, so the same threads open new connections, although the old ones stay frozen.
        await asyncio.sleep(0.3)
        assert await highest(register, 5_000) in {1, 2}
        assert database.reason == ""
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert await register.claim(3, "node1", "boot", 5_000) is Fenced.ACCEPTED


async def test_connections_dropped_while_idle_are_replaced_unnoticed(
    postgresql: Server, postgresql_url: str, open_database: Callable[..., Any]
) -> None:
    database = await open_database(postgresql_url)
    register = SqlEpochRegister(database)
    for epoch in (1, 2, 3):
        assert await register.claim(epoch, "node1", "boot", 2_000) is Fenced.ACCEPTED
        with postgresql.connect() as admin:
            for pid in backends(postgresql, postgresql_url):
                admin.execute("SELECT pg_terminate_backend(%s, 2000)", (pid,))
    assert await highest(register, 2_000) == 3


async def test_a_connection_lost_in_the_middle_of_a_write_is_unknown(
    postgresql: Server, postgresql_url: str, open_database: Callable[..., Any]
) -> None:
    database = await open_database(postgresql_url)

    def work(connection: Any) -> None:
        advance(connection, 1, "node1", "boot")
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with postgresql.connect() as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 2000)", (pid,))
        advance(connection, 2, "node1", "boot")

    with pytest.raises(DatabaseUnknown, match="may or may not"):
        await database.write(work)
    assert await highest(SqlEpochRegister(database), 2_000) == 0


async def test_a_node_frozen_inside_its_transaction_cannot_hold_the_fence(
    postgresql_url: str, open_database: Callable[..., Any]
) -> None:
    frozen, other = await open_database(postgresql_url, 500), await open_database(postgresql_url, 3_000)
    woken, holds = threading.Event(), threading.Event()

    def work(connection: Any) -> bool:
        passed = advance(connection, 5, "node1", "boot-a")
        holds.set()
        assert woken.wait(10)
        return passed

    late = asyncio.create_task(frozen.write(work, use=Use.FENCE, timeout_ms=10_000))
    await asyncio.to_thread(holds.wait, 5)
    begun = seconds()
    assert await SqlEpochRegister(other).claim(6, "node2", "boot-b", 3_000) is Fenced.ACCEPTED
    assert seconds() - begun < 2, "the server ends a transaction that idles for twice the timeout"
    woken.set()
    with pytest.raises(DatabaseError):
        await late
    assert await highest(SqlEpochRegister(other), 2_000) == 6
    assert [line.epoch for line in await leaderships(other)] == [6]


async def test_a_lock_held_by_somebody_else_ends_in_busy_with_nothing_written(
    url: str, open_database: Callable[..., Any]
) -> None:
    database = await open_database(url, 400)
    register = SqlEpochRegister(database)
    assert await register.claim(1, "node1", "boot", 1_000) is Fenced.ACCEPTED
    holder: Any
    if url.startswith("sqlite"):
        holder = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
    else:
        holder = psycopg.connect(url)
        holder.execute("LOCK TABLE fence IN ACCESS EXCLUSIVE MODE")
    with pytest.raises(DatabaseBusy, match="nothing was written"):
        await database.write(lambda connection: advance(connection, 2, "node1", "boot"), timeout_ms=3_000)
    assert await register.claim(2, "node1", "boot", 300) is Fenced.UNKNOWN
    holder.rollback()
    holder.close()
    assert await highest(register, 1_000) == 1


async def test_a_call_nobody_waits_for_any_more_is_never_begun(
    sqlite_url: str, open_database: Callable[..., Any]
) -> None:
    database = await open_database(sqlite_url)
    release, ran = threading.Event(), []
    blocked = [asyncio.create_task(database.read(lambda _: release.wait(10))) for _ in range(3)]
    await asyncio.sleep(0.1)
    with pytest.raises(DatabaseBusy, match="nothing was done"):
        await database.write(lambda _: ran.append("late"), timeout_ms=100)
    cancelled = asyncio.create_task(database.write(lambda _: ran.append("cancelled")))
    await asyncio.sleep(0.05)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    release.set()
    assert all(await asyncio.gather(*blocked))
    await database.read(lambda _: None)
    assert ran == []


async def test_the_queue_is_bounded_and_the_fence_has_a_lane_of_its_own(
    sqlite_url: str, open_database: Callable[..., Any]
) -> None:
    database = await open_database(sqlite_url)
    release = threading.Event()
    crowd = [asyncio.create_task(database.read(lambda _: release.wait(10))) for _ in range(3)]
    await asyncio.sleep(0.1)
    crowd += [asyncio.create_task(database.read(lambda _: True)) for _ in range(64)]
    await asyncio.sleep(0)
    with pytest.raises(DatabaseBusy, match="64 calls already wait"):
        await database.read(lambda _: None)
    assert await SqlEpochRegister(database).claim(1, "node1", "boot", 1_000) is Fenced.ACCEPTED
    release.set()
    assert all(await asyncio.gather(*crowd))


async def test_an_error_of_ours_undoes_the_write_and_keeps_the_connection(database: Database) -> None:
    def work(connection: Any) -> None:
        advance(connection, 9, "node1", "boot")
        raise ValueError("our own mistake")

    with pytest.raises(ValueError, match="our own mistake"):
        await database.write(work)
    assert await highest(SqlEpochRegister(database), 2_000) == 0


async def test_a_statement_that_the_database_refuses_names_the_reason(database: Database) -> None:
    from rppam.db.errors import DatabaseRefused

    with pytest.raises(DatabaseRefused, match="no_such_table"):
        await database.read(lambda connection: connection.execute(text("SELECT * FROM no_such_table")))
    assert await SqlAccounts(database).is_empty()


async def test_stopping_with_a_stuck_call_ends_in_time(sqlite_url: str) -> None:
    database = Database(sqlite_url, 500)
    await database.start()
    release = threading.Event()
    stuck = asyncio.create_task(database.read(lambda _: release.wait(10), timeout_ms=10_000))
    await asyncio.sleep(0.05)
    begun = seconds()
    await database.stop()
    assert seconds() - begun < 2.5
    with pytest.raises(DatabaseUnreachable, match="not open"):
        await database.read(lambda _: None)
    release.set()
    await stuck


async def test_a_call_that_comes_while_the_database_is_opened_waits_for_it(url: str) -> None:
    database = Database(url, 5_000)
    with pytest.raises(DatabaseUnreachable, match="is not open"):
        await database.read(lambda _: 1)  # nobody opens it
    starting = asyncio.create_task(database.start())
    await asyncio.sleep(0)
    assert not database.is_ready
    assert await database.read(lambda _: 1) == 1
    await starting
    await database.stop()
