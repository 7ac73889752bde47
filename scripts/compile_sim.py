"""Compiles the deciding layers and the simulation to machine code, for long runs: ``make sim-long ARGS=--compiled``.

What is compiled is a copy, by mypyc, from the same files; modules whose objects are copied or sent to other processes
stay as they are. A seed does exactly what it does interpreted, about twice as fast; planted bugs run
interpreted only. Needs gcc and the Python headers.

What was compiled is kept for the account that did it, outside of the checkout, by what it was made of: those modules,
what they import, Python and mypy. Few changes touch that, so most of the time nothing is compiled in a new checkout.
"""

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rppam-compiled"
KEPT_MAX = 4
"""So many are kept, the last ones."""
PLACE = ROOT / "build" / "compiled"
PURE = ("rppam/cluster/consensus", "rppam/cache", "rppam/limits", "rppam_sim")
SIMULATED = ("rppam/cluster/consensus", "rppam_sim")
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

setup(name="compiled", packages=[], ext_modules=mypycify({words!r}, opt_level="2", debug_level="0"))
"""


def compiled(*, only_kept: bool = False) -> Path:
    """The folder to put first on the path; made anew where a source has changed since. Ends the program in trouble.

    ``only_kept``: it is trouble where something has to be compiled, too.
    """
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    mark = PLACE / f"done{suffix}"
    sources = sorted(SRC.rglob("*.py"))
    if mark.exists() and all(source.stat().st_mtime <= mark.stat().st_mtime for source in sources):
        return PLACE
    files = to_compile()
    kept = KEPT / digest(files)
    if only_kept and not kept.is_dir():
        raise SystemExit("nobody has compiled it as it is now, which `make check` does")
    shutil.rmtree(PLACE, ignore_errors=True)
    shutil.copytree(SRC, PLACE, ignore=shutil.ignore_patterns("__pycache__"))
    if kept.is_dir():
        shutil.copytree(kept, PLACE, dirs_exist_ok=True)
    else:
        _compile([str(file.relative_to(SRC)) for file in files])
        with suppress(OSError):  # it is compiled again next time
            _keep(kept)
    mark.touch()
    return PLACE


def to_compile() -> list[Path]:
    """The modules that decide, and the simulation."""
    pure = [path for folder in PURE for path in sorted((SRC / folder).rglob("*.py"))]
    files = [path for path in pure if path.parent.name not in {"cache", "limits"} or path.name in DECIDING]
    return [file for file in files if not file.name.endswith(AS_THEY_ARE)]


def digest(files: Iterable[Path]) -> str:
    """Of all that what is compiled of them depends on."""
    files = set(files)
    try:
        compiler = version("mypy")
    except PackageNotFoundError:
        compiler = "none"  # which is said when it is needed
    of_all = hashlib.sha256(f"{sys.version}\n{compiler}\n{SETUP}".encode())
    for file in sorted(_reached(files)):
        of_all.update(f"\n{file.relative_to(SRC)} {file in files}\n".encode() + file.read_bytes())
    return of_all.hexdigest()[:32]


def simulated_digest() -> str:
    """Of all sources that a simulated hour runs, whatever runs them: equal ones do the same with the same seed."""
    of_all = hashlib.sha256()
    for file in sorted(
        _reached(file for folder in SIMULATED for file in (SRC / folder).rglob("*.py") if file.name != "cli.py")
    ):
        of_all.update(f"\n{file.relative_to(SRC)}\n".encode() + file.read_bytes())
    return of_all.hexdigest()[:32]


def _reached(files: Iterable[Path]) -> set[Path]:
    """With all that they import, and what that imports."""
    seen = set(files)
    left = list(seen)
    while left:
        new = set(_imported(left.pop())) - seen
        seen |= new
        left += new
    return seen


def _imported(file: Path) -> Iterator[Path]:
    """The files of the sources that one imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            place = SRC / name.replace(".", "/")
            yield from (one for one in (place.with_suffix(".py"), place / "__init__.py") if one.exists())


def _compile(words: list[str]) -> None:
    """Compile the modules of these names in the copy."""
    print("compiling the simulation, for about two minutes ...", file=sys.stderr, flush=True)
    (PLACE / "setup.py").write_text(SETUP.format(words=words))
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    answer = subprocess.run(command, cwd=PLACE, capture_output=True, text=True, check=False)
    if answer.returncode:
        print((answer.stdout + answer.stderr)[-4000:], file=sys.stderr)
        raise SystemExit(
            "it could not be compiled; without --compiled it runs all the same. What compiling needs: "
            "apt-get install gcc python3-dev, .venv/bin/python -m pip install setuptools"
        )


def _keep(kept: Path) -> None:
    """Keep what was compiled, at once or not at all, and forget what has not been made lately."""
    new = kept.with_name(f"{kept.name}.{os.getpid()}")
    for library in PLACE.rglob("*.so"):
        within = library.relative_to(PLACE)
        if within.parts[0] != "build":
            (new / within).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(library, new / within)
    new.rename(kept)
    for old in sorted(KEPT.iterdir(), key=lambda one: -one.stat().st_mtime)[KEPT_MAX:]:
        shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    print(compiled())
