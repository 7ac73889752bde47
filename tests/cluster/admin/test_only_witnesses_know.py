"""Members that nobody but witnesses heard of before the leader was gone for good, with real processes."""

from pathlib import Path

import pytest

from rppam.cluster.store.hint_files import VOUCH_FILE
from tests.support.lab import CALM, Lab, eventually
from tests.support.placed_witness import RunningWitness, electorate_in, place_example
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]


def test_the_next_leader_learns_of_them_by_a_nodes_word_that_a_witness_passes_on(redis: Server, tmp_path: Path) -> None:
    """node2 stands still while the second witness comes, then the leader dies; also over restarts of both witnesses."""
    with Lab(tmp_path, redis.port, nodes=2, times=CALM, policy="majority", prefix=f"{tmp_path.name}:") as lab:
        first = place_example(lab, redis.port)
        lab.start()
        with RunningWitness(first):
            eventually(lambda: named(lab, "witness1"), within_s=40, what="the first witness", say=lab.logs)
            leader = lab.wait_for_leader()
            (other,) = [node for node in lab.nodes if node is not leader]
            eventually(lambda: knows(other.folder, "witness1"), within_s=40, what="its list on both", say=lab.logs)
            other.stop()
            second = place_example(lab, redis.port, "witness2")
            with RunningWitness(second):
                for witness in (first, second):
                    there = witness.parent
                    eventually(lambda: knows(there, "witness2"), within_s=60, what="the second one", say=lab.logs)  # noqa: B023
                    eventually((there / VOUCH_FILE).exists, within_s=10, what="a node's word", say=lab.logs)
                leader.kill()
        assert not knows(other.folder, "witness2")
        with RunningWitness(first), RunningWitness(second):
            other.cont()
            eventually(other.leads, within_s=60, what="that the other node leads", say=lab.logs)
        assert knows(other.folder, "witness2")


def named(lab: Lab, name: str) -> bool:
    return all(knows(node.folder, name) for node in lab.nodes)


def knows(folder: Path, name: str) -> bool:
    """Whether the list on that disk has ``name``, and nothing is pending."""
    found = electorate_in(folder)
    return found is not None and found.old is None and name in found.body.members
