"""What ``checkpoint.context`` says of epochs and writers holds, or verification says why not, whoever has signed it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert

from rppam.audit.bundle import Head, write_bundle
from rppam.audit.judge import verify_bundle, verify_database
from rppam.audit.verify import Tampered, Verification, verified
from rppam.db.database import Database
from rppam.db.engine import NowMs
from rppam.ledger.checkpoint import Checkpoint, signed
from rppam.ledger.leading import ACTION, EVERY_US
from rppam.ledger.merkle import Frontier
from rppam.ledger.model import Entity, Event, canonical
from rppam.ledger.record import record
from rppam.ledger.store import Query
from rppam.ledger.tables import audit_checkpoints, audit_events
from tests.audit.test_context import Leader
from tests.ledger.keys import ORIGIN, SIGNER

pytestmark = [pytest.mark.integration, pytest.mark.server]

Texts = list[dict[str, Any]]


async def told(database: Database) -> Texts:
    """Three acts, what was told of them, two more, and what was told of these; each batch by one writer."""
    leader = Leader(database)
    for count in (3, 2):
        await leader.act(count)
        await leader.integrate()
        leader.time_us += EVERY_US
    return [event.body for event in await leader.ledger.events(Query(limit=100))]


def forged(bodies: Sequence[dict[str, Any]]) -> list[Event]:
    """As whoever holds the database and the key would write it: each chain goes on, and so does the tree."""
    last: dict[str, tuple[int, str]] = {}
    events = []
    for index, body in enumerate(bodies):
        number, previous = last.get(body["writer"], (-1, ""))
        event = Event(canonical(body | {"number": number + 1, "previous": previous}), index, {})
        last[body["writer"]] = number + 1, event.hash.hex()
        events.append(event)
    return events


def note(events: Sequence[Event]) -> tuple[Frontier, str]:
    tree = Frontier()
    for event in events:
        list(tree.append(event.hash))
    return tree, signed(Checkpoint(ORIGIN, tree.size, tree.root()), SIGNER)


def judged(events: Sequence[Event]) -> int:
    tree, signature = note(events)
    return verified(Verification(SIGNER.verifier(), {tree.size: signature}), events)


def cut(bodies: Texts) -> Texts:
    """Without the last event before the first ``checkpoint.context``."""
    return bodies[:2] + bodies[3:]


def lost(bodies: Texts) -> Texts:
    """Without all events before it."""
    return bodies[3:]


def lengthened(bodies: Texts) -> Texts:
    """With one more event before it."""
    return [*bodies[:3], bodies[2] | {"id": "another"}, *bodies[3:]]


def replaced(bodies: Texts) -> Texts:
    """With another last event before it."""
    return [*bodies[:2], bodies[2] | {"reason": "another"}, *bodies[3:]]


def older(bodies: Texts) -> Texts:
    """With an older epoch after it."""
    return [*bodies[:-1], bodies[-1] | {"epoch": 6}]


def another(bodies: Texts) -> Texts:
    """With another leader of the same epoch after it."""
    return [*bodies[:-1], bodies[-1] | {"details": bodies[-1]["details"] | {"leader": "node2"}}]


def mute(bodies: Texts) -> Texts:
    """With nothing said."""
    return [*bodies[:-1], bodies[-1] | {"details": {}}]


SAID = r"it says that the writer \S+ had come to its event 2, and before it"
FORGERIES = [
    (
        cut,
        rf"event 2: {SAID} there are those up to 1: the rest was cut off",
    ),
    (
        lost,
        rf"event 0: {SAID} there is none: the rest was cut off",
    ),
    (
        lengthened,
        rf"event 4: {SAID} there is another last one, 3",
    ),
    (
        replaced,
        rf"event 3: {SAID} there is another last one, 2",
    ),
    (older, r"event 6: the epoch falls from 7 to 6: a leader of the past has written it"),
    (another, r"event 6: node1 and node2 were both elected in epoch 7"),
    (mute, r"event 6: it does not say who leads and how far the writers had come"),
]


@pytest.mark.parametrize(("forge", "sentence"), FORGERIES, ids=lambda one: getattr(one, "__name__", ""))
async def test_what_contradicts_it_is_refused_in_the_database_and_in_a_bundle(
    database: Database, url: str, tmp_path: Path, forge: Callable[[Texts], Texts], sentence: str
) -> None:
    bodies = await told(database)
    assert [one["action"] == ACTION for one in bodies] == [False] * 3 + [True] + [False] * 2 + [True]
    assert judged(forged(bodies)) == len(bodies), "whoever forges nothing writes what was there"
    events = forged(forge(bodies))
    await write(database, events)
    config = tmp_path / "rppam.config"
    config.write_text(json.dumps({"node": {"dataDir": str(tmp_path)}, "database": {"url": url, "timeoutMs": 10_000}}))
    config.chmod(0o600)
    with pytest.raises(Tampered, match=sentence):
        await in_a_thread(lambda: verify_database(config, SIGNER.verifier().text()))
    bundle = tmp_path / "ledger.jsonl"
    with bundle.open("w", encoding="utf-8") as file:
        head = Head(ORIGIN, SIGNER.verifier().text(), {len(events): note(events)[1]}, ())
        write_bundle(file, head, events, len(events))
    with pytest.raises(Tampered, match=sentence):
        verify_bundle(bundle, None)


async def in_a_thread(work: Callable[[], Any]) -> Any:
    import asyncio

    return await asyncio.to_thread(work)


async def write(database: Database, events: Sequence[Event]) -> None:
    """Put these events, and their signed tree, in the place of what is in the database."""
    tree, signature = note(events)

    def work(connection: Any) -> None:
        connection.execute(delete(audit_events))
        connection.execute(delete(audit_checkpoints))
        for number, event in enumerate(events):
            body = event.body
            row = {"id": body["id"], "leaf": event.index, "hash": event.hash.hex(), "writer": body["writer"]}
            row |= {"number": body["number"], "time": body["time"], "action": body["action"], "actor": ""}
            row |= {"object_kind": "", "object_id": f"{number}", "object_name": "", "outcome": "", "body": event.text}
            connection.execute(insert(audit_events).values(**row))
        made = {"size": tree.size, "frontier": tree.pack(), "epoch": 7, "node": "node1", "note": signature}
        connection.execute(insert(audit_checkpoints).values(**made, made_at=NowMs()))

    await database.write(work)


async def test_a_part_knows_the_writers_from_what_it_is_told_first(database: Database) -> None:
    bodies = await told(database)
    events = forged(bodies)
    tree, start = note(events)[1], Frontier()
    for event in events[:3]:
        list(start.append(event.hash))
    notes = {3: note(events[:3])[1], len(events): tree}
    part = Verification(SIGNER.verifier(), notes, tree=start, is_part=True)
    part.begin()
    assert verified(part, events[3:]) == len(events)


async def test_an_election_of_the_past_is_named_and_one_that_waits_behind_a_batch_is_not(database: Database) -> None:
    def elected(epoch: int) -> Any:
        return lambda connection: record(connection, "leader.elect", Entity("node", "node1"), epoch=epoch)

    leader = Leader(database)
    for epoch in (5, 6):
        await database.write(elected(epoch))
    await leader.integrate()
    await database.write(elected(6))
    await leader.integrate()
    bodies = [event.body for event in await leader.ledger.events(Query())]
    assert [(one["action"], one["epoch"]) for one in bodies][2:] == [(ACTION, 7), ("leader.elect", 6)]
    assert judged(forged(bodies)) == 4
    with pytest.raises(Tampered, match="event 3: the epoch falls from 6 to 5"):
        judged(forged([*bodies[:3], bodies[3] | {"epoch": 5}]))
