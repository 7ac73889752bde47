"""Compiles the deciding layers and the simulation to machine code, for long runs: ``make sim-long ARGS=--compiled``.

What is compiled is a copy, by mypyc, from the same files; modules whose objects are copied or sent to other processes
stay as they are. A seed does exactly what it does interpreted, about twice as fast; planted bugs run
interpreted only. Needs gcc and the Python headers.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "compiled"
PURE = ("rppam/cluster/consensus", "rppam/cache", "rppam/limits", "rppam_sim")
DECIDING = {"coherence.py", "minimum_revisions.py", "arithmetic.py"}
"""Of the cache and the limits, which also hold what touches the world."""
AS_THEY_ARE = (
    "__init__.py",
    "campaign.py",
    "cli.py",
    "membership.py",
    "messages.py",
    "plants.py",
    "record.py",
    "setting.py",
    "shortcuts.py",
    "status.py",
    "store.py",
    "timing.py",
)
SETUP = """from mypyc.build import mypycify
from setuptools import setup

setup(name="compiled", packages=[], ext_modules=mypycify({words!r}, opt_level="2"))
"""


def compiled() -> Path:
    """The folder to put first on the path; made anew where a source has changed since. Ends the program in trouble."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    mark = PLACE / f"done{suffix}"
    sources = sorted((ROOT / "src").rglob("*.py"))
    if mark.exists() and all(source.stat().st_mtime <= mark.stat().st_mtime for source in sources):
        return PLACE
    print("compiling the simulation, for about a minute and a half ...", file=sys.stderr, flush=True)
    shutil.rmtree(PLACE, ignore_errors=True)
    shutil.copytree(ROOT / "src", PLACE, ignore=shutil.ignore_patterns("__pycache__"))
    pure = [path for folder in PURE for path in sorted((PLACE / folder).rglob("*.py"))]
    files = [path for path in pure if path.parent.name not in {"cache", "limits"} or path.name in DECIDING]
    words = [str(path.relative_to(PLACE)) for path in files if not path.name.endswith(AS_THEY_ARE)]
    (PLACE / "setup.py").write_text(SETUP.format(words=words))
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    answer = subprocess.run(command, cwd=PLACE, capture_output=True, text=True, check=False)
    if answer.returncode:
        print((answer.stdout + answer.stderr)[-4000:], file=sys.stderr)
        raise SystemExit(
            "it could not be compiled; without --compiled it runs all the same. What compiling needs: "
            "apt-get install gcc python3-dev, .venv/bin/python -m pip install setuptools"
        )
    mark.touch()
    return PLACE


if __name__ == "__main__":
    print(compiled())
