"""Each node remembers what it has seen signed: a database that was put back or replaced is noticed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, text, update

from rppam.audit.cosigners import SqlCosigners
from rppam.audit.integrator import Integrator
from rppam.audit.keys import SigningKeys
from rppam.audit.watch import LedgerWatch
from rppam.crypto.data_key_ports import ClusterSecrets
from rppam.crypto.data_keys import DataKeys
from rppam.db.data_keys import SqlDataKeys
from rppam.db.database import Database
from rppam.http.errors import FencedError
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.ledger.cosigner import Cosigner, Judged
from rppam.ledger.errors import LedgerBroken, LedgerRolledBack, LedgerUnwatched
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
from rppam.ledger.tables import audit_checkpoints, audit_events, audit_keys, audit_nodes, audit_writers

pytestmark = [pytest.mark.integration, pytest.mark.server]


def keys_of(database: Database) -> SigningKeys:
    data_keys = DataKeys(SqlDataKeys(database), lambda: ClusterSecrets(Secret("ab" * 32), (), ()))
    return SigningKeys(database, data_keys, "rppam/test")


class Node:
    """A node that leads and watches."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.cosigner = Cosigner(folder, "rppam/test/node1", SystemClock())
        self.file = self.cosigner.file
        self.integrator = Integrator(database, keys_of(database), "node1", "boot-a", self.file)
        self.cosigners = SqlCosigners(database)
        self.watch = LedgerWatch(SqlLedger(database), keys_of(database), self.cosigner, self.cosigners)

    async def act(self, count: int, epoch: int = 7) -> None:
        def work(connection: Connection) -> None:
            for number in range(count):
                record(connection, "user.create", Entity("user", f"id-{number}"))

        await self.database.write(work)
        await self.integrator.work(epoch)


@pytest.fixture
def node(database: Database, tmp_path: Path) -> Node:
    return Node(database, tmp_path)


WAITS = "UPDATE audit_events SET time = time - 60000 WHERE leaf IS NULL"


def numbers(node: Node) -> dict[str, float]:
    """What monitoring sees."""
    return {one.name: one.value for one in node.watch.gauges}


async def run(database: Database, *changes: str) -> None:
    def work(connection: Connection) -> None:
        for change in changes:
            connection.execute(text(change))

    await database.write(work)


async def test_the_leader_makes_a_key_says_that_it_leads_and_integrates(node: Node) -> None:
    assert await node.watch.check() == ""
    await node.act(3)
    actions = [event.body["action"] for event in await SqlLedger(node.database).events(Query())]
    assert sorted(actions) == [
        "checkpoint.context",
        "leader.elect",
        "ledger.found",
        "user.create",
        "user.create",
        "user.create",
    ]
    assert await node.watch.check() == ""
    await node.act(1)
    await node.act(1, epoch=8)
    elected = await SqlLedger(node.database).events(Query("leader.elect"))
    assert [event.body["epoch"] for event in elected] == [7, 8]
    assert await node.watch.check() == ""
    seen = node.file.read()
    assert seen is not None
    assert seen.checkpoint.size == 11, "one of them is that this node cosigned"
    sealed = await node.database.read(lambda connection: connection.execute(audit_keys.select()).one())
    assert len(sealed.sealed) > 60
    with pytest.raises(FencedError):
        await Integrator(node.database, keys_of(node.database), "node2", "boot-b").work(7)


async def test_a_database_that_was_put_back_is_noticed(node: Node) -> None:
    await node.act(300)
    await node.watch.check()
    await node.act(5)
    await node.watch.check()
    await run(node.database, "DELETE FROM audit_checkpoints WHERE size > 303")
    with pytest.raises(LedgerRolledBack, match="of which 309 were seen signed"):
        await node.watch.check()
    await run(node.database, "DELETE FROM audit_checkpoints")
    with pytest.raises(LedgerRolledBack, match="is empty"):
        await node.watch.check()


async def test_a_fork_that_is_longer_is_noticed(
    node: Node, url: str, open_database: Callable[..., Any], tmp_path: Path
) -> None:
    await node.act(5)
    await node.watch.check()

    def wiped(connection: Connection) -> None:
        for table in (audit_events, audit_checkpoints, audit_nodes, audit_writers):
            connection.execute(delete(table))

    def acts_twice(connection: Connection) -> None:
        record(connection, "user.create", Entity("user", "before"))
        record(connection, "user.create", Entity("user", "after"))

    def wiped_but_for_the_last(connection: Connection) -> None:
        last = connection.execute(select(audit_events).where(audit_events.c.object_id == "after")).mappings().one()
        wiped(connection)
        connection.execute(insert(audit_events).values(**last))

    await node.database.write(acts_twice)
    await node.database.write(wiped_but_for_the_last)
    stranger = Integrator(node.database, keys_of(node.database), "node1", "boot-a")
    with pytest.raises(LedgerBroken, match="expected event 0 of its writer"):
        await stranger.work(7)
    await node.database.write(wiped)
    (tmp_path / "elsewhere").mkdir()
    restarted = Node(await open_database(url), tmp_path / "elsewhere")
    await restarted.act(50)
    with pytest.raises(LedgerRolledBack, match="its first 8 events"):
        await node.watch.check()


