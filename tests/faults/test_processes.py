"""The processes of a node at length: how fast another node leads, storms, load, and who stops with whom."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.faults.conftest import watch
from tests.faults.runs import Timed
from tests.support.inside import alive, inside, kill, settled
from tests.support.lab import CALM, Lab, eventually
from tests.support.lab_fixtures import LABS
from tests.support.redis_servers import Server
from tests.support.watching import violations

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.alone, pytest.mark.slow]

LOADER = [
    "python3",
    "-c",
    "import socket, sys\n"
    "request = sys.stdin.buffer.read()\n"
    "lines = [socket.create_connection(('127.0.0.1', int(sys.argv[1]))) for _ in range(32)]\n"
    "while True:\n"
    "    for line in lines: line.sendall(request * 4)\n"
    "    for line in lines: line.recv(1 << 20)\n",
]


@pytest.fixture
def lab(own_redis: Server, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Three nodes as the test's parameter says: their times, and whether members vote or the record alone decides."""
    place = tmp_path_factory.mktemp("processes") / "lab"
    times, votes = getattr(request, "param", (CALM, False))
    with Lab(place, own_redis.port, times=times, votes=votes) as made:
        request.node.stash.setdefault(LABS, []).append(made)
        made.start()
        yield made


@pytest.mark.parametrize(
    "lab",
    [(times, votes) for times in ("default", "lan") for votes in (True, False)],
    indirect=True,
    ids=lambda given: f"{given[0]}-{'votes' if given[1] else 'record'}",
)
def test_the_death_of_the_control_process_costs_less_than_half_a_second(lab: Lab, runs: int) -> None:
    times_ms, found = [], []
    for run in range(1, runs + 1):
        leader = settled(lab)
        control = inside(leader).control
        time.sleep(0.07 * run % 0.5)  # at every moment between two heartbeats
        with watch(lab) as eyes:
            time.sleep(0.2)
            sent_ns = time.monotonic_ns()
            kill(control)
            answer = eyes.wait_for_yes(sent_ns, other_than=leader.name, within_s=10)
            time.sleep(0.3)
        times_ms.append((answer.received_ns - sent_ns) / 1e6)
        found += violations(eyes.samples())
        print(f"run {run}: {leader.name} -> {answer.node} after {times_ms[-1]:.1f} ms")
        lab.wait_until_healthy()
        leader.term()  # or its next deaths would be a storm
        assert leader.wait() == 0
        leader.start()
    shown = Timed(tuple(times_ms), tuple(found))
    print(f"\nkill -9 of the control process of the leader: {shown.sentence()}")
    assert shown.violations == ()
    assert shown.at(0.99) <= 500


def test_the_workers_of_the_dead_go_on_and_say_what_is_the_matter(lab: Lab) -> None:
    node = settled(lab)

    def is_gone(control: int) -> bool:
        return not alive([control])

    def is_replaced(control: int) -> bool:
        return inside(node).control != control

    for _ in range(4):  # into the storm, where the next control process is waited for
        control = inside(node).control
        kill(control)
        eventually(partial(is_gone, control), within_s=5, what="its end")
        eventually(partial(is_replaced, control), within_s=5, what="the next one", say=node.log)
    kill(inside(node).control)
    eventually(lambda: "died 5 times in a row" in node.log(), within_s=5, what="the storm", say=node.log)
    health = lab.health(node)
    assert health["leaderNode"] is None
    assert "control process of this node is restarting" in health["redisReason"]
    assert any("restarting" in warning for warning in health["warnings"])
    assert node.status_of("/system/health/leader") == 503
    assert node.status_of("/system/health/ping") == 200
    assert node.ask("/api/v1/admin/cluster/note", token=lab.token).status == 200, "the database needs no leader"
    written = node.ask("/api/v1/admin/cluster/note", method="PUT", token=lab.token, send={"text": "no"})
    assert written.status == 421
    started = time.monotonic()
    inside(node)
    assert time.monotonic() - started < 10
    lab.wait_until_healthy()
    node.term()  # its next deaths shall be accidents again
    assert node.wait() == 0


def test_a_killed_template_is_replaced_and_still_good_for_a_new_worker(lab: Lab) -> None:
    leader = settled(lab)
    epoch = leader.ask("/system/health/leader").body["epoch"]
    before = inside(leader)
    kill(before.template)
    eventually(lambda: not alive([before.template]), within_s=5, what="its end")
    now = inside(leader)
    assert (now.control, now.workers) == (before.control, before.workers)
    kill(now.workers[0])
    eventually(lambda: not alive([now.workers[0]]), within_s=5, what="its end")
    eventually(lambda: now.workers[0] not in inside(leader).workers, within_s=15, what="a new one", say=leader.log)
    assert leader.ask("/system/health/leader").body["epoch"] == epoch


def test_who_stops_the_supervisor_stops_the_node_until_it_is_continued(lab: Lab) -> None:
    leader = settled(lab)
    there = inside(leader)
    with watch(lab) as eyes:
        stopped_ns = time.monotonic_ns()
        os.kill(there.supervisor, signal.SIGSTOP)
        eyes.wait_for_yes(stopped_ns, other_than=leader.name, within_s=15)
        os.kill(there.supervisor, signal.SIGCONT)
        lab.wait_until_healthy()
    eyes.check()
    assert inside(leader) == there, "nobody was killed for having been stopped with it"


def test_no_load_on_the_api_costs_the_lease(lab: Lab) -> None:
    """Both workers of the leader busy to the brim, on a machine that has no processor left for anybody else."""
    leader = settled(lab)
    epoch = leader.ask("/system/health/leader").body["epoch"]
    before = leader.log().count("stepping down")
    head = f"GET /system/health/cluster HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {lab.token}\r\n\r\n"
    loaders = [subprocess.Popen([*LOADER, str(leader.port)], stdin=subprocess.PIPE) for _ in range(2)]
    try:
        for loader in loaders:
            assert loader.stdin is not None
            loader.stdin.write(head.encode())
            loader.stdin.close()
        lags = []
        until = time.monotonic() + 20
        while time.monotonic() < until:
            time.sleep(0.25)
            seen = lab.health(next(node for node in lab.nodes if node is not leader))["nodes"]
            lags += [member["loopLagMs"] for member in seen if member["nodeName"] == leader.name]
    finally:
        for loader in loaders:
            loader.kill()
            loader.wait()
    lags.sort()
    print(f"heartbeat jitter of the loaded leader: p50 {lags[len(lags) // 2]} ms, p99 {lags[-1 - len(lags) // 100]} ms")
    assert leader.ask("/system/health/leader").body["epoch"] == epoch
    assert leader.log().count("stepping down") == before
