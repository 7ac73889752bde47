"""What tells a file from a changed one, without reading it. It promises nothing about who changed it."""

from os import stat_result
from pathlib import Path

FileStamp = tuple[int, int, int, int]
"""Times of modification and of change, size, inode. The change time, too: a file that may be read at last has no other
modification time."""


def stamp_of(status: stat_result) -> FileStamp:
    """The stamp of a file that was looked at."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def file_stamp(path: Path) -> FileStamp | None:
    """The stamp of the file at ``path``; ``None``: it cannot be looked at."""
    try:
        return stamp_of(path.stat())
    except OSError:
        return None
