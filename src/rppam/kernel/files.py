"""Small files: replaced durably, told from changed ones without reading them, and on which file system they lie."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rppam.kernel.errors import RppamError

FileStamp = tuple[int, int, int, int]
"""Times of modification and of change, size, inode. The change time, too: a file that becomes readable keeps its
modification time."""
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def replace_durably(path: Path, data: bytes | Callable[[int], bytes]) -> None:
    """Have ``path`` hold ``data``; returns when the disk has it, so that it survives a power cut.

    It is written beside its place, synced, renamed over it, and the directory is synced; only this account can read it.
    Raises :class:`OSError`: the old file or the new one stands there then. ``data`` may be made from the descriptor of
    the new file, which is empty at that moment. Callers keep two writers of one place apart. What it does not promise:
    anything against a disk that lies about syncing.
    """
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data if isinstance(data, bytes) else data(descriptor))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Have the disk know what was written to a file. Raises :class:`OSError`."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Have the disk know the new name; Windows has no such call and does it by itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stamp_of(status: os.stat_result) -> FileStamp:
    """The stamp of a file from its status."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def file_stamp(path: Path) -> FileStamp | None:
    """The stamp of the file at ``path``; ``None``: its status cannot be read."""
    try:
        return stamp_of(path.stat())
    except OSError:
        return None


def why_not(error: Exception) -> str:
    """Why changed files cannot be used, for an administrator: an error of ours as it is, of others what helps."""
    if isinstance(error, RppamError):
        return str(error)
    return (
        f"expected to read what changed, found: {type(error).__name__}: {error}. It is tried again at the next look; "
        "where threads or files run short, raise the service's limits (TasksMax, LimitNOFILE)"
    )


def mounted(path: Path, mountinfo: str) -> tuple[str, str]:
    """Mount point and type of the file system that ``path`` stands on, or would (proc(5), mountinfo)."""
    path = path.absolute().resolve()
    best = ("", "")
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        words = fields.split(" ")
        if len(words) < 5 or not rest:
            continue
        point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), words[4])
        if path.is_relative_to(point) and len(point) >= len(best[0]):  # a later mount covers an earlier one
            best = point, rest.split(" ")[0]
    return best
