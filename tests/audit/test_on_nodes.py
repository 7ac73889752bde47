"""The ledger of running nodes: provable within seconds, dated by the database, and known again when it was put back.

One cluster for the file: two nodes and a witness, PostgreSQL and Redis, all of them real. The last test puts an older
database back under them.
"""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Self

import pytest

from tests.audit.ledger_nodes import CHECKPOINTS, EVENTS, WITNESS, Nodes, running, seconds_until
from tests.faults.clock import SteppedClock
from tests.support import prefork
from tests.support.lab import LabNode, eventually
from tests.support.lab_fixtures import LABS
from tests.support.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

PROVABLE_S = 3.0
NAMED_S = 5.0
HOUR_S = 3_600
TARGETS = "/api/v1/siem/targets"
APART_S = 60.0
"""Two clocks that differ by less are one, on a machine that is busy."""
CONTEXTS = f"{EVENTS}?action=checkpoint.context&limit=1000"
SILENT = "this node leads, and signs nothing until it is adopted"
REASON = "restored last night's copy"


@pytest.fixture(scope="module")
def running_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with running(tmp_path_factory.mktemp("ledger")) as made:
        yield made


@pytest.fixture
def nodes(running_nodes: Nodes, request: pytest.FixtureRequest) -> Iterator[Nodes]:
    """The cluster, whole before and after."""
    request.node.stash.setdefault(LABS, []).append(running_nodes.lab)
    running_nodes.whole()
    yield running_nodes
    running_nodes.whole()


def test_an_act_is_provable_within_seconds_and_so_it_is_from_the_next_leader_on(nodes: Nodes) -> None:
    first = nodes.lab.wait_for_leader()
    second = nodes.other(first)
    took = []
    for number, node in enumerate((first, second)):
        acted = nodes.act(node, f"anna-{number}")
        nodes.prove(node, f"anna-{number}", within_s=PROVABLE_S)
        took.append(time.monotonic() - acted)
    nodes.act(second, "berta-0")
    first.kill()
    nodes.act(second, "berta-1")
    nodes.lab.wait_for_leader(other_than=first)
    led = time.monotonic()
    for name in ("berta-0", "berta-1"):
        nodes.prove(second, name, within_s=PROVABLE_S)
    took.append(time.monotonic() - led)
    acted = nodes.act(second, "carla")
    nodes.prove(second, "carla", within_s=PROVABLE_S)
    took.append(time.monotonic() - acted)
    assert max(took) < PROVABLE_S, took
    print("\nproven after", *(f"{one:.2f} s" for one in took))
    elected = nodes.asked(second, f"{EVENTS}?action=leader.elect")["events"]
    assert [one["node"] for one in elected][-1] == second.name


def away(node: LabNode, token: str, port: int = 0) -> str:
    """A new SIEM target that nobody listens for; its id."""
    url = f"http://127.0.0.1:{port or free_port()}/"
    hook = {"name": f"hook-{time.monotonic_ns()}", "kind": "webhook", "url": url, "secret": "s3cret"}
    made = node.ask(TARGETS, method="POST", send=hook, token=token)
    assert made.status == 201, made
    ident: str = made.body["id"]
    return ident


def fails_for_s(nodes: Nodes, node: LabNode, target: str) -> float:
    """What monitoring reads of a node."""
    return nodes.gauges(node).get(("rppam_siem_failing_seconds", target), 0)


def apart_s(told: str) -> float:
    """How far a time is from the database's, which stands on this host."""
    return datetime.fromisoformat(told).timestamp() - time.time()


