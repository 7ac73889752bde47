"""A witness from the example config beside two real nodes: taken in, small, and worth a vote."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.setup.made import rppam
from tests.support import prefork
from tests.support.lab import CALM, Lab, eventually
from tests.support.lab_fixtures import KIND, MakeLab
from tests.support.placed_witness import RunningWitness, electorate_in, place_example
from tests.support.redis_servers import Server
from tests.support.watching import Eyes

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

LEASE_S = CALM["leaseMs"] / 1000
RESIDENT_MIB_MAX = 64


@pytest.fixture
def own_redis() -> Iterator[Server]:
    """A server that a test may kill."""
    with Server(KIND) as running:
        yield running


def has_taken_in(lab: Lab) -> bool:
    """Whether both nodes and the witness have all three on disk, for good."""
    lists = [electorate_in(folder) for folder in (*(node.folder for node in lab.nodes), lab.folder / "witness1")]
    return all(
        entry is not None
        and entry.old is None
        and entry.members == ("node1", "node2", "witness1")
        and entry.body.witnesses == ("witness1",)
        for entry in lists
    )


def test_with_a_witness_the_leader_survives_the_loss_of_redis_and_of_the_other_node(
    make_lab: MakeLab, own_redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = make_lab(nodes=2, times=CALM, policy="majority", redis_port=own_redis.port)
    lab.start()
    monkeypatch.setenv(prefork.COLD, "1")  # its memory counts
    with RunningWitness(place_example(lab, own_redis.port)) as witness:
        eventually(lambda: has_taken_in(lab), within_s=30, what="the witness is a member", say=witness.log)
        leader = lab.wait_for_leader()
        shown = {node["nodeName"]: node for node in lab.health(leader)["nodes"]}
        assert shown["witness1"]["role"] == "witness"
        assert witness.resident_bytes() < RESIDENT_MIB_MAX * 2**20

        said = json.loads(rppam("doctor", "--config", str(witness.file), "--json", expect=None).stdout)
        codes = {one["code"]: one for one in said["findings"]}
        assert not [one for one in codes.values() if one["severity"] == "error" and one["code"] >= "RD-4"], codes
        assert not {"RD-701", "RD-937", "RD-609", "RD-605", "RD-607"} & set(codes), codes

        other = next(node for node in lab.nodes if node is not leader)
        epoch = leader.ask("/system/health/leader").body["epoch"]
        with Eyes({leader.name: leader.port}, every_ms=20) as eyes:
            other.kill()
            own_redis.kill()
            time.sleep(3 * LEASE_S)
            assert leader.leads()
        assert eyes.leaderships() == {epoch: leader.name}
        eyes.check()
        assert witness.term() == 0
