"""Writes that wait for SQLite share a commit, and each of them is done, undone and answered for itself."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select, text
from sqlalchemy.exc import IntegrityError

from rppam.db.database import Database
from rppam.db.errors import DatabaseBusy, DatabaseValueRefused
from rppam.db.lane import GROUP_MAX
from rppam.db.tables import cluster_settings
from rppam.http.errors import FencedError
from rppam.kernel.actor import Actor, ActorKind, acting
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.tables import audit_events

SUE = Actor(ActorKind.USER, "id-sue", "sue")


class House:
    """A database whose writer can be held up, so that others wait together."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.commits = 0
        self._gate = threading.Event()
        event.listen(database._engine, "commit", self._committed)

    def _committed(self, _connection: Connection) -> None:
        self.commits += 1

    async def together(self, *works: Any) -> list[Any]:
        """Their answers; all of them wait while the writer is busy."""
        begun = threading.Event()

        def busy(_connection: Connection) -> None:
            begun.set()
            self._gate.wait(10)

        first = asyncio.create_task(self.database.write(busy))
        await asyncio.to_thread(begun.wait, 10)
        others = [asyncio.create_task(self.database.write(work)) for work in works]
        await asyncio.sleep(0)  # so that each is in the queue
        self.commits = 0
        self._gate.set()
        answers = await asyncio.gather(*others, return_exceptions=True)
        await first
        self._gate.clear()
        return answers

    async def names(self) -> set[str]:
        wanted = select(cluster_settings.c.name).where(cluster_settings.c.value == "x")
        return set(await self.database.read(lambda connection: connection.execute(wanted).scalars().all()))


@pytest.fixture
async def house(tmp_path: Path) -> Any:
    database = Database(f"sqlite:///{tmp_path / 'group.db'}", 10_000, node="node1")
    await database.start()
    yield House(database)
    await database.stop()


def adds(name: str, error: BaseException | None = None) -> Any:
    """An act with its event, which may fail afterwards."""

    def work(connection: Connection) -> str:
        connection.execute(insert(cluster_settings).values(name=name, value="x"))
        with acting(SUE):
            record(connection, "user.create", Entity("user", f"id-{name}", name))
        if error is not None:
            raise error
        return name

    return work


async def recorded(house: House) -> list[Any]:
    wanted = select(audit_events).order_by(audit_events.c.seq)
    return list(await house.database.read(lambda connection: connection.execute(wanted).all()))


async def test_what_waits_is_written_by_one_commit(house: House) -> None:
    names = [f"name-{number}" for number in range(GROUP_MAX)]
    assert await house.together(*map(adds, names)) == names
    assert house.commits <= 2, "the busy one's, and one for all that waited"
    assert await house.names() == set(names)
    assert [row.object_id for row in await recorded(house)] == [f"id-{name}" for name in names]


async def test_no_group_is_larger_than_its_bound(house: House) -> None:
    names = [f"name-{number}" for number in range(GROUP_MAX + 1)]
    assert await house.together(*map(adds, names)) == names
    assert house.commits == 3


async def test_one_that_fails_is_undone_alone_with_its_event_and_the_chain_has_no_gap(house: House) -> None:
    answers = await house.together(
        adds("anna"), adds("bert", FencedError("too old")), adds("carl"), adds("anna"), adds("dora", LookupError("no"))
    )
    assert answers[0] == "anna"
    assert isinstance(answers[1], FencedError)
    assert answers[2] == "carl"
    assert isinstance(answers[3], DatabaseValueRefused), "there is an anna already"
    assert isinstance(answers[4], LookupError)
    assert await house.names() == {"anna", "carl"}
    assert await house.together(adds("emil")) == ["emil"]
    events = await recorded(house)
    assert [row.object_id for row in events] == ["id-anna", "id-carl", "id-emil"]
    chains: dict[str, list[int]] = {}
    for row in events:
        chains.setdefault(row.writer, []).append(row.number)
    assert all(numbers == list(range(len(numbers))) for numbers in chains.values()), chains


async def test_a_savepoint_within_a_job_takes_its_events_along(house: House) -> None:
    def work(connection: Connection) -> None:
        adds("anna")(connection)
        with pytest.raises(IntegrityError), connection.begin_nested():
            adds("anna")(connection)
        with pytest.raises(LookupError), connection.begin_nested():
            adds("bert", LookupError("no"))(connection)
        with connection.begin_nested():
            adds("carl")(connection)

    await house.together(work, adds("dora"))
    events = await recorded(house)
    assert [(row.object_id, row.number) for row in events] == [("id-anna", 0), ("id-carl", 1), ("id-dora", 2)]


async def test_where_the_commit_fails_none_of_them_is_told_that_it_is_done(house: House) -> None:
    def breaks(connection: Connection) -> None:
        connection.exec_driver_sql("ROLLBACK")  # as SQLite does by itself when the disk is full
        raise LookupError("the disk is full")

    answers = await house.together(adds("anna"), breaks, adds("bert"))
    assert all(isinstance(answer, BaseException) for answer in answers), answers
    assert await house.names() == set()
    assert await house.together(adds("carl")) == ["carl"]
    assert [row.object_id for row in await recorded(house)] == ["id-carl"]


async def test_who_gives_up_breaks_off_nobody_else(house: House) -> None:
    begun, gate = threading.Event(), threading.Event()

    def busy(_connection: Connection) -> None:
        begun.set()
        gate.wait(10)

    first = asyncio.create_task(house.database.write(busy))
    await asyncio.to_thread(begun.wait, 10)
    inside = threading.Event()

    def slow(connection: Connection) -> str:
        inside.set()
        connection.execute(text("SELECT 1"))
        gate_two.wait(10)
        return str(adds("slow")(connection))

    gate_two = threading.Event()
    leaves, stays = (asyncio.create_task(house.database.write(one)) for one in (slow, adds("stays")))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.to_thread(inside.wait, 10)
    leaves.cancel()
    await asyncio.sleep(0)
    gate_two.set()
    assert await stays == "stays"
    await first
    assert "stays" in await house.names()


async def test_who_waits_in_vain_is_told_so_and_reading_goes_on(house: House) -> None:
    begun, gate = threading.Event(), threading.Event()

    def busy(_connection: Connection) -> None:
        begun.set()
        gate.wait(10)

    first = asyncio.create_task(house.database.write(busy))
    await asyncio.to_thread(begun.wait, 10)
    with pytest.raises(DatabaseBusy, match="nothing was done"):
        await house.database.write(adds("late"), timeout_ms=50)
    assert await house.names() == set()
    gate.set()
    await first
    await house.database.write(adds("next"))
    assert await house.names() == {"next"}