@pytest.mark.parametrize("off_s", [HOUR_S, -HOUR_S])
def test_events_carry_the_databases_time_also_where_the_clock_of_the_node_is_an_hour_off(
    nodes: Nodes, tmp_path: Path, off_s: int
) -> None:
    clock, node = SteppedClock(tmp_path), nodes.lab.wait_for_leader()
    name = f"{'ahead' if off_s > 0 else 'behind'}-{node.name}"
    before = nodes.size()
    clock.step(off_s)
    node.kill()
    node.start(**clock.environment)
    try:
        nodes.wait_until_healthy()
        token = nodes.token(node)
        told = node.ask("/system/health/cluster", token=token).body["time"]
        assert abs(apart_s(told) - off_s) < APART_S, "its clock is off"
        nodes.act(node, name, token)
        clock.step(-off_s)  # while it runs
        nodes.act(node, f"{name}-stepped", token)
        clock.step(off_s)
        nodes.other(node).kill()
        eventually(node.leads, within_s=30, what="it leads", say=nodes.lab.logs)
        nodes.act(node, f"{name}-leads", token)
        nodes.prove(node, f"{name}-leads", token, within_s=PROVABLE_S)
        found = nodes.asked(node, f"{EVENTS}?all=true&after={before}&limit=1000", token)["events"]
        names = {one["object"]["name"] for one in found}
        assert {name, f"{name}-stepped", f"{name}-leads", node.name} <= names
        assert {one["node"] for one in found} >= {node.name}
        for one in found:
            assert abs(apart_s(one["time"])) < APART_S, one
            made = int(one["id"].replace("-", "")[:12], 16) / 1000
            assert abs(made - time.time()) < APART_S, "so is what its id says"
        newest = nodes.asked(node, f"{CHECKPOINTS}?limit=1", token)["checkpoints"][0]
        assert newest["node"] == node.name
        assert abs(apart_s(newest["madeAt"])) < APART_S
        target = away(node, token)
        fails = partial(fails_for_s, nodes, node, target)
        assert eventually(fails, within_s=30, what="the target fails", say=nodes.lab.logs) < APART_S
        assert node.ask(f"{TARGETS}/{target}", method="DELETE", token=token).status == 204
    finally:
        for one in nodes.lab.nodes:
            if one.is_running:
                one.kill()


class Receiver:
    """Takes whatever a webhook gets."""

    def __init__(self, port: int) -> None:
        class Takes(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Takes)
        Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_monitoring_reads_of_every_node_how_far_ledger_and_delivery_are(nodes: Nodes) -> None:
    port, leader = free_port(), nodes.lab.wait_for_leader()
    target = away(leader, nodes.lab.token, port)
    nodes.act(leader, "dora")

    def delivery(node: LabNode) -> tuple[float, float]:
        """How many events wait for the target, and for how long it has failed."""
        found = nodes.gauges(node)
        return found.get(("rppam_siem_waiting_events", target), -1), fails_for_s(nodes, node, target)

    def is_told(node: LabNode, *wanted: float) -> bool:
        return delivery(node) == wanted

    def waits(node: LabNode) -> bool:
        return min(delivery(node)) > 0

    def is_whole(node: LabNode) -> bool:
        found = nodes.gauges(node)
        names = ("waiting_events", "waiting_seconds", "cosigners")
        return [found.get((f"rppam_ledger_{name}", "")) for name in names] == [0, 0, len(nodes.lab.nodes) + 1]

    for node in nodes.lab.nodes:
        eventually(partial(waits, node), within_s=30, what="it is told what waits", say=nodes.lab.logs)
        eventually(partial(is_whole, node), within_s=30, what="the ledger is signed by all", say=nodes.lab.logs)
        assert 0 <= nodes.gauges(node)["rppam_ledger_checkpoint_age_seconds", ""] < APART_S
    with Receiver(port):
        for node in nodes.lab.nodes:
            eventually(partial(is_told, node, 0, 0), within_s=60, what="all has arrived", say=nodes.lab.logs)
    assert leader.ask(f"{TARGETS}/{target}", method="DELETE", token=nodes.lab.token).status == 204
    for node in nodes.lab.nodes:
        eventually(partial(is_told, node, -1, 0), within_s=30, what="it is told no more", say=nodes.lab.logs)


