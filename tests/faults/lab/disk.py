"""A disk that can be frozen: an image file on a loop device. Needs root and loop devices."""

import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

MEGABYTES: Final = 32


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


class Disk:
    """Mounted at ``place``, whose path carries the net's tag so that a sweep finds it, until :meth:`close`."""

    def __init__(self, place: Path) -> None:
        self.place: Final = place
        self._image: Final = place.with_suffix(".img")
        place.mkdir(parents=True)
        with self._image.open("wb") as file:
            file.truncate(MEGABYTES << 20)
        _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0", str(self._image))
        _run("mount", "-o", "loop", str(self._image), str(place))

    def freeze(self) -> None:
        """Whoever writes or syncs, waits."""
        _run("fsfreeze", "--freeze", str(self.place))

    def thaw(self) -> None:
        """Go on. No error when it is not frozen."""
        subprocess.run(["fsfreeze", "--unfreeze", str(self.place)], capture_output=True, check=False, timeout=30)

    def close(self) -> None:
        """Thaw and unmount. Its users must be dead or die soon."""
        self.thaw()
        subprocess.run(["umount", "--lazy", str(self.place)], capture_output=True, check=False, timeout=30)
        self._image.unlink(missing_ok=True)


@cache
def why_not() -> str:
    """Why no such disk can be made here; empty when it can."""
    with TemporaryDirectory(prefix="rpf-disk-") as folder:
        try:
            disk = Disk(Path(folder) / "probe")
        except OSError as error:
            return str(error)
        disk.close()
    return ""
