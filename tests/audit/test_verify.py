"""Verification names the first bad place, whatever was done to the database, and finds nothing wrong in a good one."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, text

from rppam.audit.bundle import Head, read_bundle, write_bundle
from rppam.audit.verify import Tampered, Verification, verified
from rppam.db.database import Database
from rppam.ledger.checkpoint import Checkpoint, Signer
from rppam.ledger.errors import BundleUnreadable
from rppam.ledger.model import Entity, Event
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
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


async def facts(database: Database) -> tuple[dict[int, str], list[Event]]:
    found = SqlLedger(database)
    notes = {one.size: one.note for one in await found.checkpoints(None, 100)}
    return notes, await found.events(Query(limit=10 * COUNT))


async def judged(database: Database, seen: Checkpoint | None = None, signer: Signer = SIGNER) -> int:
    notes, events = await facts(database)
    return verified(Verification(signer.verifier(), notes, seen), events)


async def test_a_whole_ledger_is_whole_with_what_waits_at_its_end(ledger: Database) -> None:
    assert await judged(ledger) == COUNT
    await ledger.write(lambda connection: record(connection, "user.create", Entity("user", "id-late")))
    assert await judged(ledger) == COUNT


HASHES = "(SELECT hash FROM audit_events WHERE leaf = 100)"


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        (["UPDATE audit_events SET body = REPLACE(body, 'user.create', 'user.delete') WHERE leaf = 120"], "event "),
        (["DELETE FROM audit_events WHERE leaf = 120"], "event 120"),
        (["DELETE FROM audit_events WHERE leaf >= 250"], "event 250"),
        (["UPDATE audit_events SET leaf = -1 WHERE leaf = 10", "UPDATE audit_events SET leaf = 10 WHERE leaf = 60",
          "UPDATE audit_events SET leaf = 60 WHERE leaf = -1"], "event 10"),
        (["DELETE FROM audit_checkpoints WHERE size = 300"], "event 200"),
        (["UPDATE audit_checkpoints SET note = REPLACE(note, '200', '199') WHERE size = 200"], "checkpoint 200"),
    ],
)  # fmt: skip
async def test_the_first_bad_place_is_named(ledger: Database, changes: list[str], place: str) -> None:
    def work(connection: Connection) -> None:
        for change in changes:
            connection.execute(text(change))

    await ledger.write(work)
    with pytest.raises(Tampered) as caught:
        await judged(ledger)
    assert caught.value.place.startswith(place), caught.value


async def test_an_inserted_row_has_no_place_in_any_chain(ledger: Database) -> None:
    def work(connection: Connection) -> None:
        row = connection.execute(text("SELECT * FROM audit_events WHERE leaf = 100")).mappings().one()
        connection.execute(text("UPDATE audit_events SET leaf = leaf + 1000 WHERE leaf >= 100"))
        forged = dict(row) | {"leaf": 100, "writer": "00000000-0000-0000-0000-000000000000", "number": 0}
        del forged["seq"]
        forged["body"] = json.dumps(json.loads(row["body"]) | {"writer": forged["writer"], "number": 0, "previous": ""})
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
