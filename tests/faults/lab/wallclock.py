"""A wall clock for each host, by the preloaded shim beside the other fault tests."""

import shutil
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from tests.support.prefork import SHIM_NAME

SHIM: Final = Path(__file__).parents[1] / "clock_shim.c"
_places: Final[list[tempfile.TemporaryDirectory[str]]] = []
"""Where it is built; removed when this process ends."""


@cache
def build() -> Path | None:
    """The shim as a library, one for all that this process starts; ``None`` without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    _places.append(tempfile.TemporaryDirectory(prefix="rppam-shim-"))
    library = Path(_places[-1].name) / SHIM_NAME
    words = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", str(SHIM), "-o", str(library)]
    subprocess.run(words, check=True, timeout=60)
    return library


class WallClock:
    """One host's wall clock, for processes started with :attr:`environment`."""

    def __init__(self, library: Path | None, file: Path) -> None:
        self._file = file
        self.environment: Final = {"LD_PRELOAD": str(library), "CLOCK_SHIM_FILE": str(file)} if library else {}
        self.step(0)

    def step(self, seconds: int) -> None:
        """Set it this far from the machine's; processes that run see it at once."""
        self._file.touch()
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", seconds))
