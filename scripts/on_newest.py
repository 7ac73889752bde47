"""The unit tests on the newest Python that the product is for, in `.venv/newest`, which `scripts/setup newest` makes.

Where `.venv` itself is of that Python nothing is left to do; where there is none it is said, and fails in CI.
"""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.bootstrap import NEWEST, NEWEST_VENV, ROOT

NAME = f"Python {NEWEST[0]}.{NEWEST[1]}"


def main() -> int:
    """Run them; an exit code."""
    python = NEWEST_VENV / "bin" / "python"
    if sys.version_info[:2] >= NEWEST:
        print(f"{NAME}: all tests run on it, as .venv is of it")
        return 0
    if not python.exists():
        print(f"{NAME}: skipped, as there is none; as root: apt-get install python{NEWEST[0]}.{NEWEST[1]}")
        return 1 if os.environ.get("CI") else 0
    command = [str(python), "scripts/run_tests.py", "--unit", "--all", "--jobs", "0", "--hypothesis-profile", "quick"]
    command += ["--patient", "--cache", ".pytest_cache/newest"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
