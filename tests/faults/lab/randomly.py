"""Many random sequences, several nets at once: ``make faults-random SEQUENCES=200``.

One line of JSON a sequence is appended to the results file; a seed that stands there with a verdict is not run again,
so a run that was ended goes on where it was. Seeds that the lab itself failed on (no verdict) are tried again when all
others are through, and once more at the next start. Stores and policies take turns by seed. ``--write`` puts the
results into docs/reference/measurements.md. Exit codes: 0 every sequence has a verdict and none is a violation; 1 a
violation; 2 a sequence without a verdict, or usage.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks.machine import facts, load, machine, write_section
from tests.faults.lab.net import CAN, WHY_NOT, sweep
from tests.faults.lab.sequences import GENERATOR
from tests.faults.lab.stores import KINDS

LONGEST_S: Final = 240.0
POLICIES: Final = ("last-man-standing", "majority")
RECORD: Final = "record"
"""In place of a policy: members do not vote."""
ATTEMPTS: Final = 3
"""How often a sequence is begun, at one start of this program, when its lab fails."""


class Sequence(Protocol):
    """One sequence under way."""

    key: dict[str, Any]

    def result(self) -> dict[str, Any] | None:
        """The line for the results file, once it is over."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...


class Job:
    """One sequence in a process of its own."""

    def __init__(self, key: dict[str, Any], timelines: Path) -> None:
        self.key = key
        self.began = time.monotonic()
        words = [
            str(key["seed"]),
            key["store"],
            key["policy"] or "",
            str(key["nodes"]),
            "witness" if key["witness"] else "",
        ]
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.faults.lab.running", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"FAULT_TIMELINES": str(timelines)},
        )

    def result(self) -> dict[str, Any] | None:
        """The line for the results file, once it is over."""
        try:
            # It also reads: a violation comes with logs that a pipe could not hold.
            out, said = self._process.communicate(timeout=0.01)
        except subprocess.TimeoutExpired:
            if time.monotonic() - self.began < LONGEST_S:
                return None
            self._process.kill()
            out, said = self._process.communicate()
        try:
            found = json.loads(out.splitlines()[-1])
        except (IndexError, ValueError):
            found = {"outcome": "error", "why": f"it ended with code {self._process.returncode}", "said": said[-4_000:]}
        found["seconds"] = round(time.monotonic() - self.began, 1)
        return {**self.key, "at": datetime.now(UTC).isoformat(timespec="seconds"), **found}

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def keys(
    first: int, count: int, stores: list[str], policies: list[str | None], nodes: int, *, witness: bool = False
) -> Iterator[dict[str, Any]]:
    """What each seed is run with."""
    ways = list(product(policies, stores))
    for seed in range(first, first + count):
        policy, store = ways[seed % len(ways)]
        named = {"generator": GENERATOR, "seed": seed, "store": store, "policy": policy}
        yield {**named, "nodes": nodes, "witness": witness}


def judged(results: Path) -> list[dict[str, Any]]:
    """The lines that have a verdict. A last line that was cut off by a crash has none."""
    found = []
    for line in results.read_text(encoding="utf-8").splitlines() if results.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if has_verdict(row):
            found.append(row)
    return found


