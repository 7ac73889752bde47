"""Find a seed that shows each planted bug and write them down: ``make plants``.

``tests/sim/plant_seeds.json`` spares the tests the search. A record that no longer shows its bug fails no test: the
search is made again there, and the test run says what to record.
"""

import argparse
import json
import os
import sys
from multiprocessing import get_context
from pathlib import Path

from rppam_sim.campaign import run_campaign
from rppam_sim.plants import PLANTS

RECORD = Path(__file__).parents[1] / "tests" / "sim" / "plant_seeds.json"
SEEDS = range(1_500)
"""Most plants fall in the first ten seeds; the subtlest takes some hundreds."""


def lowest_seed(name: str) -> tuple[str, int | None]:
    """The first seed that shows the bug, None where no seed does."""
    failure = run_campaign(PLANTS[name].where, name, SEEDS, jobs=1).failure
    return name, failure.seed if failure else None


def recorded() -> dict[str, int]:
    seeds: dict[str, int] = json.loads(RECORD.read_text(encoding="utf-8"))
    return seeds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="plants at a time")
    jobs = parser.parse_args().jobs
    found: dict[str, int] = {}
    with get_context("spawn").Pool(jobs) as pool:
        for name, seed in pool.imap_unordered(lowest_seed, sorted(PLANTS)):
            print(f"{name}: {'not found' if seed is None else f'seed {seed}'}", flush=True)
            if seed is not None:
                found[name] = seed
                RECORD.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    missing = sorted(set(PLANTS) - set(found))
    if missing:
        print(f"not found in {len(SEEDS)} seeds: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