async def test_another_key_is_not_believed_and_a_note_that_says_otherwise_is_broken(node: Node) -> None:
    await node.act(5)
    await node.watch.check()
    await node.act(5)
    note = update(audit_checkpoints).where(audit_checkpoints.c.size == 14).values(size=15)
    await node.database.write(lambda connection: connection.execute(note).close())
    with pytest.raises(LedgerBroken):
        await node.watch.check()
    await node.database.write(lambda connection: connection.execute(delete(audit_keys)).close())
    await run(node.database, "UPDATE audit_checkpoints SET size = 14 WHERE size = 15")
    stranger = Integrator(node.database, keys_of(node.database), "node1", "boot-a")
    await node.database.write(lambda connection: record(connection, "user.create", Entity("user")))
    await stranger.work(7)
    with pytest.raises(LedgerRolledBack, match="has not signed"):
        await node.watch.check()


async def test_a_file_that_is_damaged_or_cannot_be_written_is_said(node: Node, tmp_path: Path) -> None:
    await node.act(1)
    node.file.path.write_text("{")
    with pytest.raises(LedgerUnwatched, match=r"ledger\.json"):
        await node.watch.check()
    elsewhere = Node(node.database, tmp_path / "none")
    with pytest.raises(LedgerUnwatched, match="cannot be read or made"):
        await elsewhere.watch.check()


async def test_events_that_nobody_integrates_are_said(node: Node) -> None:
    await node.act(1)
    await node.database.write(lambda connection: record(connection, "user.create", Entity("user")))
    assert await node.watch.check() == ""
    await run(node.database, WAITS)
    assert "events wait for their place in the ledger, the oldest for more than 30 s" in await node.watch.check()
    assert numbers(node)["rppam_ledger_waiting_events"] == 2


async def test_what_is_told_of_waiting_events_stays_the_same_until_it_is_worse(node: Node) -> None:
    await node.act(1)
    await node.watch.check()
    await node.database.write(lambda connection: record(connection, "user.create", Entity("user")))
    await run(node.database, WAITS)
    told = await node.watch.check()
    await node.database.write(lambda connection: record(connection, "user.create", Entity("user")))
    await run(node.database, "UPDATE audit_events SET time = time - 2000 WHERE leaf IS NULL")
    assert await node.watch.check() == told, "2 s later, with one event more: nothing new for the log"
    await run(node.database, "UPDATE audit_events SET time = time - 300000 WHERE leaf IS NULL")
    assert "the oldest for more than 5 minutes" in await node.watch.check()


async def test_a_member_that_began_anew_hides_neither_waiting_events_nor_who_does_not_cosign(node: Node) -> None:
    await node.act(1)
    await node.watch.check()
    reset = Entity("ledger", "rppam/test/witness1")
    await node.database.write(
        lambda connection: record(connection, "ledger.reset", reset, details={"seen": 9, "begins": 3})
    )
    await run(node.database, WAITS)
    told = await node.watch.check()
    assert "began anew: witness1 (it had cosigned 9 events)" in told
    assert "events wait for their place in the ledger" in told
    await node.cosigners.keep("rppam/test/witness2", "", Judged(0, "", "ledger.json cannot be written: it is full"))
    told = await node.watch.check()
    assert told.startswith("RPPAM-8005: no cosignature comes from witness2 (ledger.json cannot be written"), told
    assert "began anew: witness1" in told
    assert "events wait for their place in the ledger" in told
    assert ".." not in told


async def test_the_numbers_for_monitoring_go_on_while_the_ledger_is_not_believed(node: Node) -> None:
    await node.act(300)
    await node.watch.check()
    await node.act(5)
    await node.watch.check()
    assert (numbers(node)["rppam_ledger_cosigners"], numbers(node)["rppam_ledger_waiting_seconds"]) == (1, 0)
    await run(node.database, "DELETE FROM audit_checkpoints WHERE size > 303")
    await node.database.write(lambda connection: record(connection, "user.create", Entity("user")))
    await run(node.database, WAITS, "UPDATE audit_checkpoints SET made_at = made_at - 60000")
    with pytest.raises(LedgerRolledBack):
        await node.watch.check()
    found = numbers(node)
    assert found["rppam_ledger_waiting_seconds"] >= 60
    assert found["rppam_ledger_checkpoint_age_seconds"] >= 60
    await run(node.database, WAITS)
    node.file.path.write_text("{")
    with pytest.raises(LedgerUnwatched):
        await node.watch.check()
    assert numbers(node)["rppam_ledger_waiting_seconds"] >= 120
    await run(node.database, WAITS, "UPDATE audit_checkpoints SET size = size + 1")
    with pytest.raises(LedgerBroken, match="complete subtrees"):
        await node.watch.check()
    found = numbers(node)
    assert found["rppam_ledger_waiting_seconds"] >= 180
    assert (found["rppam_ledger_checkpoint_age_seconds"] >= 180, found["rppam_ledger_cosigners"]) == (True, 0)


async def test_what_keeps_the_leader_from_going_on_is_told_by_every_node(node: Node) -> None:
    await node.act(2)
    assert await node.watch.check() == ""
    assert await SqlLedger(node.database).flaw_waiting() == ""
    await node.database.write(lambda connection: record(connection, "user.create", Entity("user", "id-9")))
    await run(node.database, "UPDATE audit_events SET body = replace(body, 'id-9', 'id-8') WHERE leaf IS NULL")
    assert await node.watch.check() == "", "while a leader integrates, one look alone says nothing"
    with pytest.raises(LedgerBroken, match="its text is not the one that was hashed"):
        await node.watch.check()
    with pytest.raises(LedgerBroken, match="its text is not the one that was hashed"):
        await node.integrator.work(7)
