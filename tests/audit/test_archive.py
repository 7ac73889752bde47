"""Old events leave the database once a file has them: nothing is lost, every proof holds, and a kill harms nothing."""

import asyncio
import hashlib
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, insert, select, text

from rppam.audit import archive_store
from rppam.audit.archive_store import Pruned, Pruning, SqlArchives
from rppam.audit.policy import ARCHIVE, AuditArchive
from rppam.audit.retention_store import SqlRetention
from rppam.audit.verify import Tampered, Verification, verified
from rppam.cluster.health.ports import Authority
from rppam.db.database import Database
from rppam.db.engine import now_ms
from rppam.http.errors import FencedError
from rppam.kernel.actor import Actor, ActorKind
from rppam.ledger import record as ledger_record
from rppam.ledger.errors import LedgerBroken
from rppam.ledger.events import Retention
from rppam.ledger.merkle import is_consistent, root_from_inclusion
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
from rppam.ledger.tables import DAY_MS, audit_archived, audit_events
from rppam.settings.store import SqlSettingsStore
from rppam.settings.tables import settings
from rppam.siem.model import TargetKind
from tests.audit.test_command import config  # noqa: F401 - a fixture
from tests.audit.test_watch import Node
from tests.ledger.keys import LEADER, ORIGIN, SIGNER
from tests.siem.receivers import target
from tests.siem.test_delivery import targets_of
from tests.support import prefork
from tests.support.unnamed import acts

pytestmark = [pytest.mark.integration, pytest.mark.server]
rppam = partial(prefork.run, "audit")
ACTIONS = ("session.open", "user.create")
COUNT = 60


async def acted(database: Database, count: int = COUNT, name: str = "alice", *, days: int = 31) -> None:
    """So many acts, so many days ago."""

    def work(connection: Connection, start: int) -> None:
        for number in range(start, min(count, start + 100)):
            who = Actor(ActorKind.USER, "id-1", name, address="10.9.8.7")
            record(connection, ACTIONS[number % 2], Entity("", f"id-{number}", ""), actor=who)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_record._Writer, "now_ms", lambda _, connection: now_ms(connection) - days * DAY_MS)
        for start in range(0, count, 100):
            await database.write(partial(work, start=start))
    await integrate(database)


async def integrate(database: Database) -> None:
    while await SqlLedger(database).integrate(LEADER, "node1", ORIGIN, SIGNER):
        pass


async def prune(
    database: Database, class_: Retention = Retention.ACCESS, days: int = 30, *, bare: bool = True
) -> Pruned:
    return await SqlArchives(database).prune(LEADER, "node1", class_, days, bare=bare)


async def kept(database: Database) -> list[str]:
    return [event.body["action"] for event in await SqlLedger(database).events(Query(limit=1_000))]


async def judged(database: Database) -> Verification:
    ledger = SqlLedger(database)
    notes = {one.size: one.note for one in await ledger.checkpoints(None, 1_000)}
    verification = Verification(SIGNER.verifier(), notes)
    verified(verification, await ledger.events(Query(limit=10_000, archived=True)))
    return verification


