"""A wall clock for each host, by the preloaded shim beside the other fault tests."""

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

SHIM: Final = Path(__file__).parents[1] / "clock_shim.c"


def build(folder: Path) -> Path | None:
    """The shim as a library below ``folder``; ``None`` without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    library = folder / "clock_shim.so"
    if compiler is None:
        return None
    if not library.exists():
        words = [compiler, "-O2", "-shared", "-fPIC", str(SHIM), "-o", str(library)]
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
