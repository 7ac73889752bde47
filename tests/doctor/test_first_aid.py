"""What docs/operations/install.md and the doctor advise, done to real nodes: it heals, and nobody leads twice."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.store.vote_file import FILE_NAME
from rppam.kernel.errors import Exit
from tests.setup.made import rppam
from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND
from tests.support.placed_witness import electorate_in
from tests.support.redis_servers import Server, need
from tests.support.watching import Eyes

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    need(KIND)
    with Server(KIND) as server, Lab(tmp_path / "lab", server.port, nodes=2, times=CALM) as lab:
        lab.start()
        yield lab


def promise(node: LabNode) -> Path:
    return node.folder / FILE_NAME


def knows_both(node: LabNode) -> bool:
    """Whether its list has both members, and no change is pending."""
    kept = electorate_in(node.folder)
    return kept is not None and kept.old is None and kept.members == ("node1", "node2")


def test_a_damaged_promise_file_is_removed_and_the_node_learns_from_the_others(lab: Lab) -> None:
    leader = lab.wait_for_leader()
    node = next(node for node in lab.nodes if node is not leader)
    with Eyes({one.name: one.port for one in lab.nodes}, every_ms=20) as eyes:
        node.kill()
        promise(node).write_bytes(promise(node).read_bytes()[:40])
        node.start()
        assert node.wait() == Exit.ERRORS
        assert "expected what this member promised" in node.log()
        said = json.loads(rppam("doctor", "--config", str(node.file), "--json", expect=None).stdout)
        assert "RD-901" in {one["code"] for one in said["findings"]}

        promise(node).unlink()
        node.start()
        eventually(lambda: knows_both(node), within_s=20, what="it is a member again", say=lab.logs)
        lab.wait_until_healthy()
    assert set(eyes.leaderships().values()) == {leader.name}
    eyes.check()


def test_the_policy_is_changed_by_founding_anew_while_all_stand_still(lab: Lab) -> None:
    before = electorate_in(lab.nodes[0].folder)
    assert before is not None
    for node in lab.nodes:
        node.term()
        node.wait()
    for node in lab.nodes:
        node.config["cluster"]["quorumPolicy"] = "majority"
        node.write_config()
        promise(node).unlink()
    first, second = lab.nodes
    rppam("cluster", "found", "--config", str(first.file), "--yes")
    first.start()
    eventually(first.leads, within_s=20, what="the founder leads", say=lab.logs)
    second.start()
    eventually(lambda: knows_both(second), within_s=20, what="the other is taken in", say=lab.logs)
    lab.wait_until_healthy()
    for node in lab.nodes:
        kept = electorate_in(node.folder)
        assert kept is not None
        assert kept.body.policy is QuorumPolicy.MAJORITY
        assert kept.lineage != before.lineage
