"""The leader tells in the tree in which epoch it leads and how far each writer had come, as seldom as it may."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from rppam.audit.verify import Verification, verified
from rppam.db.database import Database
from rppam.http.errors import FencedError
from rppam.ledger import leading as module
from rppam.ledger.checkpoint import read_checkpoint
from rppam.ledger.errors import LedgerBroken
from rppam.ledger.leading import ACTION, EVERY_US, Leading
from rppam.ledger.model import Entity, Event
from rppam.ledger.record import record
from rppam.ledger.store import BATCH, Query, SqlLedger
from tests.audit.test_watch import Node, run
from tests.ledger.keys import LEADER, ORIGIN, SIGNER

pytestmark = [pytest.mark.integration, pytest.mark.server]


class Leader:
    """A leader with a watch that the test moves."""

    def __init__(self, database: Database) -> None:
        self.database, self.ledger = database, SqlLedger(database)
        self.time_us = 1_000_000
        self.leading = Leading("node1", ORIGIN, lambda: self.time_us)

    async def integrate(self) -> int:
        if self.leading.note is None:
            newest = await self.ledger.newest()
            self.leading.note = "" if newest is None else newest.note
        return await self.ledger.integrate(LEADER, "node1", ORIGIN, SIGNER, self.leading)

    async def act(self, count: int = 1) -> None:
        def work(connection: Connection) -> None:
            for number in range(count):
                record(connection, "user.create", Entity("user", f"id-{number}"))

        await self.database.write(work)

    async def told(self) -> list[Event]:
        return await self.ledger.events(Query(ACTION))

    async def sizes(self) -> list[int]:
        return [one.size for one in reversed(await self.ledger.checkpoints(None, 100))]


@pytest.fixture
def leader(database: Database) -> Leader:
    return Leader(database)


async def test_a_batch_is_followed_by_who_leads_and_how_far_each_writer_has_come(leader: Leader) -> None:
    await leader.act(3)
    assert await leader.integrate() == 3, "what is told of itself is none of them"
    (event,) = await leader.told()
    body = event.body
    assert (event.index, body["epoch"], body["details"]["leader"]) == (3, LEADER.epoch, "node1")
    assert body["object"] | {"name": ""} == {"kind": "ledger", "id": ORIGIN, "name": ""}
    last = (await leader.ledger.events(Query("user.create")))[-1]
    assert body["details"]["heads"] == [[last.body["writer"], 2, last.hash.hex()]]
    newest = await leader.ledger.newest()
    assert newest is not None
    assert read_checkpoint(newest.note, SIGNER.verifier()).size == 4, "the same signature covers it"
    assert await leader.sizes() == [4]


async def test_an_idle_cluster_tells_once_and_then_nothing_any_more(leader: Leader) -> None:
    await leader.act()
    await leader.integrate()
    await leader.act()
    await leader.integrate()
    assert (len(await leader.told()), await leader.sizes()) == (1, [2, 3]), "not one for each batch"
    leader.time_us += EVERY_US
    assert await leader.integrate() == 0
    assert (len(await leader.told()), await leader.sizes()) == (2, [2, 3, 4]), "before it goes idle"
    for _ in range(5):
        leader.time_us += EVERY_US
        assert await leader.integrate() == 0
    assert (len(await leader.told()), await leader.sizes()) == (2, [2, 3, 4])
    await leader.act()
    await leader.integrate()
    assert await leader.sizes() == [2, 3, 4, 6], "and with the next batch at once"
    first, second, third = (one.body for one in await leader.told())
    assert [one["number"] for one in (first, second, third)] == [0, 1, 2], "a chain of its own"
    assert {one["writer"] for one in (first, second, third)} == {first["writer"]}
    for index, one in ((2, second), (4, third)):
        (event,) = await leader.ledger.events(Query(after=index - 1, limit=1, placed=True))
        told = [event.body["writer"], event.body["number"], event.hash.hex()]
        assert one["details"]["heads"] == [told], "what is new alone"


async def test_a_new_leadership_tells_at_once_and_of_what_the_one_before_has_not_told(
    leader: Leader, url: str, open_database: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEADS_MAX", 2)
    await leader.act()
    await leader.integrate()
    others = [Leader(await open_database(url)) for _ in range(2)]
    for one in others:
        await one.act(2)
    await leader.integrate()
    assert len(await leader.told()) == 1
    await leader.act()
    other = Leader(leader.database)
    await other.integrate()
    first, *parts = await leader.told()
    events = [one for one in await leader.ledger.events(Query(after=first.index)) if one.body["action"] != ACTION]
    last = {one.body["writer"]: (one.body["number"], one.hash.hex()) for one in events}
    assert len(last) >= 3
    sizes = [len(one.body["details"]["heads"]) for one in parts]
    assert (max(sizes), sum(sizes)) == (2, len(last)), "two at a time"
    told = [head for one in parts for head in one.body["details"]["heads"]]
    assert last == {writer: (number, digest) for writer, number, digest in told}
    assert first.body["writer"] != parts[0].body["writer"], "each leader has a chain of its own"


async def test_a_leader_whose_database_is_put_back_goes_on_as_a_new_writer(
    sqlite_url: str, tmp_path: Path, open_database: Callable[..., Any]
) -> None:
    leader = Leader(await open_database(sqlite_url))
    await leader.act()
    await leader.integrate()
    older = tmp_path / "older.db"
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as file, closing(sqlite3.connect(older)) as to:
        file.backup(to)
    leader.time_us += EVERY_US
    await leader.act()
    await leader.integrate()
    assert [one.body["number"] for one in await leader.told()] == [0, 1]
    leader.database = await open_database(f"sqlite:///{older}")  # under a leader that goes on
    leader.ledger = SqlLedger(leader.database)
    leader.time_us += EVERY_US
    await leader.act()
    assert await leader.integrate() == 0, "not what it has signed"
    assert await leader.integrate() == 1
    first, second = (one.body for one in await leader.told())
    assert (first["number"], second["number"]) == (0, 0), "event 1 of its first writer is gone"
    assert first["writer"] != second["writer"]


async def test_however_long_nobody_told_anything_no_more_than_so_many_events_are_looked_at(
    leader: Leader, url: str, open_database: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKED_AT_MAX", 3)
    await leader.act()
    await leader.integrate()
    for _ in range(2):
        other = Leader(await open_database(url))
        await other.act(3)
        await SqlLedger(leader.database).integrate(LEADER, "node1", ORIGIN, SIGNER)
    leader = Leader(leader.database)
    await leader.act()
    await leader.integrate()
    heads = (await leader.told())[-1].body["details"]["heads"]
    events = await leader.ledger.events(Query(after=4, placed=True))
    assert [one.index for one in events] == [5, 6, 7, 8, 9]
    assert {writer for writer, _, _ in heads} == {one.body["writer"] for one in events[:-1]}


async def test_more_than_a_batch_is_told_of_once(leader: Leader) -> None:
    await leader.act(2 * BATCH + 1)
    while await leader.integrate() == BATCH:
        pass
    leader.time_us += EVERY_US
    await leader.integrate()
    assert [one.index for one in await leader.told()] == [BATCH, 2 * BATCH + 2]
    notes = {one.size: one.note for one in await leader.ledger.checkpoints(None, 100)}
    events = await leader.ledger.events(Query(limit=10 * BATCH))
    assert verified(Verification(SIGNER.verifier(), notes), events) == 2 * BATCH + 3


async def test_what_was_told_in_a_transaction_that_failed_never_was(leader: Leader) -> None:
    await leader.act()
    await leader.integrate()
    await leader.act(2)
    await run(leader.database, "UPDATE audit_events SET body = replace(body, 'id-1', 'id-8') WHERE leaf IS NULL")
    leader.time_us += EVERY_US
    with pytest.raises(LedgerBroken):
        await leader.integrate()
    await run(leader.database, "UPDATE audit_events SET body = replace(body, 'id-8', 'id-1') WHERE leaf IS NULL")
    await run(leader.database, "UPDATE fence SET epoch = 9, boot_id = 'boot-b'")
    with pytest.raises(FencedError):
        await leader.integrate()
    assert len(await leader.told()) == 1
    await run(leader.database, "UPDATE fence SET epoch = 7, boot_id = 'boot-a'")
    await leader.integrate()
    first, second = (one.body for one in await leader.told())
    assert first["writer"] != second["writer"]
    assert second["number"] == 0


async def test_one_that_waits_for_its_place_was_written_by_no_leader_and_is_not_signed(leader: Leader) -> None:
    facts = {"leader": "node1", "heads": [["somebody", 7, "00"]]}
    await leader.database.write(lambda one: record(one, ACTION, Entity("ledger"), epoch=7, details=facts))
    with pytest.raises(LedgerBroken, match="an event of this kind never waits for its place, so no leader has written"):
        await leader.integrate()
    assert await leader.sizes() == []


async def test_a_node_that_leads_tells_of_itself(database: Database, tmp_path: Path) -> None:
    node = Node(database, tmp_path)
    await node.act(3)
    await node.act(1)
    assert [one.body["epoch"] for one in await SqlLedger(database).events(Query(ACTION))] == [7]
    await node.act(1, epoch=8)
    assert [one.body["epoch"] for one in await SqlLedger(database).events(Query(ACTION))] == [7, 8]
