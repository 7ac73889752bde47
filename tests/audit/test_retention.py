"""Forgetting who it was: by age and class, by order, not under a legal hold; and every proof goes on to hold."""

from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from rppam.audit.policy import RETENTION, AuditRetention
from rppam.audit.retention_store import SqlRetention
from rppam.audit.verify import Verification, verified
from rppam.db.database import Database
from rppam.kernel.actor import Actor, ActorKind
from rppam.ledger.errors import HeldBack, HoldUnknown
from rppam.ledger.events import Retention
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
from rppam.ledger.tables import DAY_MS, audit_words
from tests.support.served import Served
from tests.vault.people import host, person
from tests.vault.test_command import run, said

pytestmark = pytest.mark.server
ALICE = Actor(ActorKind.USER, "id-1", "alice", address="10.9.8.7")


async def acted(database: Database, *actions: str, actor: Actor = ALICE) -> None:
    def work(connection: Connection) -> None:
        for action in actions:
            record(connection, action, Entity("", "", ""), actor=actor)

    await database.write(work)


async def grow_old(database: Database, days: int) -> None:
    """As if all words had been written so long ago."""
    older = update(audit_words).values(made_at=audit_words.c.made_at - days * DAY_MS)
    await database.write(lambda connection: connection.execute(older).close())


async def names(database: Database) -> dict[str, set[str]]:
    """Who is known to have acted, by action."""
    found: dict[str, set[str]] = {}
    for event in await SqlLedger(database).events(Query(limit=1000)):
        document = event.document()
        found.setdefault(document["action"], set()).add(document["actor"]["name"])
    return found


async def test_names_age_by_the_class_of_their_events(database: Database) -> None:
    store = SqlRetention(database)
    await acted(database, "session.open", "user.create", "cluster.pause")
    await grow_old(database, 30)
    assert await store.age({Retention.ACCESS: 30, Retention.CLUSTER: 365}) == 0, "thirty days and a day are not over"
    await grow_old(database, 2)
    await acted(database, "session.open", actor=ALICE._replace(name="bob", address=""))
    assert await store.age({Retention.ACCESS: 30, Retention.CLUSTER: 365}) == 2, "a name and an address"
    known = await names(database)
    assert (known["session.open"], known["user.create"], known["cluster.pause"]) == (
        {"", "bob"},
        {"alice"},
        {"alice"},
    ), "what is young stays, in the same class"
    assert await store.age({Retention.ACCESS: 30}) == 0
    assert {one.document()["action"] for one in await SqlLedger(database).events(Query(action="ledger."))} == {
        "ledger.age"
    }


async def test_a_hold_keeps_one_name_or_all_from_being_forgotten(database: Database) -> None:
    store = SqlRetention(database)
    await acted(database, "session.open")
    await acted(database, "session.open", actor=ALICE._replace(name="bob", address=""))
    await grow_old(database, 400)
    held = await store.hold("alice", "case 42", "carol")
    with pytest.raises(HeldBack):
        await store.erase("alice", "GDPR request 7")
    assert await store.age({Retention.ACCESS: 30}) == 2, "bob, and an address"
    assert (await names(database))["session.open"] == {"alice", ""}
    everything = await store.hold("", "case 43", "carol")
    await store.release(held, "case 42 is closed")
    assert await store.age({Retention.ACCESS: 30}) == 0
    await store.release(everything, "closed, too")
    assert await store.age({Retention.ACCESS: 30}) == 1
    assert await store.holds() == []
    with pytest.raises(HoldUnknown):
        await store.release(held, "again")


async def test_what_is_erased_is_found_nowhere_and_every_proof_holds(database: Database) -> None:
    await acted(database, "session.open", "user.create")
    before = [event.hash for event in await SqlLedger(database).events(Query())]
    assert await SqlRetention(database).erase("alice", "GDPR request 7") == 2
    words = await database.read(lambda connection: connection.execute(select(audit_words.c.word)).scalars().all())
    assert "alice" not in words
    events = await SqlLedger(database).events(Query())
    assert [event.hash for event in events[:2]] == before
    assert "alice" not in "".join(event.text + str(event.document()) for event in events)
    [verification] = [Verification(verifier=None, notes={})]  # type: ignore[arg-type]  # nothing is signed here
    assert verified(verification, events) == 0, "each follows its writer's last one"


@pytest.mark.integration
async def test_holds_and_erasure_over_rest(served: Served) -> None:
    admin, _ = host(served), await person(served, "ursula")
    assert (await admin.post("/api/v1/audit/erasures", name="ursula", reason="x")).json()["code"] == "RPPAM-8008"
    made = await admin.made("/api/v1/audit/holds", name="gone", reason="case 42")
    assert made["name"] == "gone"
    refused = await admin.post("/api/v1/audit/erasures", name="gone", reason="x")
    assert (refused.status_code, refused.json()["code"]) == (409, "RPPAM-8007")
    assert [one["id"] for one in (await admin.get("/api/v1/audit/holds")).json()["items"]] == [made["id"]]
    lifted: Any = await admin.post(f"/api/v1/audit/holds/{made['id']}/release", reason="closed")
    assert lifted.status_code == 204
    done = await admin.post("/api/v1/audit/erasures", name="gone", reason="GDPR request 7")
    assert done.json() == {"words": 1}, "that of the hold itself"


@pytest.mark.integration
async def test_the_commands_hold_release_and_erase(served: Served) -> None:
    made = (await run(served, "audit", "hold", "--name", "mallory", "--reason", "case 42")).stdout.strip()
    assert "mallory" in (await run(served, "audit", "holds")).stdout
    refused = await run(served, "audit", "erase", "mallory", "--reason", "asked", code=1)
    assert "RPPAM-8007" in refused.stderr
    await run(served, "audit", "release", made, "--reason", "closed")
    assert (await said(served, "audit", "erase", "mallory", "--reason", "asked")) == {"words": 1}


def test_the_setting_says_days_by_class() -> None:
    value = RETENTION.read({"accessDays": 90})
    assert value == AuditRetention(90, 0, 0)
    assert value.days() == {Retention.ACCESS: 90}
