"""One fault again and again, timed: ``make faults-times RUNS=50``; p50, p99 and the largest of each series.

What is timed, in ms, from just before the deed:

* a fault of the leader (its host killed, its cable pulled, ...): until *another* node's answer that it leads is here;
* a fault of the store: the longest time in which no node is certain to have led, until all is well again.

Between runs everything heals, and every node watches for a lease. Each result is a line of JSON in the results file.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.faults.lab.cluster import FaultLab, FaultNode, server_kind
from tests.faults.lab.net import CAN, WHY_NOT
from tests.faults.lab.watch import Watch


class Series(NamedTuple):
    """One thing to measure."""

    store: str
    of_leader: bool
    """It happens to the leader, and another node is waited for; else it happens to the store."""
    act: Callable[[FaultLab, FaultNode], object]


def _switch_over(lab: FaultLab, leader: FaultNode) -> None:
    answer = leader.ask("/api/v1/admin/cluster/switchover", method="POST", token=lab.token, send={})
    assert answer.status in (200, 202, 204), f"the switchover was answered {answer.status}: {answer.body}"


def _kill_store(lab: FaultLab, _leader: FaultNode) -> None:
    lab.kill_store()
    time.sleep(2 * lab.lease_ms / 1000)
    lab.start_store()


def _kill_primary(lab: FaultLab, _leader: FaultNode) -> None:
    old = lab.store.primary()
    lab.kill_store(old.host)
    lab.wait_until(lambda: lab.store.primary() is not old, "a new primary", 40)


SERIES: Final = {
    "host-killed": Series("aof", True, FaultLab.kill_host),
    "power-off": Series("aof", True, FaultLab.power_off),
    "cable-pulled": Series("aof", True, FaultLab.pull_cable),
    "redis-killed": Series("aof", False, _kill_store),
    "sentinel-failover": Series("sentinel", False, _kill_primary),
    "switchover": Series("aof", True, _switch_over),
    "control-killed": Series("aof", True, FaultLab.kill_control),
}
NOW: Final = ("host-killed", "power-off", "cable-pulled", "redis-killed", "sentinel-failover")
"""Those that run unless others are named."""


class Measured(NamedTuple):
    """All runs of one series."""

    name: str
    times_ms: list[float]
    violations: list[str]

    def at(self, share: float) -> float:
        """The smallest time that at least this share of the runs did not exceed (nearest rank)."""
        ordered = sorted(self.times_ms)
        return ordered[max(0, -(-round(share * 1000 * len(ordered)) // 1000) - 1)]

    def sentence(self) -> str:
        """p50, p99 and max."""
        times = f"p50 {self.at(0.5):6.0f} ms   p99 {self.at(0.99):6.0f} ms   max {max(self.times_ms):6.0f} ms"
        return f"{self.name:<18} {len(self.times_ms):3} runs   {times}   {len(self.violations)} violations"


def measure(name: str, runs: int, folder: Path, tell: Callable[[str], object], **options: Any) -> Measured:
    """One series in a lab of its own."""
    series = SERIES[name]
    made = Measured(name, [], [])
    with FaultLab(folder, store=series.store, **options) as lab:
        lab.start()
        for run in range(1, runs + 1):
            # Every standby has watched for a lease, and no run keeps step with the heartbeats.
            time.sleep(lab.lease_ms / 1000 + 0.2 * run % 1.0)
            leader = lab.wait_for_leader()
            watch = lab.watched(name, every_ms=5)
            try:
                with watch:
                    made.times_ms.append(_one(lab, leader, series, watch))
                    watch.settle()
            except AssertionError:
                if len(made.times_ms) < run:
                    raise
            made.violations.extend(watch.verdict)
            lab.wait_until_healthy(within_s=60)
            tell(f"{name} {run}: {made.times_ms[-1]:.0f} ms")
    return made


def _one(lab: FaultLab, leader: FaultNode, series: Series, watch: Watch) -> float:
    time.sleep(0.3)
    sent_ns = time.monotonic_ns()
    series.act(lab, leader)
    if series.of_leader:
        answer = watch.eyes.wait_for_yes(sent_ns, other_than=leader.name, within_s=4 * lab.lease_ms / 1000 + 5)
        return (answer.received_ns - sent_ns) / 1e6
    watch.eyes.wait_for_yes(time.monotonic_ns(), other_than="", within_s=4 * lab.lease_ms / 1000 + 20)
    time.sleep(0.5)
    return watch.longest_silence_ms(sent_ns)


def main(words: list[str] | None = None) -> int:
    """The command line."""
    ask = argparse.ArgumentParser(prog="make faults-times", description=__doc__.splitlines()[0] if __doc__ else None)
    ask.add_argument("--runs", type=int, default=50)
    ask.add_argument("--series", default=",".join(NOW), help="of " + ", ".join(SERIES))
    ask.add_argument("--times", default="default", help="timing profile")
    ask.add_argument("--policy", default=None, help="cluster.quorumPolicy")
    ask.add_argument("--nodes", type=int, default=3)
    ask.add_argument("--server", default="redis-8")
    ask.add_argument("--results", type=Path, default=Path("build/faults/times.jsonl"))
    given = ask.parse_args(words)
    names = given.series.split(",")
    if unknown := set(names) - set(SERIES):
        ask.error(f"unknown series: {', '.join(sorted(unknown))}")
    if not CAN:
        print(WHY_NOT, file=sys.stderr)
        return 2
    options = {"times": given.times, "policy": given.policy, "nodes": given.nodes}
    all_measured = []
    given.results.parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        with tempfile.TemporaryDirectory(prefix="rppam-times-", ignore_cleanup_errors=True) as folder:
            kind = server_kind(given.server)
            measured = measure(name, given.runs, Path(folder), print, server=kind, **options)
        all_measured.append(measured)
        with given.results.open("a", encoding="utf-8") as file:
            row = {"series": name, **options, "server": given.server, "times_ms": measured.times_ms}
            file.write(json.dumps(row | {"violations": measured.violations}) + "\n")
    for measured in all_measured:
        print(measured.sentence())
    return 1 if any(measured.violations for measured in all_measured) else 0


if __name__ == "__main__":
    sys.exit(main())
