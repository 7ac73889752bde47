"""Runs the tests as ``make test`` does: side by side, then those that want the machine for themselves.

A test that fails is tried once more, with no other beside it: real servers, clocks and deadlines share two cores with
their neighbours here. Whatever passes only then is named. More than a handful of failures are no noise, and end the run
at once; so does a second failure. Ends with pytest's exit code.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

FEW = 6
"""More failures than this are not tried again."""
FAILED, NO_TESTS = 1, 5
"""Exit codes of pytest."""
UNIT = "not integration and not server and not slow and not alone and not sentinel"
LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", default=["tests"])
    parser.add_argument("--jobs", default="2", help="tests at a time")
    parser.add_argument("--unit", action="store_true", help="only what needs no server, socket or other process")
    options = parser.parse_args()
    if options.unit:
        return tried(*options.paths, "-n", options.jobs, "--dist", "worksteal", "-m", UNIT)
    code = tried(*options.paths, "-n", options.jobs, "--dist", "worksteal", "-m", "not alone and not sentinel")
    return code or tried(*options.paths, "-m", "alone and not sentinel")


def tried(*words: str) -> int:
    """Run tests, and those that failed once more; 0 when all of them passed."""
    LAST_FAILED.unlink(missing_ok=True)
    code = pytest(*words)
    failed = sorted(json.loads(LAST_FAILED.read_text())) if code == FAILED and LAST_FAILED.exists() else []
    if 0 < len(failed) <= FEW:
        print(f"\n{len(failed)} failed; once more, one at a time:\n  " + "\n  ".join(failed), flush=True)
        code = pytest(*failed)
        if code == 0:
            print("\nNOISE: passed only the second time, so look at them:\n  " + "\n  ".join(failed), flush=True)
    return 0 if code == NO_TESTS else code


def pytest(*words: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", "--durations=20", *words], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