def same(key: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether a result is that of a key."""
    return all(row.get(name) == value for name, value in key.items())


def has_verdict(row: dict[str, Any]) -> bool:
    """Whether the lab could judge."""
    return row.get("outcome") in ("ok", "violation")


def run(
    todo: list[dict[str, Any]],
    results: Path,
    nets: int,
    start: Callable[[dict[str, Any], Path], Sequence] = Job,
    apart_s: float = 1.0,
) -> list[dict[str, Any]]:
    """Run them all, ``nets`` at a time; every line that was written."""
    results.parent.mkdir(parents=True, exist_ok=True)
    if results.exists() and (text := results.read_bytes()) and not text.endswith(b"\n"):
        results.write_bytes(text + b"\n")
    waiting: list[tuple[dict[str, Any], int]] = [(key, 1) for key in todo]
    under_way: list[tuple[Sequence, int]] = []
    done: list[dict[str, Any]] = []
    verdicts = 0
    try:
        with results.open("a", encoding="utf-8") as file:
            while waiting or under_way:
                while waiting and len(under_way) < nets:
                    key, attempt = waiting.pop(0)
                    under_way.append((start(key, results.parent), attempt))
                    time.sleep(apart_s)  # so that two do not boot their nodes in the same second
                for job, attempt in list(under_way):
                    if (row := job.result()) is None:
                        continue
                    under_way.remove((job, attempt))
                    done.append(row)
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    verdicts += has_verdict(row)
                    print(f"{verdicts}/{len(todo)}  {sentence(row)}", flush=True)
                    if not has_verdict(row) and attempt < ATTEMPTS:
                        waiting.append((job.key, attempt + 1))
                time.sleep(0.2)
    finally:
        for job, _ in under_way:
            job.kill()
        sweep()
    return done


def sentence(row: dict[str, Any]) -> str:
    """One result for people."""
    name = f"seed {row['seed']} {row['store']}" + (f" {row['policy']}" if row["policy"] else "")
    if row["outcome"] == "ok":
        return (
            f"{name}: ok, {row['faults']} faults, {row['leaderships']} leaderships, "
            f"{row['writes_accepted']} guarded writes; a leader {row['leader_ms'] / 1000:.1f} s after the end of all"
        )
    if row["outcome"] == "violation":
        return f"{name}: VIOLATION: {'; '.join(row['violations'])}"
    return f"{name}: no verdict: {row['why']}"


def summary(rows: list[dict[str, Any]]) -> str:
    """All results in a few lines."""
    fine = [row for row in rows if row["outcome"] == "ok"]
    lines = [f"{len(rows)} sequences with a verdict, {len(rows) - len(fine)} with a violation."]
    if fine:
        waits = sorted(row["leader_ms"] for row in fine)
        counted = ("answers", "faults", "leaderships", "writes_accepted", "writes_unknown", "reads")
        totals = {name: sum(row[name] for row in fine) for name in counted}
        lines.append(
            "{faults:,} faults, {leaderships:,} leaderships, {answers:,} answers, {writes_accepted:,} guarded writes "
            "accepted and {writes_unknown:,} unknown, {reads:,} reads.".format(**totals)
        )
        late = waits[min(len(waits) - 1, len(waits) * 99 // 100)]
        lines.append(
            f"A leader after the end of all faults: p50 {waits[len(waits) // 2]:.0f} ms, p99 {late:.0f} ms, "
            f"max {waits[-1]:.0f} ms."
        )
    return "\n".join(lines)


def page(found: dict[str, str], rows: list[dict[str, Any]], nets: int) -> str:
    """The section of docs/reference/measurements.md."""
    lines = [
        "## Random faults",
        "",
        f"`make faults-random SEQUENCES={len(rows)} ARGS=--write`: sequences of 30 s, each on a cluster on hosts",
        f"of its own (network namespaces), {nets} at once. Every answer of every node, and every write and read of a",
        "note that the leader guards, is judged ([the fault lab](../operations/fault-lab.md)).",
        "",
        facts(found),
        "",
        "| Store | Policy | Nodes | Sequences | Faults | Leaderships | Violations |",
        "|---|---|---|---|---|---|---|",
    ]
    for way in sorted({_way(row) for row in rows}):
        mine = [row for row in rows if _way(row) == way]
        faults, leaderships = (sum(row.get(name, 0) for row in mine) for name in ("faults", "leaderships"))
        wrong = sum(row["outcome"] != "ok" for row in mine)
        lines.append(f"| {' | '.join(way)} | {len(mine)} | {faults:,} | {leaderships:,} | {wrong} |")
    servers = Counter(row["server"] for row in rows)
    ran_on = ", ".join(f"{server} in {count}" for server, count in sorted(servers.items()))
    return "\n".join([*lines, "", *summary(rows).splitlines(), f"Servers: {ran_on}."])


def _way(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["store"], row["policy"] or RECORD, f"{row['nodes']}{' and a witness' if row['witness'] else ''}"


def main(words: list[str] | None = None) -> int:
    """The command line."""
    ask = argparse.ArgumentParser(prog="make faults-random", description=__doc__.splitlines()[0] if __doc__ else None)
    ask.add_argument("--sequences", type=int, default=20, help="how many seeds")
    ask.add_argument("--first-seed", type=int, default=1)
    ask.add_argument("--stores", default=",".join(KINDS), help="of " + ", ".join(KINDS))
    ask.add_argument("--policies", default=",".join(POLICIES), help=f"of {', '.join([*POLICIES, RECORD])}")
    ask.add_argument("--nodes", type=int, default=3)
    ask.add_argument("--witness", action="store_true", help="and a member that only votes; needs policies")
    ask.add_argument("--nets", type=int, default=2, help="how many at once")
    ask.add_argument("--results", type=Path, default=Path("build/faults/random.jsonl"))
    ask.add_argument("--write", action="store_true", help="also write the section of docs/reference/measurements.md")
    given = ask.parse_args(words)
    stores, policies = given.stores.split(","), given.policies.split(",")
    if unknown := (set(stores) - set(KINDS)) | (set(policies) - {*POLICIES, RECORD}):
        ask.error(f"unknown: {', '.join(sorted(unknown))}")
    if not CAN:
        print(WHY_NOT, file=sys.stderr)
        return 2
    if given.witness and RECORD in policies:
        ask.error("a witness votes: name policies in which members do")
    named: list[str | None] = [None if policy == RECORD else policy for policy in policies]
    wanted = list(keys(given.first_seed, given.sequences, stores, named, given.nodes, witness=given.witness))
    had = judged(given.results)
    todo = [key for key in wanted if not any(same(key, row) for row in had)]
    if len(todo) < len(wanted):
        print(f"{len(wanted) - len(todo)} of {len(wanted)} stand in {given.results} already.")
    found = machine()
    run(todo, given.results, given.nets)
    rows = [row for row in judged(given.results) if any(same(key, row) for key in wanted)]
    print(summary(rows))
    if given.write and rows:
        write_section("random faults", page(found | {"load after": load()}, rows, given.nets))
    if any(row["outcome"] == "violation" for row in rows):
        return 1
    return 0 if len(rows) >= len(wanted) else 2


if __name__ == "__main__":
    sys.exit(main())
