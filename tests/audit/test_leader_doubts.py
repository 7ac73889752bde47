"""A leader holds the ledger against what its own node has seen before it signs: it never makes a fork longer."""

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Table, delete, insert, select

from rppam.audit.watch import adopted
from rppam.cluster.driver.node_tasks import findings_of
from rppam.db.database import Database
from rppam.ledger.errors import LedgerRolledBack, LedgerUnwatched
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
from rppam.ledger.tables import audit_checkpoints, audit_events, audit_keys, audit_nodes, audit_words, audit_writers
from tests.audit.test_command import rppam
from tests.audit.test_watch import Node, keys_of

pytestmark = [pytest.mark.integration, pytest.mark.server]

TABLES = (audit_events, audit_words, audit_nodes, audit_writers, audit_checkpoints, audit_keys)
Backup = Mapping[Table, list[dict[str, Any]]]
Opened = Callable[[], Awaitable[Node]]


async def backup(database: Database) -> Backup:
    """What is in the ledger."""

    def work(connection: Connection) -> Backup:
        return {one: [dict(row) for row in connection.execute(select(one)).mappings()] for one in TABLES}

    return await database.read(work)


async def restore(database: Database, saved: Backup) -> None:
    """Put it back."""

    def work(connection: Connection) -> None:
        for table in TABLES:
            connection.execute(delete(table))
            if rows := saved.get(table, []):
                connection.execute(insert(table), rows)

    await database.write(work)


@pytest.fixture
def started(url: str, open_database: Callable[..., Any], tmp_path: Path) -> Opened:
    """The node after a start: with new connections, and what stands in its data directory."""

    async def start() -> Node:
        return Node(await open_database(url), tmp_path)

    return start


async def adopt(node: Node) -> int:
    async def recorded(before: int, now: int) -> None:
        facts = {"seen": before, "adopted": now}
        await node.database.write(
            lambda connection: record(connection, "ledger.adopt", Entity("ledger"), details=facts)
        )

    seen = await adopted(SqlLedger(node.database), keys_of(node.database), node.file, recorded)
    return 0 if seen is None else seen.checkpoint.size


async def size(node: Node) -> int:
    newest = await SqlLedger(node.database).newest()
    return 0 if newest is None else newest.size


async def test_a_leader_does_not_sign_a_ledger_that_was_put_back_until_it_is_adopted(started: Opened) -> None:
    first = await started()
    await first.act(5)
    await first.watch.check()
    saved = await backup(first.database)
    await first.act(5)
    await first.watch.check()
    seen = await size(first)
    await restore(first.database, saved)
    before = await size(first)
    node = await started()
    said = f"signs nothing until it is adopted: .* it has {before} events, of which {seen} were seen signed"
    for epoch in (8, 8):
        with pytest.raises(LedgerRolledBack, match=f"^this node leads, and {said}"):
            await node.act(1, epoch)
    with pytest.raises(LedgerRolledBack) as caught:
        await node.act(1, 9)
    (told,) = findings_of([caught.value])
    assert (told.code, "rppam audit adopt" in told.advice) == ("RD-631", True)
    waiting = [one.body["action"] for one in await SqlLedger(node.database).events(Query(after=before - 1))]
    assert sorted(waiting) == ["leader.elect"] * 2 + ["ledger.cosigner"] + ["user.create"] * 3, (
        "acts go on to be recorded"
    )
    assert await size(node) == before

    assert await adopt(node) == before
    await node.act(1, 9)
    assert await size(node) > before
    assert await node.watch.check() == ""


async def test_a_leader_notices_that_the_ledger_is_put_back_under_it(started: Opened) -> None:
    node = await started()
    await node.act(5)
    await node.watch.check()
    saved = await backup(node.database)
    await node.act(5)
    await node.watch.check()
    await restore(node.database, saved)
    before = await size(node)
    with pytest.raises(LedgerRolledBack, match="this node leads, and signs nothing until"):
        await node.act(1)
    assert await size(node) == before


async def test_a_leader_makes_no_key_and_signs_nothing_for_a_ledger_that_was_emptied(started: Opened) -> None:
    node = await started()
    await node.act(5)
    await node.watch.check()
    await restore(node.database, {})
    node = await started()
    with pytest.raises(LedgerRolledBack, match="the ledger is empty; this node has seen 8 events of it signed"):
        await node.act(1)
    assert await keys_of(node.database).verifier() is None
    assert await adopt(node) == 0
    await node.act(1)
    assert await size(node) > 0
    assert await node.watch.check() == ""


async def test_a_leader_signs_with_no_key_but_the_one_that_was_seen(started: Opened, tmp_path: Path) -> None:
    node = await started()
    await node.act(5)
    await node.watch.check()
    await node.database.write(lambda connection: connection.execute(delete(audit_keys)).close())
    node = await started()
    with pytest.raises(LedgerRolledBack, match="the signing key in the database is not the one that this node has"):
        await node.act(1)
    assert await keys_of(node.database).verifier() is None


async def test_a_leader_does_not_make_a_fork_longer_that_another_has_signed(started: Opened, tmp_path: Path) -> None:
    node = await started()
    await node.act(5)
    await node.watch.check()
    saved = await backup(node.database)
    await restore(node.database, {audit_keys: saved[audit_keys]})
    (tmp_path / "elsewhere").mkdir()
    forger = await started()
    await Node(forger.database, tmp_path / "elsewhere").act(20)
    forged = await size(forger)
    with pytest.raises(LedgerRolledBack, match="its first 8 events are not those that were seen signed"):
        await node.act(1)
    assert await size(node) == forged


async def test_a_leader_that_cannot_read_what_it_has_seen_says_so_and_signs_nothing(started: Opened) -> None:
    node = await started()
    await node.act(5)
    await node.watch.check()
    before = await size(node)
    node.file.path.write_text("{")
    node = await started()
    with pytest.raises(LedgerUnwatched, match="cannot be read"):
        await node.act(1)
    assert await size(node) == before
    node.file.path.unlink()
    await node.act(1)
    assert await size(node) > before


async def test_an_empty_ledger_is_adopted_by_the_command_too(started: Opened, url: str, tmp_path: Path) -> None:
    config = tmp_path / "rppam.config"
    config.write_text(json.dumps({"node": {"dataDir": str(tmp_path)}, "database": {"url": url}}))
    config.chmod(0o600)
    node = await started()
    words = ("adopt", "--config", config, "--reason", "there was no backup")
    nothing = rppam(*words)
    assert nothing.returncode != 0
    assert "nothing to take over" in nothing.stderr
    await node.act(5)
    await node.watch.check()
    await restore(node.database, {})
    taken = rppam(*words, "--json")
    assert json.loads(taken.stdout)["size"] == 0, taken.stderr
    node = await started()
    await node.act(1)
    (event,) = await SqlLedger(node.database).events(Query("ledger.adopt"))
    assert (event.body["details"]["seen"], event.body["details"]["adopted"]) == (8, 0)
    assert await node.watch.check() == ""
