"""Recording on both databases: an event is there with its act, and neither without the other."""

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, insert, select, text, update

from rppam.audit.retention_store import SqlRetention
from rppam.cluster.health.ports import Authority
from rppam.db.database import Database
from rppam.db.tables import cluster_settings
from rppam.http.errors import FencedError
from rppam.kernel.actor import Actor, ActorKind, acting
from rppam.ledger.checkpoint import read_checkpoint
from rppam.ledger.errors import EventUnknown, LedgerBroken
from rppam.ledger.merkle import root_from_inclusion
from rppam.ledger.model import Entity, Outcome, Word, commitment
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
from rppam.ledger.tables import audit_checkpoints, audit_events, audit_words
from tests.ledger.keys import LEADER, ORIGIN, SIGNER

pytestmark = [pytest.mark.integration, pytest.mark.server]

SUE = Actor(ActorKind.USER, "id-sue", "sue", "0190-sue", "10.0.0.7", "req-1")


async def act(database: Database, name: str, *, fails: bool = False) -> None:
    """An act with a row of its own."""

    def work(connection: Connection) -> None:
        connection.execute(insert(cluster_settings).values(name=name, value="x"))
        record(connection, "user.create", Entity("user", f"id-{name}", name), details={"roles": ["pam_user"]})
        if fails:
            raise LookupError(name)

    with acting(SUE):
        await database.write(work)


async def rows(database: Database) -> list[Any]:
    wanted = select(audit_events).order_by(audit_events.c.seq)
    return list(await database.read(lambda connection: connection.execute(wanted).all()))


async def integrated(database: Database) -> int:
    return await SqlLedger(database).integrate(LEADER, "node1", ORIGIN, SIGNER)


async def test_the_newest_come_page_by_page_also_where_events_get_their_place_meanwhile(database: Database) -> None:
    names = [f"name{number}" for number in range(5)]
    for name in names:
        await act(database, name)
    ledger, found, before = SqlLedger(database), list[str](), None
    for _ in range(3):
        page, before = await ledger.newest_first(Query(newest=True, limit=2), before)
        found += [event.document()["object"]["name"] for event in page]
        await integrated(database)
        await act(database, f"after {len(found)}")
    assert (found, before) == (names[::-1], None)
    page, before = await ledger.newest_first(Query(newest=True, limit=8))
    assert (len(page), before) == (8, None), "a page that is just full is the last one"


async def test_an_event_says_who_did_what_to_whom_and_its_words_can_be_forgotten(database: Database) -> None:
    await act(database, "anna")
    await integrated(database)
    (event,) = await SqlLedger(database).events(Query())
    document = event.document()
    assert document["actor"] == {
        "kind": "user",
        "id": "id-sue",
        "name": "sue",
        "session": "0190-sue",
        "address": "10.0.0.7",
    }
    assert document["object"] == {"kind": "user", "id": "id-anna", "name": "anna"}
    assert (document["action"], document["outcome"], document["index"]) == ("user.create", "success", 0)
    assert document["details"] == {"roles": ["pam_user"]}
    for word in ("sue", "10.0.0.7", "anna"):
        assert f'"{word}"' not in event.text, "words stand beside the event"
    stored = await database.read(lambda connection: connection.execute(select(audit_words)).all())
    assert {row.word for row in stored} == {"sue", "10.0.0.7", "anna"}
    assert all(commitment(bytes(row.salt), row.word) == row.ref for row in stored)
    await database.write(lambda connection: connection.execute(delete(audit_words)).close())
    (forgotten,) = await SqlLedger(database).events(Query())
    assert (forgotten.text, forgotten.hash) == (event.text, event.hash)
    assert forgotten.document()["actor"]["name"] == ""


async def test_what_is_undone_leaves_no_event_and_the_next_one_follows_nothing_that_never_was(
    database: Database,
) -> None:
    await act(database, "anna")
    with pytest.raises(LookupError):
        await act(database, "bert", fails=True)
    await act(database, "carl")
    found = await rows(database)
    assert [json.loads(row.body)["object"]["id"] for row in found] == ["id-anna", "id-carl"]
    assert await integrated(database) == 2
    counted = select(func.count()).select_from(cluster_settings).where(cluster_settings.c.value == "x")
    assert await database.read(lambda connection: connection.execute(counted).scalar_one()) == 2


async def test_writers_at_once_wait_for_nobody_and_all_are_integrated_in_order(database: Database) -> None:
    await asyncio.gather(*(act(database, f"name-{number}") for number in range(40)))
    total = 0
    while count := await integrated(database):
        total += count
    assert total == 40
    events = await SqlLedger(database).events(Query())
    assert [event.index for event in events] == list(range(40))
    last: dict[str, int] = {}
    for event in events:
        body = event.body
        assert body["number"] == last.get(body["writer"], -1) + 1
        last[body["writer"]] = body["number"]


