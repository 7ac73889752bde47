"""Simulates many cluster-hours in batches: `make sim-long`.

Each finished batch is one line of the results file; a batch that stands there already is not run again, so the run can
be ended and resumed at will, also days later: each line names the core that it ran (the statements of
``src/rppam/cluster/consensus``, whatever its texts say), and only lines of the present one count. Policies, sizes,
witnesses and stores take turns. Ends with exit code 1 at the first violation.
"""

import argparse
import ast
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import facts, machine, write_section
from scripts.compile_sim import compiled

Row = dict[str, Any]
"""What the simulation said of one batch."""

SETTINGS = (
    "--policy last-man-standing --nodes 2",
    "--policy majority --nodes 3",
    "--policy last-man-standing --nodes 3",
    "--policy majority --nodes 2 --witnesses 1",
    "--policy majority --nodes 5",
    "--policy last-man-standing --nodes 3 --store sentinel",
    "--policy majority --nodes 3 --store sentinel",
    "--policy majority --nodes 2 --witnesses 1 --store sentinel",
    "--policy majority --nodes 4 --witnesses 1",
    "--policy majority --nodes 4 --store sentinel",
    "--policy last-man-standing --nodes 4",
    "--policy last-man-standing --nodes 5",
    "--policy majority --nodes 6",
    "--policy last-man-standing --nodes 7",
    "--policy last-man-standing --nodes 6",
    "--policy last-man-standing --nodes 3 --witnesses 1",
    "--policy majority --nodes 3 --witnesses 1",
    "--policy majority --nodes 6 --witnesses 1",
    "--policy last-man-standing --nodes 2 --witnesses 1 --store sentinel",
    "--policy majority --nodes 5 --store sentinel",
    "--policy majority --nodes 7",
    "--policy record --nodes 2",
    "--policy record --nodes 3 --store sentinel",
    "--policy record --nodes 5",
    "--policy record --nodes 3",
    "--policy record --nodes 4",
)
"""In turn."""
PROFILES = (*("classic",) * 4, "default", *("classic",) * 4, "lan")
"""In turn, too. All ratios but Sentinel's are alike, and short leases cost more to simulate."""
SEEDS = {"classic": 100, "default": 10, "lan": 2}
"""Seeds, of one hour each, per batch."""
CORE = Path(__file__).parents[1] / "src" / "rppam" / "cluster" / "consensus"
RESULTS = Path("benchmarks/results/sim-long.jsonl")
FIRST_SEED = 1_000_000
"""Far from the seeds of the gate."""


def batches(policy: str) -> Iterator[tuple[str, str, int, int]]:
    """``(setting, profile, first seed, seeds)``, without end; of one policy alone unless it is empty."""
    first = FIRST_SEED
    for number in range(10**9):
        setting = SETTINGS[number % len(SETTINGS)]
        profile = PROFILES[number // len(SETTINGS) % len(PROFILES)]
        if fits(setting, policy):
            yield setting, profile, first, SEEDS[profile]
        first += SEEDS[profile]


def fits(setting: str, policy: str) -> bool:
    """Whether the setting is of the policy; every one is, of an empty one."""
    return not policy or f"--policy {policy} " in setting


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=50_000, help="cluster-hours in all")
    parser.add_argument("--policy", default="", help="only settings of this policy, for so many hours of it")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--compiled", action="store_true", help="first compile what decides; about twice as fast")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reference/measurements.md")
    parser.add_argument("--jobs", type=int, default=0, help="processes at a time (0: one per core)")
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    core = core_digest()
    done = {(row["setting"], row["profile"], row["firstSeed"]): row for row in rows_of(options.results, core)}
    mine = [row for row in done.values() if fits(row["setting"], options.policy)]
    if any(told(row) for row in mine):
        return 1
    if options.compiled:
        os.environ["PYTHONPATH"] = str(compiled())
    hours = sum(row["clusterHours"] for row in mine)
    for setting, profile, first, seeds in batches(options.policy):
        if hours >= options.hours:
            break
        if (setting, profile, first) not in done:
            row = run(setting, profile, first, seeds, options, core)
            if told(row):
                return 1
            hours += row["clusterHours"]
    rows = rows_of(options.results, core)
    seconds = sum(row["seconds"] for row in rows)
    print(
        f"{hours:.0f} cluster-hours in {len(SETTINGS)} settings, no violation; {seconds / 3600:.2f} h of running in all"
    )
    if options.write:
        write_section("simulation", page(rows))
    return 0


