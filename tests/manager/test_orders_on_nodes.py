"""Orders by ``rppam cluster`` to real nodes: what is seen from outside, and what survives."""

import json
import re
import statistics
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND, MakeLab
from tests.support.ordering import cluster, told
from tests.support.redis_servers import Server
from tests.support.watching import Eyes

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

LEASE_S = CALM["leaseMs"] / 1000


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    made = make_lab(times=CALM)
    made.start()
    return made


@pytest.fixture
def own_redis() -> Iterator[Server]:
    with Server(KIND) as running:
        yield running


def others(lab: Lab, one: LabNode) -> list[LabNode]:
    return [node for node in lab.nodes if node is not one]


def status_of(lab: Lab, seen_by: LabNode, name: str) -> str:
    """What ``seen_by`` says of a node; empty while it does not answer."""
    try:
        return str({node["nodeName"]: node["status"] for node in lab.health(seen_by)["nodes"]}.get(name, ""))
    except OSError:
        return ""


def voters(lab: Lab, node: LabNode) -> set[str]:
    return {line["voter"] for line in lab.health(node)["votes"]} - {"redis"}


@pytest.mark.alone
def test_a_switchover_by_hand_is_over_in_a_moment_and_never_shows_two_leaders(make_lab: MakeLab) -> None:
    lab = make_lab(times="lan")
    lab.start()
    time.sleep(2)
    taken: list[int] = []
    with Eyes({node.name: node.port for node in lab.nodes}, every_ms=25) as eyes:
        for _ in range(9):
            before = lab.wait_for_leader()
            said = told(cluster(before, "switchover", "--json"))
            assert said["before"] == before.name
            assert said["leader"] != before.name
            taken.append(said["leaderAfterMs"])
            lab.wait_until_healthy()
    eyes.check()
    print(f"switchover: {sorted(taken)} ms")
    assert statistics.median(taken) < lab.lease_ms / 2, "nobody waited for a promise to end"


def test_a_switchover_goes_where_it_is_sent_from_whatever_node_it_is_typed_at(lab: Lab) -> None:
    before = lab.wait_for_leader()
    to, asked = others(lab, before)
    done = cluster(asked, "switchover", "--to", to.name)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"{before.name} releases its leadership and invites {to.name} to lead", done.stdout)
    assert re.search(rf"{to.name} leads after \d+ ms", done.stdout)
    assert to.leads()
    again = cluster(asked, "switchover", "--to", to.name)
    assert (again.returncode, "leads already" in again.stderr) == (1, True), again.stderr
    nobody = cluster(asked, "switchover", "--to", "node9", "--json")
    assert nobody.returncode == 2
    assert json.loads(nobody.stdout)["code"] == "RPPAM-5201"
    assert f"orders a switchover from {before.name} to {to.name}" in before.log(), "who did what is in the log"


def test_maintenance_moves_the_leadership_is_seen_by_all_and_survives_a_restart(lab: Lab) -> None:
    aside = lab.wait_for_leader()
    rest = others(lab, aside)
    said = told(cluster(rest[0], "maintenance", aside.name, "on", "--json"))
    assert said["leader"] in {node.name for node in rest}
    eventually(
        lambda: {status_of(lab, node, aside.name) for node in lab.nodes} == {"maintenance"}, within_s=5, what="seen"
    )
    assert aside.status_of("/system/health/ready") == 503
    assert aside.ask("/system/health/cluster", token=lab.token).status == 200
    assert lab.health(rest[0])["clusterHealthy"]
    aside.term()
    assert aside.wait() == 0
    aside.start()
    eventually(lambda: status_of(lab, aside, aside.name) == "maintenance", within_s=15, what="still in maintenance")
    eventually(lambda: voters(lab, aside) == {node.name for node in lab.nodes}, within_s=5, what="it votes")
    leader = lab.wait_for_leader()
    refused = cluster(leader, "switchover", "--to", aside.name)
    assert (refused.returncode, "is in maintenance" in refused.stderr) == (1, True), refused.stderr
    assert cluster(leader, "maintenance", aside.name, "off").returncode == 0
    lab.wait_until_healthy()
    assert aside.status_of("/system/health/ready") == 200
    time.sleep(lab.lease_ms / 1000)  # so long after its start it votes for nobody new, itself included
    assert told(cluster(leader, "switchover", "--to", aside.name, "--json"))["leader"] == aside.name


