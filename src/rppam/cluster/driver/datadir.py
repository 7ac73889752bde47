"""The node's data directory: made private, and held by one process at a time.

The lock belongs to the open file, so the kernel frees it when the process dies, however it dies. The Windows variant is
type-checked and has not been run.
"""

import os
import sys
from pathlib import Path
from typing import Final

from rppam.cluster.errors import DataDirInUse, DataDirUnusable

LOCK_NAME: Final = "node.lock"
FIRST_ADMIN_FILE: Final = "first-admin-password"
"""Where the first administrator's password stands where there was no terminal to show it on."""

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class DataDir:
    """Holds the directory from construction to ``close``."""

    def __init__(self, path: Path) -> None:
        """Raises DataDirUnusable or DataDirInUse."""
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            raise DataDirUnusable(
                f"node.dataDir: expected a directory this account can write, found {path}: {error.strerror}. "
                f"Make it: install -d -m 700 -o rppam {path}"
            ) from None
        try:
            _lock(self._descriptor)
        except OSError:
            os.close(self._descriptor)
            raise DataDirInUse(
                f"another process on this host runs with node.dataDir {path}. "
                "Stop it ('systemctl status rppam' shows it), or give this node its own node.dataDir"
            ) from None

    def close(self) -> None:
        os.close(self._descriptor)


def is_in_use(path: Path) -> bool:
    """Whether a process of this host runs with that directory. Makes nothing."""
    try:
        descriptor = os.open(path / LOCK_NAME, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return False
    try:
        _lock(descriptor)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
