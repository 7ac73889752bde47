"""The gate's simulation: ``make sim-gate``. Shares SEEDS runs out over every policy, size and store.

One process after another, each on all cores. Ends with exit code 1 at the first violation.
"""

import argparse
import subprocess
import sys

SHARES = (
    (12, "--nodes 2"),
    (14, "--nodes 3"),
    (8, "--nodes 5"),
    (4, "--nodes 3 --store sentinel"),
    (2, "--nodes 3 --profile default"),
    (8, "--policy last-man-standing --nodes 2"),
    (8, "--policy last-man-standing --nodes 3"),
    (2, "--policy last-man-standing --nodes 4"),
    (2, "--policy last-man-standing --nodes 5"),
    (6, "--policy last-man-standing --nodes 3 --store sentinel"),
    (10, "--policy majority --nodes 3"),
    (8, "--policy majority --nodes 2 --witnesses 1"),
    (2, "--policy majority --nodes 4"),
    (2, "--policy majority --nodes 4 --witnesses 1"),
    (2, "--policy majority --nodes 5 --store sentinel"),
    (2, "--policy majority --nodes 3 --store sentinel"),
    (1, "--policy majority --nodes 7"),
    (1, "--policy majority --nodes 5 --witnesses 1"),
    (1, "--policy majority --nodes 6"),
    (1, "--policy majority --nodes 3 --witnesses 1"),
    (1, "--policy last-man-standing --nodes 6"),
    (1, "--policy last-man-standing --nodes 7"),
    (1, "--policy last-man-standing --nodes 2 --witnesses 1"),
    (1, "--policy majority --nodes 3 --profile default"),
)
"""In hundredths of all seeds."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="runs in all")
    parser.add_argument("--hours", default="1", help="simulated hours of each")
    options = parser.parse_args()
    for share, setting in SHARES:
        seeds = max(1, options.seeds * share // 100)
        command = [sys.executable, "-m", "rppam", "simulate", "--seeds", str(seeds), "--hours", options.hours]
        answer = subprocess.run([*command, *setting.split()], check=False)
        if answer.returncode:
            return answer.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