def rows_of(results: Path, core: str) -> list[Row]:
    """All batches of this core that stand in the file."""
    lines = results.read_text().splitlines() if results.exists() else []
    return [row for row in map(json.loads, lines) if row["core"] == core]


def told(row: Row) -> bool:
    """Whether there is a violation in the batch, which is printed then."""
    if row["violation"] is None:
        return False
    print("\n".join(row["violation"]["transcript"]))
    place = f"{row['setting']} --profile {row['profile']}, first seed {row['firstSeed']}"
    print(f"violation of {row['violation']['property']}: {place}")
    return True


def page(rows: list[Row]) -> str:
    """The section: what was simulated, by policy, size and store."""
    sums: dict[tuple[str, int, int, str], Row] = {}
    for row in rows:
        key = row["policy"] or "record", row["nodes"], row["witnesses"], row["store"]
        one = sums.setdefault(key, {"clusterHours": 0.0, "faultsStruck": 0, "promotions": 0, "violations": 0})
        for name in ("clusterHours", "faultsStruck", "promotions"):
            one[name] += row[name]
        one["violations"] += row["violation"] is not None
    lines = [
        "## Simulated time",
        "",
        '`make sim-long ARGS="--compiled --write"`: the production election in the world of',
        "[leadership.md](../leadership.md#what-the-simulation-is-and-is-not), every invariant checked at every step;",
        "each seed is an hour with faults and weather of its own. Nine tenths by the ratios of `classic`, the",
        "rest `default` and `lan`.",
        "",
        facts(machine()),
        "",
        "| Policy | Nodes + witnesses | Store | Cluster-hours | Faults | Leaderships | Violations |",
        "|---|---|---|---|---|---|---|",
    ]
    for (policy, nodes, witnesses, store), one in sorted(sums.items()):
        lines.append(
            f"| {policy} | {nodes} + {witnesses} | {store} | {one['clusterHours']:,.0f} | {one['faultsStruck']:,} "
            f"| {one['promotions']:,} | {one['violations']} |"
        )
    total = {name: sum(one[name] for one in sums.values()) for name in ("clusterHours", "faultsStruck", "promotions")}
    lines.append(
        f"| all | | | {total['clusterHours']:,.0f} | {total['faultsStruck']:,} | {total['promotions']:,} "
        f"| {sum(one['violations'] for one in sums.values())} |"
    )
    return "\n".join(lines)


def core_digest(folder: Path = CORE) -> str:
    """What the core does, in 16 digits: of its statements, whatever its comments and docstrings say."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        bare = ast.unparse(_Bare().visit(ast.parse(path.read_text(encoding="utf-8"))))
        digest.update(f"{path.name}\n{bare}\n".encode())
    return digest.hexdigest()[:16]


class _Bare(ast.NodeTransformer):
    """Takes the strings out that stand for themselves."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node


def run(setting: str, profile: str, first: int, seeds: int, options: argparse.Namespace, core: str) -> Row:
    """One batch; its line is appended once it is complete."""
    command = [sys.executable, "-m", "rppam", "simulate", "--json", "--profile", profile, *setting.split()]
    command += ["--first-seed", str(first), "--seeds", str(seeds)]
    if options.jobs:
        command += ["--jobs", str(options.jobs)]
    started = time.monotonic()
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with {answer.returncode}: {answer.stderr}")
    row: Row = json.loads(answer.stdout)
    row["setting"], row["core"] = setting, core
    row["seconds"] = round(time.monotonic() - started, 1)
    row.pop("faults")
    with options.results.open("a") as results:
        results.write(json.dumps(row) + "\n")
    print(f"{setting} --profile {profile}, seeds {first} to {first + seeds - 1}: {row['seconds']} s", flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())
