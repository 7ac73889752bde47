"""Build the wheel and the source distribution into ``dist/``, and prove them: ``make build``.

The wheel is installed into an empty environment beside what ``requirements.lock`` names, and its command is run there;
the source distribution has to give the same wheel. Ends with exit code 1 and a sentence where one of them does not.
It publishes nothing.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Build, install, run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where the two files go")
    options = parser.parse_args()
    dist: Path = options.dist.resolve()
    shutil.rmtree(dist, ignore_errors=True)
    try:
        build(ROOT, dist, "wheel", "sdist")
        wheel, sdist = one(dist, "*.whl"), one(dist, "*.tar.gz")
        with tempfile.TemporaryDirectory(prefix="rppam-build-") as folder:
            same_from_source(wheel, sdist, Path(folder) / "source")
            installed(wheel, Path(folder) / "empty")
    except subprocess.CalledProcessError as error:
        print(f"build: {error.cmd[0]} ended with {error.returncode}\n{error.stdout or ''}{error.stderr or ''}")
        return 1
    except ValueError as error:
        print(f"build: {error}")
        return 1
    print(f"build: {wheel.name} and {sdist.name} in {dist}, installed into an empty environment and run")
    return 0


def build(source: Path, dist: Path, *targets: str) -> None:
    """Build ``targets`` of the project in ``source``."""
    words = [word for target in targets for word in ("-t", target)]
    run([sys.executable, "-m", "hatchling", "build", *words, "-d", str(dist)], source)


def same_from_source(wheel: Path, sdist: Path, folder: Path) -> None:
    """Build the wheel once more, from the source distribution. ValueError where it holds other files."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    build(one(folder, "*"), folder / "dist", "wheel")
    again = one(folder / "dist", "*.whl")
    if contents(again) != contents(wheel):
        raise ValueError(f"{sdist.name} gives another wheel than the checkout: {contents(again) ^ contents(wheel)}")


def contents(wheel: Path) -> set[tuple[str, int]]:
    """Name and checksum of each file of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {(file.filename, file.CRC) for file in archive.infolist()}


def installed(wheel: Path, folder: Path) -> None:
    """Install the wheel and what it needs into an empty environment, and run it there."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    run([*pip, "--require-hashes", "-r", str(ROOT / "requirements.lock")], folder)
    run([*pip, "--no-deps", str(wheel)], folder)
    for words in (["--version"], ["config", "check", "--help"]):
        run([str(folder / "bin" / "rppam"), *words], folder)
    if "simulate" in run([str(folder / "bin" / "rppam"), "--help"], folder):
        raise ValueError("the installed package has the simulator in it, which belongs to checkouts alone")
    look = "import rppam, pathlib; print(len(list(pathlib.Path(rppam.__file__).parent.rglob('*.lua'))))"
    scripts = int(run([python, "-I", "-c", look], folder))
    expected = len(list((ROOT / "src" / "rppam").rglob("*.lua")))
    if scripts != expected:
        raise ValueError(f"expected {expected} Lua scripts in the installed package, found {scripts}")


def one(folder: Path, pattern: str) -> Path:
    """The only file there. ValueError where there is none, or more."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise ValueError(f"expected one {pattern} in {folder}, found {len(found)}")
    return found[0]


def run(words: list[str], folder: Path) -> str:
    """What a command prints. Raises CalledProcessError."""
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