async def test_a_checkpoint_is_signed_and_each_event_is_proved_by_it(database: Database) -> None:
    for number in range(5):
        await act(database, f"name-{number}")
    await integrated(database)
    ledger = SqlLedger(database)
    newest = await ledger.newest()
    assert newest is not None
    point = read_checkpoint(newest.note, SIGNER.verifier())
    assert (point.size, newest.epoch, newest.node) == (5, LEADER.epoch, "node1")
    for index in range(5):
        proof = await ledger.proof(index)
        assert root_from_inclusion(proof.leaf, index, 5, proof.path) == point.root
    with pytest.raises(EventUnknown):
        await ledger.proof(5)
    assert await integrated(database) == 0, "nothing new, nothing signed"
    assert len(await ledger.checkpoints(None, 10)) == 1


async def test_a_leader_of_the_past_signs_nothing(database: Database) -> None:
    await act(database, "anna")
    await integrated(database)
    await act(database, "bert")
    with pytest.raises(FencedError, match=r"^node2 led at epoch 6, but a newer leader has written since$"):
        await SqlLedger(database).integrate(Authority(6, "boot-old"), "node2", ORIGIN, SIGNER)
    assert [event.index for event in await SqlLedger(database).events(Query())] == [0, None]


BERT = "object_id = 'id-bert'"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "UPDATE audit_events SET body = REPLACE(body, 'id-bert', 'id-eva') WHERE object_id = 'id-bert'",
            "its text is not the one that was hashed$",
        ),
        (
            "UPDATE audit_events SET number = 99 WHERE object_id = 'id-bert'",
            "the columns beside its text do not agree with it$",
        ),
        ("DELETE FROM audit_events WHERE object_id = 'id-anna'", "expected event 0 of its writer, found 1$"),
    ],
)
async def test_what_was_changed_before_it_was_integrated_stops_the_integration(
    database: Database, change: str, sentence: str
) -> None:
    def work(connection: Connection) -> None:
        for name in ("anna", "bert"):
            record(connection, "user.create", Entity("user", f"id-{name}", name))

    await database.write(work)
    await database.write(lambda connection: connection.execute(text(change)).close())
    with pytest.raises(LedgerBroken, match=sentence):
        await integrated(database)
    assert await SqlLedger(database).newest() is None


async def test_events_are_found_by_action_actor_object_and_time_page_by_page(database: Database) -> None:
    ledger = SqlLedger(database)
    for number in range(5):
        await act(database, f"name-{number}")

    def refused(connection: Connection) -> None:
        record(connection, "login.fail", Entity("user", "id-name-1", "name-1"), outcome=Outcome.FAILURE, reason="wrong")

    await database.write(refused)
    await integrated(database)
    await act(database, "late")

    async def ids(**wanted: Any) -> list[str]:
        return [event.body["object"]["id"] for event in await ledger.events(Query(**wanted))]

    assert len(await ids()) == 7
    assert await ids(action="login.fail") == ["id-name-1"]
    assert len(await ids(action="user.")) == 6
    assert len(await ids(actor="sue")) == 6
    assert await ids(actor="nobody") == []
    assert len(await ids(object="name-1")) == len(await ids(object="id-name-1")) == 2
    assert len(await ids(object="user")) == 7
    assert (await ids(newest=True, limit=1)) == ["id-late"]
    assert await ids(after=4) == ["id-name-1", "id-late"]
    assert await ids(after=3, limit=1) == ["id-name-4"]
    times = [event.body["time"] for event in await ledger.events(Query())]
    assert await ids(since=times[0], until=times[-1] + 1) == await ids()
    assert await ids(until=times[0]) == []


async def test_an_action_that_the_catalogue_lacks_is_a_mistake_and_nothing_is_done(database: Database) -> None:
    def work(connection: Connection) -> None:
        record(connection, "user.praise")

    with pytest.raises(LookupError):
        await database.write(work)
    assert await rows(database) == []


async def test_a_frontier_that_was_changed_is_named(database: Database) -> None:
    await act(database, "anna")
    await integrated(database)
    await act(database, "bert")
    change = update(audit_checkpoints).values(frontier=b"short")
    await database.write(lambda connection: connection.execute(change).close())
    with pytest.raises(LedgerBroken, match="checkpoint 1"):
        await integrated(database)


async def test_words_among_the_details_are_committed_to_told_and_forgotten(database: Database) -> None:
    def work(connection: Connection) -> None:
        facts = {"holder": Word("bert"), "names": [Word("anna's key"), Word("bert")], "why": "bert's own", "count": 2}
        record(connection, "checkout.end", Entity("secret", "id-1"), details=facts | {"none": Word("")})

    await database.write(work)
    await act(database, "anna")
    ledger = SqlLedger(database)
    event, plain = await ledger.events(Query())
    assert event.body["committed"] == ["holder", "names", "none"]
    assert "committed" not in plain.body, "as it was before there were any"
    assert '"bert"' not in event.text
    assert "anna" not in event.text
    told = {"holder": "bert", "names": ["anna's key", "bert"], "why": "bert's own", "count": 2, "none": ""}
    assert event.document()["details"] == told
    assert event.body["details"]["holder"] == event.body["details"]["names"][1]
    await SqlRetention(database).erase("bert", "asked for it")
    forgotten = (await ledger.events(Query()))[0]
    assert forgotten.text == event.text
    assert forgotten.document()["details"] == told | {"holder": "", "names": ["anna's key", ""]}