def test_a_dead_member_is_forgotten_on_the_word_that_it_is_off(lab: Lab) -> None:
    leader = lab.wait_for_leader()
    dead, other = others(lab, leader)
    running = cluster(leader, "forget", dead.name)
    assert (running.returncode, "answers, and is not in maintenance" in running.stderr) == (1, True), running.stderr
    dead.kill()
    time.sleep(LEASE_S + 0.5)
    silent = cluster(other, "forget", dead.name)
    assert silent.returncode == 1
    assert f"rppam cluster forget {dead.name} --off" in silent.stderr
    said = told(cluster(other, "forget", dead.name, "--off", "--json"))
    assert said["members"] == sorted([leader.name, other.name])
    lab.nodes.remove(dead)
    lab.wait_until_healthy(within_s=15)
    assert leader.leads(), "nobody noticed"
    leader.kill()
    assert lab.wait_for_leader(other_than=leader) is other


def test_a_pause_holds_a_failover_and_is_loud_until_it_is_resumed(lab: Lab) -> None:
    leader = lab.wait_for_leader()
    rest = others(lab, leader)
    said = told(cluster(rest[0], "pause", "--json"))
    assert (said["paused"], said["missed"]) == (True, [])
    leader.kill()
    time.sleep(3 * LEASE_S)
    assert lab.leaders() == []
    for node in rest:
        health = lab.health(node)
        assert health["paused"]
        assert any("paused by" in sentence for sentence in health["warnings"])
        assert "rppam cluster resume" in health["noLeaderReason"]
    rest[0].kill()
    rest[0].start()
    time.sleep(2 * LEASE_S)
    assert lab.leaders() == [], "a restart does not forget it"
    assert cluster(rest[1], "resume").returncode == 0
    assert lab.wait_for_leader(within_s=10) in rest


def test_over_rest_any_node_takes_maintenance_of_another_and_a_switchover(lab: Lab) -> None:
    leader = lab.wait_for_leader()
    aside, asked = others(lab, leader)
    assert [node["addressProven"] for node in lab.health(asked)["nodes"]] == [True] * 3
    path = f"/api/v1/admin/nodes/{aside.name}/maintenance"

    def is_aside(wanted: bool) -> bool:
        return (status_of(lab, asked, aside.name) == "maintenance") is wanted

    for state in (True, False):
        answer = asked.ask(path, method="PUT", token=lab.token, send={"maintenance": state})
        assert (answer.status, answer.body["node"]) == (200, aside.name), answer.body
        eventually(
            partial(is_aside, state),
            within_s=10,
            what=f"maintenance {state}",
            say=lab.logs,
        )
    answer = asked.ask("/api/v1/admin/cluster/switchover", method="POST", token=lab.token)
    assert (answer.status, answer.body["node"]) == (200, leader.name), answer.body
    assert lab.wait_for_leader(other_than=leader, within_s=10) is not leader


def test_a_switchover_works_while_failover_is_paused(lab: Lab) -> None:
    leader = lab.wait_for_leader()
    told(cluster(leader, "pause", "--json"))
    said = told(cluster(leader, "switchover", "--json"))
    assert said["leader"] != leader.name


def test_a_pause_reaches_every_node_without_redis(make_lab: MakeLab, own_redis: Server) -> None:
    lab = make_lab(times=CALM, redis_port=own_redis.port)
    lab.start()
    leader = lab.wait_for_leader()
    own_redis.stop()
    eventually(lambda: not lab.health(leader)["redisConnected"], within_s=10, what="Redis is missed")
    time.sleep(LEASE_S)
    assert leader.leads(), "all members agree"
    statuses = {node["status"] for node in lab.health(leader)["nodes"]}
    assert statuses == {"healthy"}, "members are seen on their own link"
    done = cluster(others(lab, leader)[0], "pause")
    assert done.returncode == 0, done.stderr
    assert all(lab.health(node)["paused"] for node in lab.nodes)


def test_a_cluster_that_lost_its_majority_for_good_is_led_again_by_force(make_lab: MakeLab) -> None:
    lab = make_lab(times=CALM, policy="majority")
    lab.start()
    assert lab.health()["safetyLevel"] == "voted"
    leader = lab.wait_for_leader()
    survivor, other = others(lab, leader)
    names = [leader.name, other.name]
    early = cluster(survivor, "forget", *names, "--force", "--yes")
    assert (early.returncode, "leads" in early.stderr) == (1, True), early.stderr
    leader.kill()
    other.kill()
    time.sleep(2 * LEASE_S)
    health = lab.health(survivor)
    assert (health["leaderNode"], health["quorumMet"]) == (None, False)
    assert f"1 of 3 votes can be won and 2 are needed (majority). {min(names)}" in health["noLeaderReason"]
    unsaid = cluster(survivor, "forget", *names, "--force")
    assert (unsaid.returncode, "--yes" in unsaid.stderr) == (2, True)
    said = told(cluster(survivor, "forget", *names, "--force", "--yes", "--json"))
    assert said["members"] == [survivor.name]
    assert lab.wait_for_leader(within_s=10) is survivor
