"""One fault again and again, timed: ``make faults-times RUNS=50``; p50, p99 and the largest of each series.

What is timed, in ms, from just before the deed:

* a fault of the leader (its host killed, its cable pulled, ...): until *another* node's answer that it leads is here;
* a fault of the store: the longest time without an answer of any node that it leads, until all is well again.

Between runs everything heals, and every node watches for a lease. Several labs run at once, each a process that does
one series; what stands in the results file is not run again (:mod:`~tests.faults.lab.repeated`). ``--write`` puts the
table into docs/reference/measurements.md. Exit codes: 0 all runs were timed and nothing was violated; 1 a violation, or
a leader changed that should not have; 2 runs are missing, or usage.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.machine import facts, load, machine, write_section
from benchmarks.ranks import nearest_rank
from rppam.cluster.consensus.timing import PROFILES
from tests.faults.lab.cluster import FaultLab, FaultNode, server_kind
from tests.faults.lab.net import CAN, WHY_NOT
from tests.faults.lab.repeated import Plan, kept, of_key, rows_of
from tests.faults.lab.watch import Watch


class Series(NamedTuple):
    """One thing to measure."""

    store: str
    of_leader: bool
    """It happens to the leader, and another node is waited for; else it happens to the store, and nobody should."""
    act: Callable[[FaultLab, FaultNode], object]
    words: str
    bound_ms: int | None
    """What p99 should not exceed; beyond the lease when :attr:`waits_out` is set. ``None``: no figure is promised."""
    waits_out: bool = False
    """The lease has to be waited out."""


def _kill_store(lab: FaultLab, _leader: FaultNode) -> None:
    lab.kill_store()
    time.sleep(1.25 * lab.lease_ms / 1000)  # whoever lived by the store alone would have lost its lease
    lab.start_store()


def _kill_primary(lab: FaultLab, _leader: FaultNode) -> None:
    old = lab.store.primary()
    lab.kill_store(old.host)
    lab.wait_until(lambda: lab.store.primary() is not old, "a new primary", 40)


SERIES: Final = {
    "switchover": Series("aof", True, FaultLab.switch_over, "switchover", 100),
    "control-killed": Series("aof", True, FaultLab.kill_control, "`kill -9` of the control process", 500),
    "host-killed": Series("aof", True, FaultLab.kill_host, "`kill -9` of everything on the host", 500, True),
    "power-off": Series("aof", True, FaultLab.power_off, "the host loses power", 500, True),
    "cable-pulled": Series("aof", True, FaultLab.pull_cable, "cable pulled", 500, True),
    "redis-killed": Series("aof", False, _kill_store, "Redis killed, back after 1.25 leases", None),
    "sentinel-failover": Series("sentinel", False, _kill_primary, "primary killed, Sentinel fails over", None),
}
USUAL: Final = ("sentinel-failover", "redis-killed", "host-killed", "cable-pulled", "control-killed", "switchover")
"""Those that run unless others are named, the longest first."""
POLICY_OF: Final = {"aof": "last-man-standing", "sentinel": "majority"}
"""What a node does by default."""
RECORD: Final = "record"
TIMED: Final = "ms"
"""What a run has that was timed."""


class Key(NamedTuple):
    """What the runs of one series have in common."""

    series: str
    times: str
    policy: str
    nodes: int
    server: str


class Measured(NamedTuple):
    """All runs of one series."""

    key: Key
    times_ms: list[float]
    changes: int
    """Runs after which another node led."""
    violations: list[str]

    @property
    def series(self) -> Series:
        """What was done."""
        return SERIES[self.key.series]

    @property
    def bound_ms(self) -> int | None:
        """What p99 should not exceed."""
        if self.series.bound_ms is None or not self.series.waits_out:
            return self.series.bound_ms
        return self.series.bound_ms + PROFILES[self.key.times].lease_ms

    @property
    def failures(self) -> list[str]:
        """What must not be, whatever the times are."""
        if self.series.of_leader or not self.changes:
            return self.violations
        return [*self.violations, f"{self.changes} times another node led afterwards"]

    def at(self, share: float) -> float:
        """The smallest time that at least this share of the runs did not exceed (nearest rank)."""
        return nearest_rank(self.times_ms, share)

    def sentence(self) -> str:
        """p50, p99 and max."""
        times = f"p50 {self.at(0.5):6.0f} ms   p99 {self.at(0.99):6.0f} ms   max {max(self.times_ms):6.0f} ms"
        changed = "" if self.series.of_leader else f"   {self.changes} leader changes"
        return (
            f"{self.key.series:<18} {len(self.times_ms):3} runs   {times}   {len(self.violations)} violations{changed}"
        )


def measure(key: Key, runs: int, folder: Path, keep: Callable[[dict[str, Any]], object]) -> None:
    """One series in a lab of its own; each run is kept at once. Raises what the lab itself raises."""
    series = SERIES[key.series]
    policy = None if key.policy == RECORD else key.policy
    server = server_kind(key.server)
    with FaultLab(folder, store=series.store, times=key.times, policy=policy, nodes=key.nodes, server=server) as lab:
        lab.start()
        for run in range(1, runs + 1):
            # Every standby has watched for a lease, and no run keeps step with the heartbeats.
            time.sleep(lab.lease_ms / 1000 + 0.2 * run % 1.0)
            leader = lab.wait_for_leader()
            watch = lab.watched(f"{key.series} {key.times}", every_ms=5)
            began = time.monotonic()
            took_ms: float | None = None
            try:
                with watch:
                    took_ms = _one(lab, leader, series, watch)
                    watch.settle()
            except AssertionError:
                if took_ms is None:  # nobody led in time: a result, after which this lab is good for nothing
                    late_ms = round(1000 * (time.monotonic() - began))
                    keep({"ms": late_ms, "changed": True, "violations": watch.verdict})
                    raise
            lab.wait_until_healthy(within_s=60)
            changed = lab.wait_for_leader() is not leader
            keep({"ms": round(took_ms or 0.0, 1), "changed": changed, "violations": watch.verdict})


def _one(lab: FaultLab, leader: FaultNode, series: Series, watch: Watch) -> float:
    time.sleep(0.3)
    sent_ns = time.monotonic_ns()
    series.act(lab, leader)
    if series.of_leader:
        answer = watch.eyes.wait_for_yes(sent_ns, other_than=leader.name, within_s=4 * lab.lease_ms / 1000 + 5)
        return (answer.received_ns - sent_ns) / 1e6
    watch.eyes.wait_for_yes(time.monotonic_ns(), other_than="", within_s=4 * lab.lease_ms / 1000 + 20)
    time.sleep(0.5)
    return watch.longest_wait_ms(sent_ns)


# ---- results --------------------------------------------------------------------------------------------------------


def measured(key: Key, rows: Iterable[dict[str, Any]], runs: int) -> Measured:
    """The first ``runs`` runs of a series among all rows, and every violation of them."""
    mine = of_key(key, rows)[:runs]
    violations = [sentence for row in mine for sentence in row["violations"]]
    return Measured(key, [row["ms"] for row in mine], sum(row["changed"] for row in mine), violations)


def page(found: dict[str, str], all_measured: Iterable[Measured], command: str) -> str:
    """The section of docs/reference/measurements.md."""
    lines = [
        "## Times of each fault",
        "",
        f"`{command}`: real nodes, each on a host of its own",
        "(a network namespace), each asked every 5 ms. A fault of the leader: from just before it until the first",
        "answer of another node that it leads. A fault of the store, which shall change no leader: the longest time",
        "without an answer of any node that it leads. p99 is the nearest rank.",
        "",
        facts(found),
        "",
        "| Fault | Profile (lease) | Policy | Runs | p50 | p99 | max | p99 at most | met | changes | violations |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in all_measured:
        key, bound = one.key, one.bound_ms
        met = "-" if bound is None else "yes" if one.at(0.99) <= bound else "no"
        shown = "-" if bound is None else f"{bound} ms"
        lines.append(
            f"| {one.series.words} | {key.times} ({PROFILES[key.times].lease_ms} ms) | {key.policy} "
            f"| {len(one.times_ms)} | {one.at(0.5):.0f} ms | {one.at(0.99):.0f} ms | {max(one.times_ms):.0f} ms "
            f"| {shown} | {met} | {'one each' if one.series.of_leader else one.changes} | {len(one.violations)} |"
        )
    return "\n".join(lines)


# ---- running --------------------------------------------------------------------------------------------------------


def run_here(key: Key, runs: int, results: Path) -> None:
    """Time so many runs in this process."""

    def keep(row: dict[str, Any]) -> None:
        kept(key, row, results, f"{key.series}: {row['ms']:.0f} ms")

    with tempfile.TemporaryDirectory(prefix="rppam-times-", ignore_cleanup_errors=True) as folder:
        measure(key, runs, Path(folder), keep)


def words_of(key: Key) -> list[str]:
    """The command line that times one series in its own process."""
    words = ["--only", key.series, "--times", key.times, "--policy", key.policy, "--nodes", str(key.nodes)]
    return [*words, "--server", key.server]


def _asked(words: list[str] | None) -> tuple[argparse.Namespace, list[Key]]:
    ask = argparse.ArgumentParser(prog="make faults-times", description=__doc__.splitlines()[0] if __doc__ else None)
    ask.add_argument("--runs", type=int, default=50, help="of each series")
    ask.add_argument("--series", default=",".join(USUAL), help="of " + ", ".join(SERIES))
    ask.add_argument("--only", default="", help="this one, in this process, so many times more")
    ask.add_argument("--times", default="default", help=f"timing profiles, of {', '.join(PROFILES)}")
    ask.add_argument("--policy", default="", help=f"cluster.quorumPolicy, or '{RECORD}'; empty: the store's default")
    ask.add_argument("--nodes", type=int, default=3)
    ask.add_argument("--server", default="redis-8")
    ask.add_argument("--labs", type=int, default=2, help="how many at once")
    ask.add_argument("--results", type=Path, default=Path("build/faults/times.jsonl"))
    ask.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    given = ask.parse_args(words)
    names, profiles = (given.only or given.series).split(","), given.times.split(",")
    if unknown := set(names) - set(SERIES):
        ask.error(f"unknown series: {', '.join(sorted(unknown))}")
    if unknown := set(profiles) - set(PROFILES):
        ask.error(f"unknown times: {', '.join(sorted(unknown))}")
    if given.policy not in {"", RECORD, *POLICY_OF.values()}:
        ask.error(f"unknown policy: {given.policy}")
    keys = [
        Key(name, times, given.policy or POLICY_OF[SERIES[name].store], given.nodes, given.server)
        for times in profiles
        for name in names
    ]
    return given, keys


def main(words: list[str] | None = None) -> int:
    """The command line."""
    given, keys = _asked(words)
    if not CAN:
        print(WHY_NOT, file=sys.stderr)
        return 2
    if given.only:
        run_here(keys[0], given.runs, given.results)
        return 0
    found = machine()
    Plan("tests.faults.lab.series", words_of, given.runs, given.results, TIMED).carry_out(keys, given.labs)
    rows = rows_of(given.results, TIMED)
    every = [measured(key, rows, given.runs) for key in sorted(keys, key=lambda key: list(SERIES).index(key.series))]
    some = [one for one in every if one.times_ms]
    if given.write and some:
        found |= {"server": given.server, "labs at once": str(given.labs), "load after": load()}
        write_section("faults", page(found, some, f"make faults-times RUNS={given.runs} ARGS=--write"))
    for one in some:
        print("\n".join([one.sentence(), *(f"  {sentence}" for sentence in one.failures)]))
    if any(one.failures for one in some):
        return 1
    return 0 if all(len(one.times_ms) >= given.runs for one in every) else 2


if __name__ == "__main__":
    sys.exit(main())