def test_monitoring_tells_for_how_long_events_wait_where_nobody_leads(nodes: Nodes) -> None:
    node = nodes.other(nodes.lab.wait_for_leader())
    names = [(f"rppam_ledger_{name}", "") for name in ("waiting_events", "waiting_seconds", "checkpoint_age_seconds")]

    def told() -> list[float]:
        found = nodes.gauges(node)
        return [found[name] for name in names]

    with nodes.alone(node):
        nodes.act(node, "emma")
        eventually(lambda: min(told()) >= 1, within_s=20, what="that it waits is told", say=nodes.lab.logs)
        before = told()
        time.sleep(3)
        eventually(lambda: told()[1] > before[1] + 2, within_s=10, what="and for how long", say=nodes.lab.logs)
        assert nodes.event(node, "emma")["index"] is None
    nodes.whole()
    nodes.prove(node, "emma", within_s=PROVABLE_S)
    eventually(lambda: told()[:2] == [0, 0], within_s=20, what="nothing waits any more", say=nodes.lab.logs)


def put_back(nodes: Nodes, copy: Path) -> dict[str, float]:
    """An older database, under running nodes; after how many seconds each member had named it."""
    lab, leader = nodes.lab, nodes.lab.wait_for_leader()
    nodes.act(leader, "frieda-kept")
    nodes.prove(leader, "frieda-kept", within_s=PROVABLE_S)
    nodes.copy(copy)
    copied = nodes.size()
    for number in range(5):
        nodes.act(lab.nodes[number % 2], f"gerda-{number}")
    nodes.prove(leader, "gerda-4", within_s=PROVABLE_S)
    nodes.wait_until_seen(nodes.size())
    assert min(nodes.seen().values()) > copied
    since = nodes.put_back(copy)
    named = partial(seconds_until, since=since, within_s=NAMED_S)
    took = {
        node.name: named(partial(nodes.has_found, node, "RD-631"), what=f"{node.name} names it", say=lab.logs)
        for node in lab.nodes
    }
    refused = partial(nodes.witness_refuses, leader, "seen signed")
    took[WITNESS] = named(refused, what="the witness names it", say=nodes.witness.log)
    return took


def is_named_everywhere(nodes: Nodes) -> None:
    """By health, by the logs, and by each command that an administrator may look with."""
    for node in nodes.lab.nodes:
        assert nodes.lab.health(node)["clusterHealthy"] is False
        assert "the ledger: RPPAM-8002" in node.log()
        status = prefork.run("status", "--config", node.file)
        assert status.returncode == 1, status.stdout + status.stderr
        assert "the ledger is not the one that was seen" in " ".join(status.stdout.split())
        doctor = prefork.run("doctor", "--config", node.file, "--json")
        found = {one["code"]: one for one in json.loads(doctor.stdout)["findings"]}
        assert found["RD-631"]["severity"] == "error"
        verified = prefork.run("audit", "verify", "--config", node.file)
        assert verified.returncode == 1, verified.stdout + verified.stderr
    assert "The ledger is not cosigned" in nodes.witness.log()


def nothing_is_signed(nodes: Nodes, name: str) -> None:
    """The leader says so, records an act all the same, and gives it no place in the tree."""
    leader, before = nodes.lab.wait_for_leader(), nodes.size()
    silent = partial(nodes.has_found, leader, "RD-631", because=SILENT)
    eventually(silent, within_s=30, what="the leader says that it signs nothing", say=nodes.lab.logs)
    nodes.act(leader, name)
    time.sleep(2)
    assert nodes.size() == before
    assert nodes.event(leader, name)["index"] is None, "and it is recorded"
    assert f"the integration of the ledger failed and is tried again every 0.5 s: {SILENT}" in leader.log()


