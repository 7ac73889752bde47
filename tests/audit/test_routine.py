"""Lists leave the cluster's own bookkeeping out, say so, and never leave out what somebody did."""

import json
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

from rppam.db.database import Database
from rppam.kernel.actor import Actor, ActorKind, acting
from rppam.ledger.events import ACTIONS
from rppam.ledger.leading import EVERY_US
from rppam.ledger.model import Entity, Event
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
from tests.audit.actions import WALKED
from tests.audit.test_api import EVENTS, asked, integrate, signed_in
from tests.audit.test_command import config  # noqa: F401 - a fixture
from tests.audit.test_context import Leader
from tests.audit.test_every_command import COMMANDS
from tests.support import prefork
from tests.support.served import Served

pytestmark = [pytest.mark.integration, pytest.mark.server]

PEOPLE = [Actor(kind, f"id-{kind}", f"name-{kind}") for kind in ActorKind if kind is not ActorKind.NODE]
ROUTINE = frozenset(ACTIONS.routine())
rppam = partial(prefork.run, "audit")


def ids(events: list[Event]) -> list[str]:
    return [event.body["id"] for event in events]


async def everything(leader: Leader) -> list[str]:
    """Every action by every kind of person and by a node, with bookkeeping between; ids of the acts."""
    made: list[str] = []
    for number, name in enumerate(sorted(set(ACTIONS) - ROUTINE)):

        def work(connection: Connection, name: str = name) -> list[str]:
            actors = [*PEOPLE, Actor(ActorKind.NODE)]
            return [record(connection, name, Entity("thing", f"id-{number}"), actor=one) for one in actors]  # noqa: B023

        made += await leader.database.write(work)
        leader.time_us += EVERY_US
        await leader.integrate()
    return made


async def test_every_act_is_on_one_page_and_no_bookkeeping_on_any(database: Database) -> None:
    leader, ledger = Leader(database), SqlLedger(database)
    acts = await everything(leader)
    whole = await ledger.events(Query(limit=100_000))
    assert {event.body["action"] for event in whole} >= set(ACTIONS), "the bookkeeping is there"
    shown, before = list[str](), None
    while True:
        page, before = await ledger.newest_first(Query(newest=True, limit=7, routine=False), before)
        assert len(page) == 7 or before is None, "a page is full, whatever is left out between"
        shown += ids(page)
        if before is None:
            break
    assert shown == acts[::-1]
    oldest, after = list[str](), None
    while page := await ledger.events(Query(limit=7, after=after, routine=False)):
        oldest += ids(page)
        after = page[-1].index
    assert oldest == acts
    for one in PEOPLE:
        found = await ledger.events(Query(actor=one.name, limit=100_000, routine=False))
        assert len(found) == len(ACTIONS) - len(ROUTINE), one
    assert len(whole) > len(acts)


async def test_bookkeeping_is_shown_to_whoever_names_it(database: Database) -> None:
    leader, ledger = Leader(database), SqlLedger(database)
    await leader.act()
    await leader.integrate()
    for word in ("checkpoint.context", "checkpoint."):
        query = Query(word, routine=False)
        assert (len(await ledger.events(query)), query.left_out()) == (1, ())
    assert Query(routine=False).left_out() == ("checkpoint.context",)


async def test_nobody_but_a_node_records_what_lists_leave_out(database: Database) -> None:
    def work(connection: Connection) -> None:
        record(connection, "checkpoint.context", Entity("ledger", "x"))

    for one in PEOPLE:
        with acting(one), pytest.raises(ValueError, match="nothing that a"):
            await database.write(work)
    assert await SqlLedger(database).events(Query()) == []


def test_no_command_and_no_route_records_bookkeeping() -> None:
    assert {"checkpoint.context"} == ROUTINE, "what else is left out is nothing that anybody, or the product, did?"
    assert not ROUTINE & (set(COMMANDS.values()) | WALKED)


async def test_the_command_says_what_it_leaves_out(config: Path) -> None:  # noqa: F811
    short, whole = (json.loads(rppam("list", "--config", config, "--json", *more).stdout) for more in ((), ("--all",)))
    assert (short["leftOut"], whole["leftOut"]) == (["checkpoint.context"], [])
    assert [one for one in whole["items"] if one["action"] not in ROUTINE] == short["items"]
    assert len(short["items"]) == len(whole["items"]) - 1 == 22
    people = rppam("list", "--config", config)
    assert "checkpoint.context" not in people.stdout
    assert people.stderr == "left out: what the cluster notes for itself (checkpoint.context); --all shows it\n"
    assert "checkpoint.context" in rppam("list", "--config", config, "--all").stdout
    assert json.loads(rppam("verify", "--config", config, "--json").stdout)["events"] == 23, "verify covers all"


async def test_rest_says_what_it_leaves_out(served: Served) -> None:
    await signed_in(served)
    await integrate(served)
    whole = await asked(served, f"{EVENTS}?all=true&limit=1000")
    short = await asked(served, f"{EVENTS}?limit=1000")
    assert (short["leftOut"], whole["leftOut"]) == (["checkpoint.context"], [])
    shown = {one["id"] for one in short["events"]}
    assert {one["action"] for one in whole["events"] if one["id"] not in shown} == {"checkpoint.context"}
    named = await asked(served, f"{EVENTS}?action=checkpoint.context")
    assert (len(named["events"]), named["leftOut"]) == (1, [])
