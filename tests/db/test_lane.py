"""Which thread has the next call, and with it which connection."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from rppam.db.database import Database
from rppam.db.errors import DatabaseBusy


@pytest.fixture
async def database(tmp_path: Path) -> Any:
    made = Database(f"sqlite:///{tmp_path / 'lane.db'}", 200, node="node1")
    await made.start()
    yield made
    await made.stop()


def thread(_connection: Connection) -> int:
    return threading.get_ident()


async def test_one_call_after_the_other_has_one_connection_reads_and_writes_alike(database: Database) -> None:
    found = {await ask(thread) for _ in range(10) for ask in (database.read, database.write)}
    assert len(found) == 1, "a connection that another one wrote beside reads all its pages anew"


async def test_calls_at_once_have_each_their_own_and_the_last_to_end_has_the_next(database: Database) -> None:
    begun, gates = threading.Barrier(4), [threading.Event() for _ in range(3)]

    def waits(gate: threading.Event) -> Any:
        def work(connection: Connection) -> int:
            begun.wait(10)
            gate.wait(10)
            return thread(connection)

        return work

    tasks = [asyncio.create_task(database.read(waits(gate), timeout_ms=10_000)) for gate in gates]
    await asyncio.to_thread(begun.wait, 10)
    threads = []
    for gate, task in zip(gates, tasks, strict=True):
        gate.set()
        threads.append(await task)
        await asyncio.sleep(0.05)  # until it waits
    assert len(set(threads)) == 3
    assert await database.read(thread) == threads[-1]


async def test_whatever_comes_together_is_answered_though_one_alone_writes(database: Database) -> None:
    for _ in range(50):
        asked = [(database.write if number % 3 else database.read)(thread, timeout_ms=10_000) for number in range(30)]
        assert len(await asyncio.wait_for(asyncio.gather(*asked), 10)) == 30


async def test_a_write_beside_another_program_that_writes_is_told_so(database: Database, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "lane.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusy, match="held by somebody else"):
            await database.write(thread, timeout_ms=10_000)
        assert await database.read(thread)
    assert await database.write(thread)
