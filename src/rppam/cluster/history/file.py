"""A node's history on disk: ``history.jsonl`` in the data directory, one entry a line, and the file before it.

The control process and the supervisor both append, a line at a time; whole lines of this size reach a local file in one
piece. Once the file is large, the control process begins a new one and keeps the one before: some thousand entries are
there at any time, and the disk is never filled.

What it does not promise: entries that came while the disk was full or stood still, and the last before a power cut.
Nothing waits for it, so leadership never depends on this disk.
"""

import asyncio
import json
import os
from datetime import date
from pathlib import Path
from typing import Any, Final

from rppam.cluster.admin.errors import HistoryUnreadable
from rppam.cluster.history.model import HistoryEntry, Past
from rppam.kernel.instant import WallMs

FILE_NAME: Final = "history.jsonl"
"""Its name in the data directory."""
BYTES_MAX: Final = 1024 * 1024
"""From this size on a new file is begun."""
FILE_MODE: Final = 0o640
WALL_MS_MAX: Final = 253_402_300_799_000
"""The end of the year 9999."""


class HistoryFile:
    """Where entries are written: a :class:`rppam.kernel.logging.Sink`. Runs on the thread that writes."""

    def __init__(self, path: Path, *, begins_anew: bool) -> None:
        """``begins_anew``: whether this writer begins a new file when it is large; one of a node's writers does."""
        self._path = path
        self._begins_anew = begins_anew

    def write(self, day: date, line: str) -> None:  # noqa: ARG002 - the same shape as other sinks
        """Append one entry. Raises ``OSError``: the entry is then lost."""
        # O_NOFOLLOW: whoever may write to the folder shall not aim our lines at another file.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(self._path, flags, FILE_MODE)
        try:
            size = os.fstat(descriptor).st_size
            if size and not _ends_a_line(self._path, size):  # a full disk cut the last one short
                line = "\n" + line
            os.write(descriptor, line.encode("utf-8", "backslashreplace") + b"\n")
        finally:
            os.close(descriptor)
        if self._begins_anew and size >= BYTES_MAX:
            self._path.replace(before(self._path))

    def close(self) -> None:
        """Nothing is kept open."""


class FileHistory:
    """Where entries are read: a :class:`rppam.cluster.history.ports.History`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def last(self, limit: int) -> Past:
        """See the port."""
        return await asyncio.to_thread(read_last, self._path, limit)


def read_last(path: Path, limit: int) -> Past:
    """At most the ``limit`` newest entries of the history at ``path``; none where there is no such file.

    Raises :class:`HistoryUnreadable`.
    """
    entries: list[HistoryEntry] = []
    unreadable = 0
    for part in (before(path), path):
        try:
            with part.open("rb") as file:
                data = file.read(4 * BYTES_MAX)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HistoryUnreadable(
                f"{part}: expected this node's history, found a file that cannot be read ({error.strerror}). "
                f"{HistoryUnreadable.row.remedy}"
            ) from None
        for line in data.splitlines():
            entry = _parse(line)
            if entry is not None:
                entries.append(entry)
            elif line.strip():
                unreadable += 1
    return Past(tuple(entries[-limit:]) if limit > 0 else (), unreadable)


def before(path: Path) -> Path:
    """Where the file before is kept."""
    return path.with_name(path.stem + ".1" + path.suffix)


def _ends_a_line(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"


def _parse(line: bytes) -> HistoryEntry | None:
    try:
        fields: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    at, event, sentence, told = (fields.get(name) for name in ("at", "event", "sentence", "facts"))
    if type(at) is not int or not 0 <= at <= WALL_MS_MAX or not isinstance(told, dict):
        return None
    if not isinstance(event, str) or not isinstance(sentence, str):
        return None
    return HistoryEntry(WallMs(at), event, sentence, told)
