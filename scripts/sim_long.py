"""Simulates many cluster-hours in batches: `make sim-long`.

Each finished batch is one line of the results file; a batch that stands there already is not run again, so the run can
be ended and resumed at will. Cluster sizes 2 to 5 take turns. Ends with exit code 1 at the first violation.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

SIZES = (2, 3, 4, 5)
PROFILES = ("classic", "classic", "classic", "classic", "default", "classic", "classic", "classic", "classic", "lan")
"""In turn; all ratios are alike, and short leases cost more to simulate."""
SEEDS = {"classic": 250, "default": 30, "lan": 6}
"""Seeds, of one hour each, per batch."""
FIRST_SEED = 1_000_000
"""Far from the seeds of the gate."""


def batches():
    """``(size, profile, first seed, seeds)``, without end."""
    first = FIRST_SEED
    for number in range(10**9):
        profile = PROFILES[number // len(SIZES) % len(PROFILES)]
        yield SIZES[number % len(SIZES)], profile, first, SEEDS[profile]
        first += SEEDS[profile]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=20_000, help="cluster-hours in all")
    parser.add_argument("--results", type=Path, default=Path("build/sim-long.jsonl"))
    parser.add_argument("--jobs", type=int, default=0, help="processes at a time (0: one per core)")
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    lines = options.results.read_text().splitlines() if options.results.exists() else []
    done = {(row["nodes"], row["profile"], row["firstSeed"]): row for row in map(json.loads, lines)}
    hours = 0.0
    for nodes, profile, first, seeds in batches():
        row = done.get((nodes, profile, first)) or run(nodes, profile, first, seeds, options)
        hours += row["clusterHours"]
        if row["violation"] is not None:
            print("\n".join(row["violation"]["transcript"]))
            print(f"violation of {row['violation']['property']}: {nodes} nodes, profile {profile}, first seed {first}")
            return 1
        if hours >= options.hours:
            break
    rows = [json.loads(line) for line in options.results.read_text().splitlines()]
    seconds = sum(row["seconds"] for row in rows)
    print(f"{hours:.0f} cluster-hours of 2 to 5 nodes, no violation; {seconds / 3600:.2f} h of running in all")
    return 0


def run(nodes: int, profile: str, first: int, seeds: int, options: argparse.Namespace) -> dict:
    """One batch; its line is appended once it is complete."""
    command = [sys.executable, "-m", "rppam", "simulate", "--json", "--nodes", str(nodes), "--profile", profile]
    command += ["--first-seed", str(first), "--seeds", str(seeds)]
    if options.jobs:
        command += ["--jobs", str(options.jobs)]
    started = time.monotonic()
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with {answer.returncode}: {answer.stderr}")
    row = json.loads(answer.stdout)
    row["seconds"] = round(time.monotonic() - started, 1)
    row.pop("faults")
    with options.results.open("a") as results:
        results.write(json.dumps(row) + "\n")
    print(f"{nodes} nodes, {profile}, seeds {first} to {first + seeds - 1}: {row['seconds']} s", flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())
