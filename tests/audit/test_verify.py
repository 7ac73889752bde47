"""Verification names the first bad place, whatever was done to the database, and finds nothing wrong in a good one."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, text, update

from rppam.audit.bundle import Head, read_bundle, write_bundle
from rppam.audit.verify import Tampered, Verification, verified
from rppam.db.database import Database
from rppam.ledger.checkpoint import Checkpoint, Signer
from rppam.ledger.errors import BundleUnreadable
from rppam.ledger.model import Entity, Event
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
from rppam.ledger.tables import audit_events
from tests.ledger.keys import LEADER, ORIGIN, SIGNER

pytestmark = [pytest.mark.integration, pytest.mark.server]

COUNT = 300


@pytest.fixture
async def ledger(database: Database) -> Database:
    """A ledger of 300 events in three checkpoints."""

    def some(start: int) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            for number in range(start, start + COUNT // 6):
                record(connection, "user.create", Entity("user", f"id-{number}", f"name-{number}"))

        return work

    for start in range(0, COUNT, COUNT // 3):
        await asyncio.gather(*(database.write(some(start + more)) for more in (0, COUNT // 6)))
        await SqlLedger(database).integrate(LEADER, "node1", ORIGIN, SIGNER)
    return database


async def facts(database: Database, *, bare: bool = False) -> tuple[dict[int, str], list[Event]]:
    found = SqlLedger(database)
    notes = {one.size: one.note for one in await found.checkpoints(None, 100)}
    return notes, await found.events(Query(limit=10 * COUNT, bare=bare))


async def judged(database: Database, seen: Checkpoint | None = None, signer: Signer = SIGNER) -> int:
    notes, events = await facts(database, bare=True)
    return verified(Verification(signer.verifier(), notes, seen), events)


async def test_a_whole_ledger_is_whole_with_what_waits_at_its_end(ledger: Database) -> None:
    assert await judged(ledger) == COUNT
    await ledger.write(lambda connection: record(connection, "user.create", Entity("user", "id-late")))
    assert await judged(ledger) == COUNT


CHANGED = "UPDATE audit_events SET body = REPLACE(body, 'user.create', 'user.delete') WHERE leaf = 120"
SWAPPED = (
    "UPDATE audit_events SET leaf = -1 WHERE leaf = 10",
    "UPDATE audit_events SET leaf = 10 WHERE leaf = 60",
    "UPDATE audit_events SET leaf = 60 WHERE leaf = -1",
)
ONE_SIZE = "UPDATE audit_checkpoints SET note = REPLACE(note, '200', '199') WHERE size = 200"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([CHANGED], r"^event 120: its text is not the one that was hashed$"),
        (["UPDATE audit_events SET body = '{' WHERE leaf = 120"], r"^event 120: its text is no event$"),
        (
            ["UPDATE audit_events SET hash = 'ab' WHERE leaf = 120"],
            r"^event 120: its text is not the one that was hash",
        ),
        (
            ["DELETE FROM audit_events WHERE leaf = 120"],
            r"^event 120: expected it here, found event 121: some are miss",
        ),
        (
            ["DELETE FROM audit_events WHERE leaf >= 250"],
            r"^event 250: 300 events were signed, and the rest is missing",
        ),
        (
            SWAPPED,
            r"^event 10: (expected event \d+ of its writer \S+, found \d+: some were removed or moved|it is a sec)",
        ),
        (["DELETE FROM audit_checkpoints WHERE size = 300"], r"^event 200: 100 events are in the tree and not signed$"),
        ([ONE_SIZE], r"^checkpoint 200: the signature of rppam/test does not match$"),
    ],
)
async def test_the_first_bad_place_is_named_with_what_is_wrong_there(
    ledger: Database, changes: Sequence[str], sentence: str
) -> None:
    def work(connection: Connection) -> None:
        for change in changes:
            connection.execute(text(change))

    await ledger.write(work)
    with pytest.raises(Tampered, match=sentence):
        await judged(ledger)


async def test_a_row_that_was_changed_with_its_hash_is_one_of_the_two_that_are_named(ledger: Database) -> None:
    _, events = await facts(ledger)
    first = events[120]
    writer, number = first.body["writer"], first.body["number"]
    after = next(one for one in events if (one.body["writer"], one.body["number"]) == (writer, number + 1))
    forged = Event(first.text.replace("user.create", "user.delete"), 120, {})
    change = update(audit_events).where(audit_events.c.leaf == 120).values(body=forged.text, hash=forged.hash.hex())
    await ledger.write(lambda connection: connection.execute(change).close())
    said = (
        f"^event 120 or event {after.index}: the latter does not follow from event {number} of its writer {writer}: one"
    )
    with pytest.raises(Tampered, match=said):
        await judged(ledger)


async def test_two_writers_of_one_identity_are_told_from_a_row_that_is_missing(ledger: Database) -> None:
    notes, events = await facts(ledger)
    copied = Event(events[120].text, 121, {})
    number, writer = copied.body["number"], copied.body["writer"]
    said = f"^event 121: it is a second event {number} of the writer {writer}, of which {number + 1} comes next: two"
    with pytest.raises(Tampered, match=said):
        verified(Verification(SIGNER.verifier(), notes), [*events[:121], copied, *events[121:]])


async def test_an_inserted_row_has_no_place_in_any_chain(ledger: Database) -> None:
    def work(connection: Connection) -> None:
        row = connection.execute(text("SELECT * FROM audit_events WHERE leaf = 100")).mappings().one()
        connection.execute(text("UPDATE audit_events SET leaf = leaf + 1000 WHERE leaf >= 100"))
        forged = dict(row) | {"leaf": 100, "writer": "00000000-0000-0000-0000-000000000000", "number": 0}
        del forged["seq"]
        forged["body"] = json.dumps(json.loads(row["body"]) | {"writer": forged["writer"], "number": 0, "previous": ""})
        forged["hash"] = Event(forged["body"], 100, {}).hash.hex()
        columns = ", ".join(forged)
        connection.execute(
            text(f"INSERT INTO audit_events ({columns}) VALUES ({', '.join(f':{name}' for name in forged)})"),
            forged,
        )
        connection.execute(text("UPDATE audit_events SET leaf = leaf - 999 WHERE leaf >= 1000"))

    await ledger.write(work)
    with pytest.raises(Tampered, match="not those that were signed"):
        await judged(ledger)


async def test_a_ledger_signed_anew_by_whoever_has_the_database_is_not_the_one_that_was_seen(ledger: Database) -> None:
    notes, events = await facts(ledger)
    honest = Verification(SIGNER.verifier(), notes)
    verified(honest, events)
    seen = Checkpoint(ORIGIN, honest.tree.size, honest.tree.root())
    with pytest.raises(Tampered, match="has not signed"):
        await judged(ledger, signer=Signer(ORIGIN, Ed25519PrivateKey.generate()))
    assert await judged(ledger, seen) == COUNT
    other = seen._replace(root=bytes(32))
    with pytest.raises(Tampered, match="another ledger signed"):
        await judged(ledger, other)
    with pytest.raises(Tampered, match="the rest is missing"):
        await judged(ledger, seen._replace(size=COUNT + 1))


async def test_a_bundle_needs_no_database(ledger: Database, tmp_path: Path) -> None:
    notes, events = await facts(ledger)
    path = tmp_path / "ledger.jsonl"
    with path.open("w", encoding="utf-8") as file:
        assert write_bundle(file, Head(ORIGIN, SIGNER.verifier().text(), notes, ()), events, COUNT) == COUNT
    bundle = read_bundle(path)
    assert (bundle.origin, bundle.total) == (ORIGIN, COUNT)
    assert verified(Verification(SIGNER.verifier(), bundle.notes), bundle.events) == COUNT
    read = [event.document() for event in read_bundle(path).events]
    assert read == [event.document() for event in events]
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:50] + lines[51:]), "utf-8")
    cut = read_bundle(path)
    with pytest.raises(Tampered, match="missing or moved"):
        verified(Verification(SIGNER.verifier(), cut.notes), cut.events)


@pytest.mark.parametrize("junk", [b"", b"{}\n", b"\xff\xfe", b'{"format": "rppam-ledger-1", "notes": 3}\n', b"[1]\n"])
def test_what_is_no_bundle_is_said(junk: bytes, tmp_path: Path) -> None:
    path = tmp_path / "junk"
    path.write_bytes(junk)
    with pytest.raises(BundleUnreadable, match="junk"):
        list(read_bundle(path).events)
    with pytest.raises(BundleUnreadable, match="No such file"):
        read_bundle(tmp_path / "none")


async def test_two_leaders_of_one_epoch_are_named(database: Database) -> None:
    def elected(node: str) -> Any:
        return lambda connection: record(connection, "leader.elect", Entity("node", node), epoch=7)

    for node in ("node1", "node2"):
        other = Database(database._url.render_as_string(hide_password=False), 3_000, node=node)
        await other.start()
        await other.write(elected(node))
        await other.stop()
    await SqlLedger(database).integrate(LEADER, "node1", ORIGIN, SIGNER)
    with pytest.raises(Tampered, match="were both elected in epoch 7"):
        await judged(database)
