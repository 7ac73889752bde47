"""Who was taken in stands in the ledger, once each time, whichever leader comes to write it."""

from typing import Any

import pytest

from rppam.db.database import Database
from rppam.http.errors import FencedError
from rppam.ledger.store import Query, SqlLedger
from rppam.manager.joined import Joined
from tests.support.lab import eventually
from tests.support.lab_fixtures import MakeLab

pytestmark = [pytest.mark.integration, pytest.mark.server]


async def told(database: Database) -> list[tuple[str, str, int]]:
    found = [event.document() for event in await SqlLedger(database).events(Query("member.join"))]
    return [(one["object"]["name"], one["reason"], one["epoch"]) for one in found]


async def test_each_member_is_recorded_once_and_again_when_it_comes_back(database: Database) -> None:
    members = frozenset({"node1"})
    leader = Joined(database, lambda: members, "node1", "boot-a")
    await leader.work(7)
    await leader.work(7)
    assert await told(database) == [("node1", "", 7)]
    members = frozenset()  # a change is under way
    await leader.work(7)
    members = frozenset({"node1", "node2", "a" * 63})
    await leader.work(7)
    await Joined(database, lambda: members, "node2", "boot-b").work(8)
    assert await told(database) == [("node1", "", 7), ("a" * 63, "", 7), ("node2", "", 7)]
    with pytest.raises(FencedError):
        await Joined(database, lambda: members | {"node3"}, "node1", "boot-a").work(7)
    after = Joined(database, lambda: members, "node2", "boot-b")
    members = frozenset({"node1", "a" * 63})
    await after.work(8)
    members = frozenset({"node1", "node2", "a" * 63})
    await after.work(8)
    assert (await told(database))[3:] == [("node2", "", 8)]


async def test_a_cluster_that_is_older_says_so_of_those_it_has(database: Database) -> None:
    await Joined(database, lambda: frozenset({"node1", "node2"}), "node1", "boot-a").work(7)
    why = "it was a member before that began to be recorded"
    assert await told(database) == [("node1", why, 7), ("node2", why, 7)]


@pytest.mark.slow
def test_nodes_record_it(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    lab.wait_until_healthy()

    def joined() -> set[Any]:
        asked = lab.nodes[0].ask("/api/v1/audit/events?action=member.join", token=lab.token, timeout_s=10)
        return {one["object"]["name"] for one in asked.body.get("events", [])}

    eventually(lambda: joined() == {node.name for node in lab.nodes}, within_s=15, what="events", say=lab.logs)
