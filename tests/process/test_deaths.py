"""Each process of a node dies or freezes in turn; leadership, and the other processes, are what they should be then."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.inside import alive, inside, kill, settled
from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND, LABS
from tests.support.ordering import cluster as cluster_command, told
from tests.support.redis_servers import PASSWORD, Server, need
from tests.support.watching import Eyes

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.alone]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    need(KIND)
    # Where the record alone decides, nothing but the release can end the wait of the others.
    with (
        Server(KIND) as server,
        Lab(tmp_path_factory.mktemp("deaths") / "lab", server.port, times=CALM, votes=False) as lab,
    ):
        lab.start()
        yield lab


@pytest.fixture
def lab(cluster: Lab, request: pytest.FixtureRequest) -> Lab:
    """The cluster of this file, whole and healthy."""
    request.node.stash.setdefault(LABS, []).append(cluster)
    for node in cluster.nodes:
        if not node.is_running:
            node.start()
    cluster.wait_until_healthy()
    return cluster


def eyes_on(lab: Lab) -> Eyes:
    return Eyes({node.name: node.port for node in lab.nodes})


def last_line(node: LabNode, text: str) -> str:
    return next((line for line in reversed(node.log().splitlines()) if text in line), "")


def _check_histories(dead: LabNode, successor: LabNode, epoch: int, next_epoch: int) -> None:
    """The supervisor's deeds stand in the history of the node, and what followed in those of both."""
    after = eventually(lambda: _since_the_death(dead), within_s=20, what="another control process in the history")
    assert [event for event, _ in after[:3]] == ["control-ended", "permission-withdrawn", "last-word"]
    assert after[1][1]["epoch"] == epoch
    assert after[2][1]["heard"] is True
    assert next_epoch in {facts.get("epoch") for event, facts in after if event == "leader"}
    elected = [one["facts"]["epoch"] for one in history_of(successor) if one["event"] == "elected"]
    assert elected[-1] == next_epoch


def _since_the_death(node: LabNode) -> list[tuple[str, dict[str, Any]]]:
    """What was noted from the last end of the control process on; empty until its successor takes part."""
    entries = [(one["event"], one["facts"]) for one in history_of(node)]
    died = max(number for number, (event, _) in enumerate(entries) if event == "control-ended")
    return entries[died:] if ("started", {}) in entries[died:] else []


def history_of(node: LabNode) -> list[dict[str, Any]]:
    done = cluster_command(node, "history", "--local", "--limit", "200", "--json")
    entries: list[dict[str, Any]] = told(done)["entries"]
    return entries


# ---- the control process ---------------------------------------------------------------------------------------------


def test_another_node_leads_at_once_when_the_control_process_is_killed(lab: Lab) -> None:
    leader = settled(lab)
    before = inside(leader)
    epoch = leader.ask("/system/health/leader").body["epoch"]
    with eyes_on(lab) as eyes:
        time.sleep(0.2)
        killed_ns = time.monotonic_ns()
        kill(before.control)
        after = eyes.wait_for_yes(killed_ns, other_than=leader.name, within_s=10)
        lab.wait_until_healthy()
    eyes.check()
    assert after.epoch > epoch
    assert (after.received_ns - killed_ns) / 1e6 < 1_000, "long before the lease of 2 s has passed"
    assert epoch not in {sample.epoch for sample in eyes.samples() if sample.sent_ns > after.received_ns}
    now = inside(leader)
    assert now.control != before.control
    assert (now.supervisor, now.workers) == (before.supervisor, before.workers), "nobody else was touched"
    said = last_line(leader, "last word to the store")
    assert "released" in said, leader.log()
    assert f"withdrew this node's permission to lead at epoch {epoch}" in leader.log()
    assert "ended by SIGKILL" in leader.log()
    assert PASSWORD not in leader.log()
    _check_histories(leader, next(node for node in lab.nodes if node.name == after.node), epoch, after.epoch)


