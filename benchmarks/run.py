"""All benchmarks, one after the other: ``make bench ARGS=--json``. Options go to each of them."""

import subprocess
import sys
from pathlib import Path

PROGRAMS = (
    "client.py",
    "rate_limits.py",
    "cache.py",
    "cost.py",
    "failover.py",
    "sentinel_failover.py",
    "saturation.py",
    "members.py",
    "settings.py",
    "requests.py",
    "sessions_under_fire.py",
)

if __name__ == "__main__":
    folder = Path(__file__).parent
    sys.exit(
        max(subprocess.run([sys.executable, folder / name, *sys.argv[1:]], check=False).returncode for name in PROGRAMS)
    )
