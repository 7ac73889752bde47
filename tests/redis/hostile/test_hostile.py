"""Three real nodes whose members vote, and a Redis that begins to lie: no process pays for it, and nobody else leads.

For each lie: no process of a node grows by more than 64 MiB, no answer of ``/system/health/live`` takes longer than a
second, and the leader before is the leader during and after. Three lies are told at a time, another one to each node;
``make hostile`` tells each lie to all nodes and waits longer (``HOSTILE_S`` is for how long).
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.redis.hostile.lies import LIES
from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND
from tests.support.redis_servers import Server, need
from tests.support.watching import Eyes

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.alone]

HOSTILE_S: Final = float(os.environ.get("HOSTILE_S", "0"))
LIE_S: Final = HOSTILE_S or 1.2
GROWN_KIB_MAX: Final = 64 * 1024
LATE_S: Final = 1.0
LOG_BYTES_MAX: Final = 300_000 if HOSTILE_S else 100_000
"""With HOSTILE_S each node is told all lies, not a third of them."""
FAULT: Final = re.compile("Traceback|a listener on the Redis connection failed|a fault of this node")
COME_BACK_S: Final = 6.0
"""After a reply beyond all limits a link takes so long to come back at most."""


class Hostile:
    """The lying proxy, in a process of its own."""

    def __init__(self, port: int) -> None:
        words = [sys.executable, "-m", "tests.redis.hostile.liar", str(port)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def lie(self, lies: dict[str, str]) -> None:
        """Each node its own, from now on."""
        self._say({"lies": lies})

    def status(self) -> dict[str, dict[str, int]]:
        return self._say({})

    def _say(self, order: dict[str, Any]) -> dict[str, dict[str, int]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        said: dict[str, dict[str, int]] = json.loads(self._process.stdout.readline())
        return said

    def close(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=5)


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    """A liar before a Redis of its own."""
    need(KIND)
    with Server(KIND) as truthful:
        made = Hostile(truthful.port)
        yield made
        made.close()


class Probe:
    """Asks every node again and again whether it lives, and for things that a worker asks Redis about."""

    def __init__(self, lab: Lab) -> None:
        self.latest: dict[str, float] = {}
        self._lab = lab
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(node, ask), daemon=True)
            for node in lab.nodes
            for ask in (self._live, self._work)
        ]
        for thread in self._threads:
            thread.start()

    def begin(self) -> None:
        self.latest = {node.name: 0.0 for node in self._lab.nodes}

    def _run(self, node: LabNode, ask: Any) -> None:
        while not self._over.is_set():
            with suppress(OSError):
                ask(node)
            time.sleep(0.05)

    def _live(self, node: LabNode) -> None:
        began = time.monotonic()
        try:
            status = node.ask("/system/health/live", timeout_s=5.0).status
        except OSError:
            status = 0
        took = time.monotonic() - began if status == 200 else 99.0
        self.latest[node.name] = max(self.latest.get(node.name, 0.0), took)

    def _work(self, node: LabNode) -> None:
        send = {"username": "nobody", "password": "wrong"}
        node.ask("/api/v1/auth/login", method="POST", send=send, timeout_s=5.0)
        node.ask("/system/health/cluster", token=self._lab.token, timeout_s=5.0)

    def close(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(10)


def memory_kib(pid: int, field: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
    return 0


def measured(lab: Lab) -> dict[tuple[str, int], int]:
    """The memory of each process now; from here on its peak is counted anew."""
    found = {}
    for node in lab.nodes:
        for pid in node.pids():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")
            found[node.name, pid] = memory_kib(pid, "VmRSS")
    return found


@contextmanager
def cluster(folder: Path, hostile: Hostile) -> Iterator[tuple[Lab, Probe, Eyes, str]]:
    with Lab(folder / "lab", hostile.port, nodes=3, times=CALM, policy="majority") as lab:
        for node in lab.nodes:
            node.start()
        lab.wait_until_healthy(within_s=60)
        leader = lab.wait_for_leader().name
        eventually(lambda: lab.health()["safetyLevel"] == "voted", within_s=20, what="level voted", say=lab.logs)
        probe = Probe(lab)
        try:
            with Eyes({node.name: node.port for node in lab.nodes}, every_ms=50) as eyes:
                yield lab, probe, eyes, leader
        finally:
            probe.close()


def rounds() -> list[tuple[str, ...]]:
    """The lies of each round: one for each node."""
    if HOSTILE_S:
        return [(name, name, name) for name in LIES]
    unasked = [name for name, lie in LIES.items() if lie.at_once]  # told before it is known to whom: alone
    others = [name for name in LIES if name not in unasked]
    return [*(tuple(others[at : at + 3]) for at in range(0, len(others), 3)), *((name,) * 3 for name in unasked)]


BATCHES: Final = 4


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_lying_redis_costs_no_memory_no_time_and_no_leader(batch: int, tmp_path: Path, hostile: Hostile) -> None:
    found: list[str] = []
    with cluster(tmp_path, hostile) as (lab, probe, eyes, leader):
        epochs = {lab.health()["epoch"]: leader}
        everybody = set(lab.nodes)
        for lies in rounds()[batch::BATCHES]:
            _wait_for_links(hostile, lab)
            told = dict(zip((node.name for node in lab.nodes), lies, strict=False))
            wrong = one_round(lab, probe, hostile, told)
            if wrong and all("/live" in one for one in wrong):  # late once may be the machine's other work
                _wait_for_links(hostile, lab)
                wrong = one_round(lab, probe, hostile, told)
            found += wrong
            assert {node for node in everybody if node.is_running} == everybody, (lies, lab.logs())
            if eyes.leaderships() != epochs:
                found.append(f"{told}: leaderships {eyes.leaderships()}, expected {epochs}")
                break
        eyes.check(sharp_ms=1_000)
        found += [f"{node.name} has logged a fault" for node in lab.nodes if FAULT.search(node.log())]
        sizes = {node.name: len(node.log()) for node in lab.nodes}
        found += [f"{name} has logged {size} bytes" for name, size in sizes.items() if size > LOG_BYTES_MAX]
    assert not found, "\n".join(found)


def one_round(lab: Lab, probe: Probe, hostile: Hostile, told: dict[str, str]) -> list[str]:
    """What the lies did to each node that they must not do."""
    before = measured(lab)
    probe.begin()
    hostile.lie(told)
    time.sleep(LIE_S)
    heard = hostile.status()["told"]
    hostile.lie({})
    found = [
        f"{told[node]} was not told to {node}" for node in told if not heard.get(node) and told[node] not in UNHEARD
    ]
    for (node, pid), kib in before.items():
        if not Path(f"/proc/{pid}").exists():
            found.append(f"{told[node]}: process {pid} of {node} ended")
        grown = memory_kib(pid, "VmHWM") - kib
        if grown > GROWN_KIB_MAX:
            found.append(f"{told[node]}: process {pid} of {node} grew by {grown // 1024} MiB")
    for node, took in probe.latest.items():
        if took > LATE_S:
            found.append(f"{told[node]}: /live of {node} took {took:.1f} s")
    return found


UNHEARD: Final = frozenset({"no-more-clients", "a-web-server", "tls", "a-cursor-that-never-ends"})
"""Told before it is known to whom; and SCAN is asked by a node that starts and by a checkup, so not in each round."""


def _wait_for_links(hostile: Hostile, lab: Lab) -> None:
    """Until each node's lease link stands, or has had the time."""
    until = time.monotonic() + COME_BACK_S
    while time.monotonic() < until:
        links = hostile.status()["links"]
        if all(links.get(f"rppam:{node.name}:lease") and links.get(f"rppam:{node.name}:cache") for node in lab.nodes):
            time.sleep(0.2)
            return
        time.sleep(0.05)