def test_a_frozen_control_process_is_killed_at_the_end_of_its_permission(lab: Lab) -> None:
    leader = settled(lab)
    before = inside(leader)
    with eyes_on(lab) as eyes:
        time.sleep(0.2)
        frozen_ns = time.monotonic_ns()
        os.kill(before.control, signal.SIGSTOP)
        after = eyes.wait_for_yes(frozen_ns, other_than=leader.name, within_s=10)
        lab.wait_until_healthy()
    eyes.check()
    waited_ms = (after.received_ns - frozen_ns) / 1e6
    assert waited_ms < CALM["leaseMs"] + 1_000
    assert not alive([before.control])
    assert "frozen" in last_line(leader, "ended by SIGKILL"), leader.log()


def test_while_failover_is_paused_nobody_follows_a_control_process_that_died(lab: Lab) -> None:
    """The supervisor gives everything back at once, and invites nobody: whoever is invited would stand."""
    leader = settled(lab)
    told(cluster_command(leader, "pause", "--json"))
    eventually(
        lambda: all(lab.health(node)["paused"] for node in lab.nodes), within_s=10, what="all know", say=lab.logs
    )
    time.sleep(1.0)  # a last will is made anew within a heartbeat
    kill(inside(leader).control)
    time.sleep(2 * CALM["leaseMs"] / 1000)
    assert lab.leaders() == []
    assert "released" in last_line(leader, "last word to the store"), leader.log()
    assert "rppam cluster resume" in lab.health(leader)["noLeaderReason"]
    told(cluster_command(leader, "resume", "--json"))
    lab.wait_until_healthy()


def test_a_short_freeze_costs_nothing(lab: Lab) -> None:
    leader = settled(lab)
    before = inside(leader)
    with eyes_on(lab) as eyes:
        os.kill(before.control, signal.SIGSTOP)
        time.sleep(0.8)
        os.kill(before.control, signal.SIGCONT)
        time.sleep(1.0)
    assert len(eyes.leaderships()) == 1
    assert inside(leader) == before


# ---- the others ------------------------------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced_and_leadership_does_not_notice(lab: Lab) -> None:
    leader = settled(lab)
    epoch = leader.ask("/system/health/leader").body["epoch"]
    before = inside(leader)
    with eyes_on(lab) as eyes:
        for worker in before.workers:
            kill(worker)
        eventually(lambda: not alive(before.workers), within_s=5, what="their ends")
        now = inside(leader)
        eventually(leader.leads, within_s=5, what="an answer of the new ones", say=leader.log)
        time.sleep(0.5)
    assert set(now.workers).isdisjoint(before.workers)
    assert (now.control, now.template) == (before.control, before.template)
    assert eyes.leaderships() == {epoch: leader.name}
    assert "API worker 1 (process" in leader.log()
    lines = [line for line in leader.log().splitlines() if " connected to Redis " in line]
    assert {line.partition(" worker=")[2] for line in lines} == {"", *map(str, range(1, len(now.workers) + 1))}


def test_nothing_is_left_when_the_supervisor_is_killed(lab: Lab) -> None:
    leader = settled(lab)
    there = inside(leader)
    with eyes_on(lab) as eyes:
        killed_ns = time.monotonic_ns()
        kill(there.supervisor)
        eventually(lambda: not alive(there.all()), within_s=3, what="the end of all")
        after = eyes.wait_for_yes(killed_ns, other_than=leader.name, within_s=10)
    eyes.check()
    leader.wait()
    successor = next(node for node in lab.nodes if node.name == after.node)
    elected = [one["facts"] for one in history_of(successor) if one["event"] == "elected"][-1]
    assert elected["epoch"] == after.epoch
    assert elected["withoutLeaderMs"] >= CALM["leaseMs"], "the lease that had to be waited for counts"


def test_sigterm_ends_all_in_order_with_0(lab: Lab) -> None:
    leader = settled(lab)
    there = inside(leader)
    with eyes_on(lab) as eyes:
        time.sleep(0.2)
        asked_ns = time.monotonic_ns()
        os.kill(there.supervisor, signal.SIGTERM)  # as a service manager does: to the main process alone
        after = eyes.wait_for_yes(asked_ns, other_than=leader.name, within_s=10)
        assert leader.wait() == 0
    eyes.check()
    assert (after.received_ns - asked_ns) / 1e6 < 1_000
    assert not alive(there.all())
    log = leader.log()
    assert log.rindex("stepping down") < log.rindex("stopped")
