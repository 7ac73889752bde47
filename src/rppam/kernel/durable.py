"""One small file, always the old one or the new one, and the new one once this has returned, even without power.

It is written beside its place, synced, renamed over it, and the directory is synced. Only this account can read it. Two
who write the same place at once are kept apart by their callers. What it does not promise: anything against a disk that
lies about syncing.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path


def replace_durably(path: Path, data: bytes | Callable[[int], bytes]) -> None:
    """Have ``path`` hold ``data``; returns when the disk has it. Raises :class:`OSError`: the old one or the new one
    stands there then.

    ``data`` may be made from the descriptor of the new file, which is empty at that moment."""
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data if isinstance(data, bytes) else data(descriptor))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Have the disk know the new name; Windows has no such call and does it by itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
