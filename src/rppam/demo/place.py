"""The folder where a demo keeps its files; two demos never share one.

Without ``--dir`` it is a new folder in the system's temporary one, removed at the end. With ``--dir DIR`` it is
``DIR/rppam-demo``, which stays for the next time; nothing else in DIR is touched. A lock on a file in it says that a
demo runs. The kernel drops it however the demo ends, so the next demo recognises and removes the temporary folder of
one that was killed.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from rppam.setup.errors import DemoError

PREFIX: Final = "rppam-demo-"
BELOW: Final = "rppam-demo"
_LOCK: Final = "lock"


@contextmanager
def workplace(directory: Path | None) -> Iterator[Path]:
    """The folder to write to, mode 0700, locked. Raises :class:`DemoError` when it cannot be had."""
    if directory is None:
        _remove_orphans()
        place = Path(tempfile.mkdtemp(prefix=PREFIX))
    else:
        place = directory.absolute() / BELOW
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.chmod(0o700)  # keys and passwords of the demo lie here
        except OSError as error:
            raise DemoError(f"--dir {directory}: the folder {place} cannot be made: {error.strerror}") from error
    try:
        lock = _lock(place)
        if lock is None:
            raise DemoError(f"--dir {directory}: another demo is running in {place}; end it or choose another folder")
        try:
            yield place
        finally:
            os.close(lock)
    finally:
        if directory is None:
            shutil.rmtree(place, ignore_errors=True)


def _lock(place: Path) -> int | None:
    """An open descriptor that holds the lock, or ``None`` while another process does. Raises :class:`DemoError`."""
    if sys.platform == "win32":  # the command refuses to run there
        raise NotImplementedError
    import fcntl

    try:
        descriptor = os.open(place / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
    except OSError as error:
        fix = "remove what stands there, or choose another folder with --dir"
        raise DemoError(f"{place / _LOCK} cannot be locked: {error.strerror}; {fix}") from error
    return descriptor


def _remove_orphans() -> None:
    """Remove the folders of killed demos: ours by owner and name, with a lock that no process holds."""
    if sys.platform == "win32":  # the command refuses to run there
        raise NotImplementedError
    for place in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with suppress(OSError, DemoError):
            found = place.lstat()
            if found.st_uid != os.getuid() or place.is_symlink() or not (place / _LOCK).is_file():
                continue
            lock = _lock(place)
            if lock is not None:
                shutil.rmtree(place, ignore_errors=True)
                os.close(lock)
