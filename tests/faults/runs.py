"""Repeated kills and stops of the leader, timed; used by the fault tests and by benchmarks/failover.py."""

import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.ranks import nearest_rank
from tests.support.lab import Lab, LabNode
from tests.support.watching import Eyes, violations


class Timed(NamedTuple):
    """What one series of runs showed. Times in ms, from just before the signal to another node's 200 being here."""

    times_ms: tuple[float, ...]
    violations: tuple[str, ...]

    def at(self, share: float) -> float:
        """The smallest time that at least this share of the runs did not exceed (nearest rank)."""
        return nearest_rank(self.times_ms, share)

    def sentence(self) -> str:
        """p50, p99 and max."""
        return (
            f"{len(self.times_ms)} runs: p50 {self.at(0.5):.0f} ms, p99 {self.at(0.99):.0f} ms, "
            f"max {max(self.times_ms):.0f} ms"
        )


def kill_leader(lab: Lab, runs: int, tell: Callable[[str], object]) -> Timed:
    """SIGKILL to all processes of the leader, each time; it is started again before the next run."""
    return _series(lab, runs, LabNode.kill, tell)


def terminate_leader(lab: Lab, runs: int, tell: Callable[[str], object]) -> Timed:
    """SIGTERM to the leader, each time."""
    return _series(lab, runs, LabNode.term, tell)


def _series(lab: Lab, runs: int, end: Callable[[LabNode], None], tell: Callable[[str], object]) -> Timed:
    times_ms, found = [], []
    lease_s = lab.lease_ms / 1000
    for run in range(1, runs + 1):
        lab.wait_until_healthy()
        time.sleep(lease_s + 0.2 * run % 1.0)  # every standby has watched for a lease; and no step with the heartbeats
        leader = lab.wait_for_leader()
        with Eyes({node.name: node.port for node in lab.nodes}) as eyes:
            time.sleep(0.2)
            sent_ns = time.monotonic_ns()
            end(leader)
            answer = eyes.wait_for_yes(sent_ns, other_than=leader.name, within_s=4 * lease_s + 5)
            leader.wait()
            time.sleep(0.2)
        times_ms.append((answer.received_ns - sent_ns) / 1e6)
        found += violations(eyes.samples())
        tell(f"run {run}: {leader.name} -> {answer.node} after {times_ms[-1]:.1f} ms (epoch {answer.epoch})")
        leader.start()
    return Timed(tuple(times_ms), tuple(found))
