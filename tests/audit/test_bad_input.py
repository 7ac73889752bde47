"""What may go wrong around the ledger, and what is said then. Changed, removed, inserted and reordered rows:
tests/audit/test_verify.py; a leader of the past: tests/ledger/test_record.py and tests/audit/test_verify_context.py; a
forked or restored ledger: tests/audit/test_watch.py, test_leader_doubts.py and test_cosigners.py; a witness that adopts
one: test_adoption.py."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, select, text

from rppam.audit.retention_store import SqlRetention
from rppam.audit.verify import Verification, verified
from rppam.db.database import Database
from rppam.db.errors import DatabaseError, NotRecorded
from rppam.kernel.instant import WallMs
from rppam.kernel.system_clock import SystemClock
from rppam.ledger import record as ledger_record
from rppam.ledger.cosigner import Cosigner
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
from rppam.ledger.tables import audit_events, audit_holds
from tests.audit.test_cosigners import EPOCH, Cluster, connected
from tests.audit.test_watch import Node
from tests.ledger.keys import LEADER, ORIGIN, SIGNER

pytestmark = [pytest.mark.integration, pytest.mark.server]
HOUR_MS = 3_600_000


def act(connection: Connection) -> None:
    record(connection, "user.create", Entity("user", "id-1", "anna"))


async def judged(database: Database) -> int:
    while await SqlLedger(database).integrate(LEADER, "node1", ORIGIN, SIGNER):
        pass
    notes = {one.size: one.note for one in await SqlLedger(database).checkpoints(None, 100)}
    events = await SqlLedger(database).events(Query(limit=1_000))
    return verified(Verification(SIGNER.verifier(), notes), events)


async def test_of_two_writers_with_one_identity_the_second_is_refused_with_its_act(
    database: Database, url: str, open_database: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    other: Database = await open_database(url)
    made = ledger_record._Writer.__init__
    twins = [0, 0]

    def twin(writer: Any) -> None:
        made(writer)
        if twins:
            twins.pop()
            writer.id = "00000000-0000-4000-8000-000000000000"

    monkeypatch.setattr(ledger_record._Writer, "__init__", twin)
    await database.write(act)
    why = r"UNIQUE constraint failed: audit_events\.writer|duplicate key value violates .* \"uq_audit_events_writer\""
    with pytest.raises(NotRecorded, match=rf"was not done, as the ledger cannot record it: ({why})"):
        await SqlRetention(other).hold("mallory", "case 42", "carol")
    assert await SqlRetention(other).holds() == [], "no event, no act"
    await SqlRetention(other).hold("mallory", "case 42", "carol")
    assert await judged(database) == 2, "it goes on as a new writer"


async def test_a_clock_that_is_an_hour_off_disturbs_neither_order_nor_proof(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ledger_record._Writer.now_ms
    for off in (0, HOUR_MS, -HOUR_MS, 0):
        monkeypatch.setattr(ledger_record._Writer, "now_ms", lambda *given, off=off: real(*given) + off)
        await database.write(act)
    assert await judged(database) == 4
    events = [one.document() for one in await SqlLedger(database).events(Query())]
    assert [one["index"] for one in events] == [0, 1, 2, 3], "in the order in which they were written"
    assert events[1]["time"] - events[2]["time"] > HOUR_MS
    since = WallMs(events[0]["time"] + HOUR_MS // 2)
    assert [one.index for one in await SqlLedger(database).events(Query(since=since))] == [1]
    _, oldest, now = await SqlLedger(database).waiting()
    assert oldest is None
    assert now > 0


async def test_a_member_whose_clock_is_an_hour_off_cosigns_all_the_same(database: Database, tmp_path: Path) -> None:
    class Slow(SystemClock):
        def wall_ms(self) -> WallMs:
            return WallMs(super().wall_ms() - HOUR_MS)

    node = Node(database, tmp_path)
    node.cosigner = Cosigner(tmp_path, "rppam/test/node1", Slow())
    node.watch._cosigner = node.cosigner
    await node.act(3)
    assert await node.watch.check() == ""
    (row,) = await node.cosigners.all()
    newest = await SqlLedger(database).newest()
    assert newest is not None
    assert (row.size, row.why) == (newest.size, "")
    (told,) = [one for one in node.watch.gauges if one.name == "rppam_ledger_cosigners"]
    assert told.value == 1, "by the database's clock"


@pytest.fixture
async def cluster(database: Database, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with connected(database, tmp_path) as made:
        yield made


async def test_a_witness_with_an_empty_disk_begins_anew_and_the_ledger_says_so(cluster: Cluster) -> None:
    cluster.cosigns()
    await cluster.node.act(3)
    await cluster.asks.work(EPOCH)
    for name in ("ledger.json", "cosigner.key"):
        (cluster.folder / name).unlink()
    cluster.cosigns()
    await cluster.node.act(3)
    await cluster.asks.work(EPOCH)
    (row,) = await cluster.node.cosigners.all()
    newest = await SqlLedger(cluster.node.database).newest()
    assert newest is not None
    assert (row.size, row.why) == (newest.size, "")
    keys = [one.document() for one in await SqlLedger(cluster.node.database).events(Query("ledger.cosigner"))]
    assert [one["object"]["id"] for one in keys] == ["rppam/test/witness1"] * 2, "a key that it did not have before"
    assert keys[0]["details"]["key"] != keys[1]["details"]["key"] == row.key


async def test_a_witness_whose_disk_is_full_is_named_and_cosigns_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cluster.cosigns()
    await cluster.node.act(3)
    monkeypatch.setattr("rppam.ledger.cosigner.replace_durably", full)
    await cluster.asks.work(EPOCH)
    assert "No space left on device" in await cluster.said()


async def test_a_database_that_goes_away_in_the_middle_of_a_commit_leaves_both_or_neither(
    postgresql_url: str, open_database: Callable[..., Any]
) -> None:
    database: Database = await open_database(postgresql_url)
    killer: Database = await open_database(postgresql_url)
    engine = killer._engine
    mine: list[int] = []

    def away(connection: Connection) -> None:
        if mine:
            with engine.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": mine.pop()})

    def acting(connection: Connection) -> None:
        mine.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        act(connection)
        row = {"id": "h", "word": "x", "reason": "x", "by_name": "x", "made_at": 0}
        connection.execute(audit_holds.insert().values(**row))

    event.listen(database._engine, "commit", away)
    try:
        with pytest.raises(DatabaseError, match="may or may not"):
            await database.write(acting)
    finally:
        event.remove(database._engine, "commit", away)

    def count(connection: Connection) -> tuple[int, int]:
        events = select(func.count()).select_from(audit_events)
        holds = select(func.count()).select_from(audit_holds)
        return connection.execute(events).scalar_one(), connection.execute(holds).scalar_one()

    assert await killer.read(count) == (0, 0), "neither the act nor its event"
    await database.write(act)
    assert await judged(database) == 1
