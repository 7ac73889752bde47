"""Members that vote, as people run them: robbed of Redis, of each other, and given company."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from rppam.cluster.consensus.membership import Membership
from rppam.cluster.store.vote_file import FILE_NAME, FilePromises
from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND, MakeLab
from tests.support.redis_servers import Server
from tests.support.watching import Eyes

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

LEASE_S = CALM["leaseMs"] / 1000


@pytest.fixture
def own_redis() -> Iterator[Server]:
    """A server that a test may kill."""
    with Server(KIND) as running:
        yield running


def membership(node: LabNode) -> Membership:
    kept = FilePromises(Path(node.config["node"]["dataDir"]) / FILE_NAME).load()
    assert kept is not None
    assert kept.membership is not None
    return kept.membership


def members(node: LabNode) -> tuple[str, ...]:
    found = membership(node)
    return found.body.members if found.old is None else ()


def know(lab: Lab, everybody: tuple[str, ...]) -> None:
    """Wait until every node's file names just these members."""
    what = f"all have {everybody} on disk"
    eventually(lambda: all(members(node) == everybody for node in lab.nodes), within_s=20, what=what, say=lab.logs)


def is_back(node: LabNode) -> bool:
    """Whether it has found both other members in its second life, too."""
    return node.log().count("connected to member") >= 4


def watched(lab: Lab) -> Eyes:
    return Eyes({node.name: node.port for node in lab.nodes}, every_ms=20)


@pytest.mark.parametrize("policy", ["last-man-standing", "majority"])
def test_an_outage_of_redis_changes_no_leader_and_neither_does_its_return_without_any_data(
    make_lab: MakeLab, own_redis: Server, policy: str
) -> None:
    lab = make_lab(redis_port=own_redis.port, times=CALM, policy=policy)
    lab.start()
    leader = lab.wait_for_leader()
    epoch = leader.ask("/system/health/leader").body["epoch"]
    with watched(lab) as eyes:
        own_redis.kill()
        time.sleep(3 * LEASE_S)
        assert leader.leads()
        own_redis.restart()
        time.sleep(2 * LEASE_S)
        lab.wait_until_healthy()
    assert eyes.leaderships() == {epoch: leader.name}
    eyes.check()
    assert f"held {leader.name} ".encode() in own_redis.ask("GET", f"{lab.prefix}leader"), "the record is written again"


def test_without_redis_and_with_a_member_down_nobody_leads_under_last_man_standing_and_health_says_what_is_missing(
    make_lab: MakeLab, own_redis: Server
) -> None:
    lab = make_lab(redis_port=own_redis.port, times=CALM)
    lab.start()
    leader = lab.wait_for_leader()
    other = next(node for node in lab.nodes if node is not leader)
    with watched(lab) as eyes:
        own_redis.kill()
        other.kill()
        eventually(lambda: not leader.leads(), within_s=3 * LEASE_S, what="the leader stops")
        eventually(lambda: "no promise of (store)" in leader.log(), within_s=2, what="it says why", say=leader.log)
        own_redis.restart()
        lab.wait_for_leader()
    eyes.check()


def test_one_after_another_joins_and_the_electorate_grows_with_them(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=1, times=CALM)
    (first,) = lab.nodes
    first.start()
    lab.wait_for_leader()
    for number in (2, 3):
        node = lab.make_node(f"node{number}")
        lab.nodes.append(node)
        node.start()
        everybody = tuple(sorted(entry.name for entry in lab.nodes))
        know(lab, everybody)
    lab.wait_until_healthy()
    assert lab.wait_for_leader() is first
    first.kill()
    lab.wait_for_leader(other_than=first)


def test_a_member_that_restarts_while_redis_is_away_votes_again_at_once(make_lab: MakeLab, own_redis: Server) -> None:
    lab = make_lab(redis_port=own_redis.port, times=CALM | {"leaseMs": 9_000})
    lab.start()
    leader = lab.wait_for_leader()
    epoch = leader.ask("/system/health/leader").body["epoch"]

    def is_connected_again(node: LabNode) -> bool:
        return node.log().count("connected to member") >= 4

    with watched(lab) as eyes:
        own_redis.kill()
        time.sleep(1)
        for node in lab.nodes:
            if node is not leader:
                node.term()
                node.wait()
                node.start()
                eventually(partial(is_connected_again, node), within_s=10, what="it is back")
                time.sleep(3)
        assert leader.leads()
    assert eyes.leaderships() == {epoch: leader.name}


def test_a_whole_cluster_that_starts_while_redis_is_away_finds_itself_and_leads(
    make_lab: MakeLab, own_redis: Server
) -> None:
    lab = make_lab(redis_port=own_redis.port, times=CALM)
    lab.start()
    for node in lab.nodes:
        book = Path(node.config["node"]["dataDir"]) / "members.json"
        eventually(book.exists, within_s=10, what="it has noted where the others are")
        node.kill()
    own_redis.kill()
    for node in lab.nodes:
        node.start()
    lab.wait_for_leader(within_s=30)


def test_a_file_of_another_cluster_gives_nobody_a_vote(make_lab: MakeLab) -> None:
    """Two founders that share Redis and key know that they are two clusters; neither counts the other's votes."""
    lab = make_lab(nodes=2, times=CALM)
    strange = make_lab(nodes=2, times=CALM, prefix=lab.prefix, cluster=lab.cluster)
    odd = strange.nodes[1]
    odd.config["cluster"]["memberPort"] = lab.nodes[1].config["cluster"]["memberPort"]
    lab.nodes[0].start()
    odd.start()
    eventually(lambda: "another cluster" in lab.nodes[0].log() + odd.log(), within_s=15, what="told", say=lab.logs)
    assert membership(lab.nodes[0]).lineage != membership(odd).lineage