async def test_old_events_of_a_class_leave_and_every_proof_holds(database: Database) -> None:
    ledger = SqlLedger(database)
    await acted(database)
    before = {event.index: event.hash for event in await ledger.events(Query(limit=1_000))}
    await acted(database, 4, "bob", days=0)
    assert (await prune(database, days=40)).events == 0
    assert await prune(database) == Pruned(COUNT // 2, is_over=True)
    await integrate(database)
    actions = await kept(database)
    assert actions.count("session.open") == 2, "the young ones"
    assert actions.count("user.create") == COUNT // 2 + 2, "another class"
    verification = await judged(database)
    assert (verification.archived, verification.tree.size) == (COUNT // 2, len(actions) + COUNT // 2)
    proof = await ledger.proof(0)
    assert proof.leaf == before[0]
    newest = await ledger.newest()
    assert newest is not None
    assert root_from_inclusion(proof.leaf, 0, newest.size, proof.path) == newest.frontier.root()
    old = await ledger.signed_at(COUNT)
    consistency = await ledger.consistency(COUNT, newest.size)
    assert is_consistent(COUNT, old.frontier.root(), newest.size, newest.frontier.root(), consistency)
    (told,) = await ledger.events(Query("ledger.prune"))
    assert told.document()["details"] | {"sha256": ""} == {
        "batch": 1, "class": "access", "count": COUNT // 2, "first": 0, "last": COUNT - 2, "sha256": "",
    }  # fmt: skip


def row_of(connection: Connection, leaf: int = 1) -> dict[str, Any]:
    return dict(connection.execute(select(audit_events).where(audit_events.c.leaf == leaf)).mappings().one())


async def test_whoever_takes_a_text_away_is_told_from_the_leader_that_pruned(database: Database) -> None:
    await acted(database)
    await prune(database)
    await integrate(database)
    assert (await judged(database)).archived == COUNT // 2
    for batch in (1, 7):

        def forge(connection: Connection, batch: int = batch) -> None:
            row = connection.execute(select(audit_events).where(audit_events.c.leaf == 1)).one()
            forged = {"leaf": 1, "hash": bytes.fromhex(row.hash), "writer": row.writer, "number": row.number}
            connection.execute(insert(audit_archived).values(**forged, batch=batch))
            connection.execute(delete(audit_events).where(audit_events.c.leaf == 1))

        saved = await database.read(row_of)
        await database.write(forge)
        with pytest.raises(Tampered, match="no event says that it was pruned so"):
            await judged(database)

        def back(connection: Connection, saved: dict[str, Any] = saved) -> None:
            connection.execute(delete(audit_archived).where(audit_archived.c.leaf == 1))
            connection.execute(insert(audit_events).values(**saved))

        await database.write(back)
        assert (await judged(database)).archived == COUNT // 2


async def test_only_what_a_file_and_every_target_has_is_pruned_and_the_log_says_why_not(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await acted(database)
    assert (await prune(database, bare=False)).events == 0
    archives = SqlArchives(database)
    await archives.add(0, 20, "00" * 32, "/backup/ledger", "root")
    assert "ledger.archive" in await acts(database)
    late = await prune(database, bare=False)
    assert late.events == 10
    assert "no file has those from 20 on" in late.is_late
    await targets_of(database).create(target(TargetKind.WEBHOOK, "http://127.0.0.1:1/", cursor=30))
    value = json.dumps(ARCHIVE.write(AuditArchive(30, without_export=True)))
    row = {
        "name": ARCHIVE.name,
        "revision": 1,
        "value": value,
        "author": "x",
        "epoch": 7,
        "node": "node1",
        "changed_at": 0,
    }
    await database.write(lambda connection: connection.execute(insert(settings).values(**row)).close())
    pruning = Pruning(archives, SqlSettingsStore(database), "node1", LEADER.boot_id)
    await pruning.work(LEADER.epoch)
    await pruning.work(LEADER.epoch)
    assert (await kept(database)).count("session.open") == 15
    assert caplog.text.count("the SIEM target siem has not got those from 30 on") == 1
    with pytest.raises(FencedError):
        await archives.prune(Authority(6, "old"), "node2", Retention.ACCESS, 30, bare=True)


async def test_a_legal_hold_keeps_events_until_it_is_lifted(database: Database) -> None:
    await acted(database)
    await acted(database, 10, "mallory")
    store = SqlRetention(database)
    one = await store.hold("mallory", "case 42", "carol")
    everything = await store.hold("", "case 43", "carol")
    assert (await prune(database)).events == 0
    await store.release(everything, "closed")
    assert (await prune(database)).events == COUNT // 2
    held = await SqlLedger(database).events(Query("session.open", limit=100))
    assert {event.document()["actor"]["name"] for event in held} == {"mallory"}, "with the name"
    await store.release(one, "closed, too")
    assert (await prune(database)).events == 5
    await integrate(database)
    assert (await judged(database)).archived == COUNT // 2 + 5


async def test_a_text_that_was_changed_is_kept_as_the_evidence_that_it_is(database: Database) -> None:
    await acted(database)
    change = text("UPDATE audit_events SET body = REPLACE(body, 'id-4', 'id-6') WHERE leaf = 4")
    await database.write(lambda connection: connection.execute(change).close())
    with pytest.raises(LedgerBroken, match="event 4: its text is not the one that was hashed, so nothing is pruned"):
        await prune(database)
    gone = await database.read(
        lambda connection: connection.execute(select(func.count()).select_from(audit_archived)).scalar_one()
    )
    assert gone == 0


_PRUNER = """
import asyncio, sys
import rppam.app.slices
from rppam.audit import archive_store
from rppam.audit.archive_store import SqlArchives
from rppam.db.database import Database
from rppam.ledger.events import Retention
from tests.audit.test_watch import Node
from tests.ledger.keys import LEADER

archive_store.WINDOW = 20

async def run(url):
    database = Database(url, 30_000, node="node1")
    await database.start()
    while True:
        done = await SqlArchives(database).prune(LEADER, "node1", Retention.ACCESS, 30, bare=True)
        print(done.events, flush=True)

asyncio.run(run(sys.argv[1]))
"""


def killed_in_the_middle(url: str, batches: int) -> list[str]:
    """What a process that prunes has said of its first batches, before it was killed at the next one."""
    command = [sys.executable, "-c", _PRUNER, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        try:
            return [process.stdout.readline().strip() for _ in range(batches)]
        finally:
            process.kill()


async def test_a_leader_that_is_killed_in_the_middle_leaves_nothing_half_done(
    database: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await acted(database, 600)
    assert await asyncio.to_thread(killed_in_the_middle, url, 5) == ["10"] * 5
    await integrate(database)
    half = (await judged(database)).archived
    assert 50 <= half < 300, "killed before it was done"
    assert half % 10 == 0, "whole batches"
    monkeypatch.setattr(archive_store, "WINDOW", 100)
    done = await prune(database)
    while not done.is_over:
        done = await prune(database)
    await integrate(database)
    assert (await judged(database)).archived == 300


async def test_the_commands_archive_what_is_new_and_verify_says_what_was_archived(
    config: Path,  # noqa: F811
    database: Database,
    tmp_path: Path,
) -> None:
    node, first, second = Node(database, tmp_path), tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    made = rppam("archive", first, "--config", config, "--json")
    assert made.returncode == 0, made.stderr
    facts = json.loads(made.stdout)
    assert (facts["first"], facts["events"]) == (0, 23)
    assert first.stat().st_mode & 0o077 == 0, "names are in it"
    assert json.loads(rppam("verify", first, "--json").stdout)["events"] == 23
    again = rppam("archive", second, "--config", config)
    assert (again.returncode, "nothing is new since event 23" in again.stderr) == (0, True)
    await node.act(5)
    refused = rppam("archive", first, "--config", config)
    assert refused.returncode == 1
    assert "exists already" in refused.stderr
    gap = rppam("archive", second, "--config", config, "--from", "40")
    assert "the last archive ends before event 23" in gap.stderr
    assert rppam("archive", second, "--config", config, "--without-names").returncode == 0
    part = rppam("verify", second)
    assert "This part of the ledger, from event 23 on, is whole: 8 events" in part.stdout, part.stderr
    assert "words" not in second.read_text()
    listed = json.loads(rppam("archives", "--config", config, "--json").stdout)["items"]
    assert [(one["first"], one["end"]) for one in listed] == [(0, 23), (23, 31)]
    assert listed[0]["sha256"] == facts["sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()

    archives, days = SqlArchives(database), 0
    done = await archives.prune(LEADER, "node1", Retention.ADMINISTRATION, days, bare=False)
    assert done.events == 25, "but for those of the ledger itself, and of another class"
    await node.act(0)
    whole = rppam("verify", "--config", config)
    assert "25 of the events are archived; their hashes are verified." in whole.stdout, whole.stderr
    bundle = tmp_path / "bundle.jsonl"
    assert rppam("export", "--config", config, "--bundle", bundle).returncode == 0
    assert json.loads(rppam("verify", bundle, "--json").stdout)["archived"] == 25
    lines = second.read_text().splitlines(keepends=True)
    second.write_text("".join(line.replace("id-3", "id-4") for line in lines))
    assert rppam("verify", second).returncode == 1