def adopt(nodes: Nodes) -> None:
    """By each node, and then by the witness, which is doubted until then."""
    lab = nodes.lab
    for node in lab.nodes:
        adopted = prefork.run("audit", "adopt", "--config", node.file, "--reason", REASON)
        assert adopted.returncode == 0, adopted.stdout + adopted.stderr
    for node in lab.nodes:
        doubts = partial(nodes.found, node, "RD-631")
        eventually(
            lambda doubts=doubts: f"seen by {WITNESS} (" in doubts(),  # type: ignore[misc]
            within_s=NAMED_S,
            what=f"{node.name} believes it, and names the witness that does not",
            say=lab.logs,
        )
        assert lab.health(node)["clusterHealthy"] is False, "the witness alone doubts it"
        status = prefork.run("status", "--config", node.file)
        assert status.returncode == 1, status.stdout + status.stderr
        assert "the ledger is not the one that was seen" in " ".join(status.stdout.split())
        assert f"the ledger: RPPAM-8002: the ledger is not the one that was seen by {WITNESS}" in node.log()
        doctor = prefork.run("doctor", "--config", node.file, "--json")
        [told] = [one for one in json.loads(doctor.stdout)["findings"] if one["code"] == "RD-631"]
        assert WITNESS in told["evidence"]
        assert nodes.gauges(node)["rppam_findings", "error"] >= 1
    adopted = prefork.run("audit", "adopt", "--config", nodes.witness.file, "--reason", REASON)
    assert adopted.returncode == 0, adopted.stdout + adopted.stderr
    for node in lab.nodes:
        is_whole = partial(nodes.has_found, node, "RD-631", is_there=False)
        eventually(is_whole, within_s=2 * NAMED_S, what="nobody doubts it", say=lab.logs)
    nodes.wait_until_healthy(within_s=NAMED_S)


def test_a_database_that_was_put_back_is_named_and_signed_only_once_it_was_adopted(
    nodes: Nodes, tmp_path: Path
) -> None:
    took = put_back(nodes, tmp_path / "rppam.dump")
    print("\nnamed after", *(f"{name} {one:.2f} s" for name, one in took.items()))
    is_named_everywhere(nodes)
    nothing_is_signed(nodes, "ida")
    for node in nodes.lab.nodes:
        node.term()
        assert node.wait() == 0
        node.start()
    nothing_is_signed(nodes, "ida-after-a-start")
    since = time.monotonic()
    adopt(nodes)
    print("healthy after", f"{time.monotonic() - since:.2f} s")
    leader = nodes.lab.wait_for_leader()
    for name in ("ida", "ida-after-a-start"):
        nodes.prove(leader, name, within_s=PROVABLE_S)
    nodes.wait_until_seen(nodes.size())
    keys = nodes.asked(leader, f"{CHECKPOINTS}?limit=1")
    trusted = [word for one in keys["cosigners"] for word in ("--cosigner", one["key"])]
    members = [*(one.name for one in nodes.lab.nodes), WITNESS]
    for node in nodes.lab.nodes:
        verified = prefork.run(
            "audit", "verify", "--config", node.file, "--key", keys["key"], *trusted, "--json"
        )  # fmt: skip
        assert verified.returncode == 0, verified.stdout + verified.stderr
        found = json.loads(verified.stdout)
        assert sorted(name.rpartition("/")[2] for name in found["cosigned"]) == sorted(members)
    told = nodes.asked(leader, f"{EVENTS}?action=ledger.adopt")["events"]
    assert sorted(one["details"]["node"] for one in told) == sorted(members)
    assert {one["reason"] for one in told} == {REASON}
    assert nodes.asked(leader, CONTEXTS)["events"][-1]["details"]["leader"] == leader.name
    assert nodes.asked(leader, f"{EVENTS}?action=user.create&object=gerda-0")["events"] == []
    nodes.act(nodes.lab.nodes[0], "hanna")
    nodes.prove(nodes.lab.nodes[1], "hanna", within_s=PROVABLE_S)
