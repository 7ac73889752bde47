"""A node's history: what happened to its cluster, in a file of its own, ``history.jsonl`` in the data directory.

Decides which log records belong to it (they carry a ``HistoryEvent``), how they look there (one line of JSON each), and
the names that scripts may rely on; sentences are for people, and may be worded otherwise in another release. Records
take the same way as log lines, over a bounded queue to a thread of their own, so a disk that hangs stalls neither the
leader nor the supervisor.

The control process and the supervisor both append, a line at a time; whole lines of this size reach a local file in one
piece. Once the file is large, the control process begins a new one and keeps the one before: some thousand entries are
there at any time, and the disk is never filled.

What it does not promise: entries that came while the disk was full or stood still, and the last before a power cut.
Nothing waits for it, so leadership never depends on this disk.

Use::

    log.warning("stepped down", extra=noted(HistoryEvent.STEPPED_DOWN, epoch=7))
"""

import json
import logging
import os
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from rppam.cluster.admin.errors import HistoryUnreadable
from rppam.kernel.instant import WallMs
from rppam.kernel.logging import QueuedHandler, Sink, facts, one_line, properties_of, sentence_of

FILE_NAME: Final = "history.jsonl"
"""Its name in the data directory."""
BYTES_MAX: Final = 1024 * 1024
"""From this size on a new file is begun."""
FILE_MODE: Final = 0o640
WALL_MS_MAX: Final = 253_402_300_799_000
"""The end of the year 9999."""
EVENT: Final = "event"
"""The name of the property that makes a log record part of the history."""
QUEUE_ENTRIES: Final = 1_000
SENTENCE_CHARS_MAX: Final = 2_000
FACT_CHARS_MAX: Final = 300


class HistoryEvent(StrEnum):
    """What can happen. Each is noted by every node that sees it, so that the history of one node tells the story."""

    STARTED = "started"
    """This node began to take part."""
    STOPPING = "stopping"
    """This node was asked to stop, or may not go on."""
    ELECTED = "elected"
    """This node leads from now on; ``withoutLeaderMs`` as in ``LEADER``."""
    STEPPED_DOWN = "stepped-down"
    """This node stopped leading."""
    LEADER = "leader"
    """Another node leads, as this one sees it; ``withoutLeaderMs``: for how long before that it knew of no leader, from
    the last leader's last sign or farewell, or from its own start."""
    NO_LEADER = "no-leader"
    """This node has seen no leader for a while."""
    ADDRESS = "address"
    """The virtual address came to this host, or went; ``here``."""
    NAME = "name"
    """The cluster's name in DNS points to this host from now on; ``name``, ``addresses``."""
    STORE_LOST = "store-lost"
    """Redis does not answer this node any more."""
    STORE_BACK = "store-back"
    """Redis answers this node again; ``awayMs``: after how long."""
    DATABASE_LOST = "database-lost"
    """This node cannot work with its database any more; ``code``: of the finding that says why."""
    DATABASE_BACK = "database-back"
    """It can again; ``awayMs``: after how long."""
    MEMBER = "member"
    """The status of another member changed, as this node sees it."""
    NOTICE = "notice"
    """Leadership says something: who the members are, that promises cannot be kept on disk, ..."""
    ORDER = "order"
    """An administrator gave this node an order."""
    CONTROL_ENDED = "control-ended"
    """The control process of this node ended, or was killed by the supervisor because it hung."""
    WITHDRAWN = "permission-withdrawn"
    """The supervisor withdrew the permission to lead from this node's API workers."""
    LAST_WORD = "last-word"
    """The supervisor told the store or a member that leadership is given up."""
    PROCESS_ENDED = "process-ended"
    """A worker or the template of this node ended, or was killed by the supervisor because it hung."""
    RESTARTS = "restarts-slowed"
    """A process dies so often that the next one is started later."""


def noted(event: HistoryEvent, **properties: object) -> dict[str, object]:
    """Make what goes into ``extra=`` of a log call whose record belongs to the history."""
    return facts(event=str(event), **properties)


class HistoryFormatter(logging.Formatter):
    """``{"at": ms, "event": ..., "sentence": ..., "facts": {...}}`` in one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Never raises."""
        told = properties_of(record)
        return json.dumps(
            {
                "at": round(record.created * 1000),
                EVENT: told.pop(EVENT, ""),
                "sentence": one_line(sentence_of(record))[:SENTENCE_CHARS_MAX],
                "facts": {name: _plain(value) for name, value in told.items()},
            }
        )


class HistoryHandler(QueuedHandler):
    """Takes the records that belong to the history, whatever level the log has; the others pass by."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink, QUEUE_ENTRIES, thread_name="rppam-history")
        self.setFormatter(HistoryFormatter())

    def filter(self, record: logging.LogRecord) -> bool:
        return EVENT in properties_of(record)


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    return one_line(str(value))[:FACT_CHARS_MAX]


class HistoryFile:
    """Where entries are written: a ``Sink``. Runs on the thread that writes."""

    def __init__(self, path: Path, *, begins_anew: bool) -> None:
        """``begins_anew``: whether this writer begins a new file when it is large; one of a node's writers does."""
        self._path = path
        self._begins_anew = begins_anew

    def write(self, day: date, line: str) -> None:  # noqa: ARG002 - the same shape as other sinks
        """Append one entry. Raises OSError: the entry is then lost."""
        # O_NOFOLLOW: one who may write to the folder must not aim our lines at another file.
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


def history_handler(data_dir: Path) -> HistoryHandler:
    """For the one process of a node that leadership runs in."""
    return HistoryHandler(HistoryFile(data_dir / FILE_NAME, begins_anew=True))


class HistoryEntry(NamedTuple):
    """One thing that happened."""

    at: WallMs
    """By the wall clock of the node that noted it."""
    event: str
    """A ``HistoryEvent``, or what another release of this program calls it."""
    sentence: str
    facts: Mapping[str, object]
    """What scripts may want of it: ``epoch``, ``leader``, ``member``, ``withoutLeaderMs``, ..."""


class Past(NamedTuple):
    """The end of a history."""

    entries: tuple[HistoryEntry, ...]
    """In the order in which they were noted."""
    unreadable: int
    """Lines that are no entries: a disk that was full cuts one short, an editor leaves some."""


class History(NamedTuple):
    """What one node noted."""

    path: Path

    async def last(self, limit: int) -> Past:
        """Read it as ``read_last`` does, on a thread."""
        import asyncio  # noqa: PLC0415  # several megabytes, and the supervisor only writes

        return await asyncio.to_thread(read_last, self.path, limit)


def read_last(path: Path, limit: int) -> Past:
    """Read at most the ``limit`` newest entries of the history at ``path``; none where there is no such file.

    Raises HistoryUnreadable.
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
