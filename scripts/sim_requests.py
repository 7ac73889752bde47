"""Requests for access, simulated: ``make sim-requests``. The first interleaving that breaks a rule is named.

Each seed is one interleaving of requesters, approvers, leaders and time; see ``src/rppam_sim/access_requests.py``.
"""

import argparse
import os
import sys
import time
from multiprocessing import get_context

from rppam_sim.access_requests import ViolatedError, play

SHARE = 2_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interleavings", type=int, default=1_000_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=0, help="processes at a time (0: one per core)")
    options = parser.parse_args()
    begun = time.monotonic()
    last = options.first_seed + options.interleavings
    shares = [(seed, min(seed + SHARE, last)) for seed in range(options.first_seed, last, SHARE)]
    commits = 0
    with get_context("fork").Pool(options.jobs or os.cpu_count()) as pool:
        for done, problem in pool.imap_unordered(_play_all, shares):
            if problem:
                print(problem, file=sys.stderr)
                return 1
            commits += done
    took = time.monotonic() - begun
    print(f"{options.interleavings} interleavings, {commits} transactions, {took:.0f} s: no rule was broken")
    return 0


def _play_all(share: tuple[int, int]) -> tuple[int, str]:
    commits = 0
    for seed in range(*share):
        try:
            commits += play(seed)
        except ViolatedError as error:
            return commits, f"seed {seed}: {error}"
    return commits, ""


if __name__ == "__main__":
    sys.exit(main())
