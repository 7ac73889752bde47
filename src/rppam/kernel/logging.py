"""Structured logs: one decision, one sentence, and its facts beside it.

Decides how a log record looks (``human`` for a terminal or the journal, ``json`` as CLEF, the product's format) and
where it goes (stderr, or a file a day in ``logging.directory``). Two rules shape it:

* Logging never stops the node. A record that cannot be rendered is replaced by a line that says so, a folder that
  cannot be written sends the lines to stderr, and writing happens on a thread of its own behind a bounded queue, so a
  stalled disk or an unread pipe never stalls the loop that holds the lease.
* A log line is one line. Control characters in what others sent us are escaped, so nobody forges an entry; a
  :class:`~rppam.kernel.secret.Secret` shows as stars, and so does any property with the name of a secret.

It does not promise that the last lines before a kill -9 or a full queue arrive: a full queue drops and counts.

Use::

    log = logging.getLogger(__name__)
    log.info("Took the lead.", extra=facts(epoch=7, node="node1"))
"""

import json
import logging
import os
import queue
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, Protocol, TextIO

from rppam.kernel.secret import REDACTED, Secret

VERBOSE: Final = 5
"""Below Debug, for what only a developer wants to see."""

LEVELS: Final[dict[str, int]] = {
    "Verbose": VERBOSE,
    "Debug": logging.DEBUG,
    "Information": logging.INFO,
    "Warning": logging.WARNING,
    "Error": logging.ERROR,
    "Fatal": logging.CRITICAL,
}
"""The product's level names and the numbers of the standard library."""

QUEUE_LINES: Final = 10_000
RETAINED_DAYS: Final = 31
FILE_MODE: Final = 0o640

_SHORT: Final = dict(zip(LEVELS, ("VERB ", "DEBUG", "INFO ", "WARN ", "ERROR", "FATAL"), strict=True))
_FACTS: Final = "rppam_facts"
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", _FACTS}
_SECRET_NAME: Final = re.compile(
    r"passw(or)?d|passphrase|secret|^token$|access_?token|authorization|connection_?string|private_?key", re.IGNORECASE
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls, line separators, marks that change the direction of writing, and half characters."""
_PLAIN_VALUE: Final = re.compile(r"[^\s\"=]+")
_FILE_NAME: Final = re.compile(r"rppam-(\d{8})\.log")

AUDIT: Final = "rppam.audit"
"""The log of who changed what. It is written from Information on, however high the level."""
CHATTY: Final = ("alembic", "uvicorn", "asyncio")
"""Libraries whose information is none to an administrator."""


def facts(**properties: object) -> dict[str, object]:
    """What goes into ``extra=``: any names are allowed, also those that :mod:`logging` keeps for itself."""
    return {_FACTS: properties}


def level_name(number: int) -> str:
    """The product's name for a standard-library level: the highest one not above it."""
    return max((name for name in LEVELS if number >= LEVELS[name]), key=LEVELS.__getitem__, default="Verbose")


def one_line(text: str) -> str:
    """``text`` with what moves a cursor or ends a line escaped, as ``\\n`` or ``\\x1b``."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def printable(text: str, chars_max: int | None = None) -> str:
    """The text of a stranger, fit for lists and screens: cut off, and ``?`` for what cannot be printed."""
    return "".join(char if char.isprintable() else "?" for char in text[:chars_max])


def _safe_text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a value's own __str__ may raise anything, and logging must go on
        return f"<unprintable {type(value).__name__}>"


def sentence_of(record: logging.LogRecord) -> str:
    """What the record says. Never raises."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - wrong arguments for the format are our mistake, the line must still come out
        return f"{_safe_text(record.msg)} [arguments do not fit: {_safe_text(record.args)}]"


def properties_of(record: logging.LogRecord) -> dict[str, object]:
    """What the record carries beside its sentence; secrets by name show as stars."""
    found: dict[str, object] = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    named = vars(record).get(_FACTS)
    if isinstance(named, Mapping):
        found.update(named)
    return {key: REDACTED if _SECRET_NAME.search(key) else value for key, value in found.items()}


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    try:
        return "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    except Exception:  # noqa: BLE001 - an exception whose own text raises
        return f"<unprintable {record.exc_info[0].__name__}>"


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class HumanFormatter(logging.Formatter):
    """``time LEVEL sentence key=value``; a traceback follows, each line of it marked with ``|``."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as text. Never raises."""
        parts = [_time(record), _SHORT[level_name(record.levelno)], one_line(sentence_of(record))]
        for key, value in properties_of(record).items():
            text = one_line(_safe_text(value))
            shown = text if _PLAIN_VALUE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
            parts.append(f"{one_line(_safe_text(key))}={shown}")
        line = " ".join(parts)
        if trace := _trace(record):
            line += "".join(f"\n    | {one_line(part)}" for part in trace.splitlines())
        return line


class ClefFormatter(logging.Formatter):
    """Compact Log Event Format: ``@t @l @m @mt @x``, then the properties; a leading ``@`` in a name is doubled."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line of JSON. Never raises."""
        event: dict[str, object] = {
            "@t": _time(record),
            "@l": level_name(record.levelno),
            "@m": sentence_of(record),
        }
        if record.args:
            event["@mt"] = _safe_text(record.msg)
        if trace := _trace(record):
            event["@x"] = trace
        event["SourceContext"] = record.name
        for key, value in properties_of(record).items():
            name = _safe_text(key)
            event["@" + name if name.startswith("@") else name] = value
        try:
            return json.dumps(event, default=_jsonable, ensure_ascii=True, allow_nan=False)
        except Exception:  # noqa: BLE001 - cycles, NaN, keys that are not text: fall back to the text of each value
            return json.dumps({key: _safe_text(value) for key, value in event.items()}, ensure_ascii=True)


def _jsonable(value: object) -> object:
    if isinstance(value, Secret):
        return REDACTED
    if isinstance(value, set | frozenset):
        return sorted(_safe_text(item) for item in value)
    return _safe_text(value)


class Sink(Protocol):
    """Where finished lines go. Runs on the writer's thread only."""

    def write(self, day: date, line: str) -> None:
        """Write one line; ``day`` is the UTC day of the record."""
        ...

    def close(self) -> None:
        """Give up what is open."""
        ...


class StreamSink:
    """Lines to a stream, by default to the ``sys.stderr`` of the moment."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def write(self, day: date, line: str) -> None:  # noqa: ARG002 - the same shape as DailyFileSink
        """Write and flush; a closed or broken stream loses the line."""
        stream = self._stream or sys.stderr
        with suppress(OSError, ValueError):
            stream.write(line + "\n")
            stream.flush()

    def close(self) -> None:
        """Nothing: the stream is not ours."""


class DailyFileSink:
    """``rppam-YYYYMMDD.log``, a file a day (UTC), readable by owner and group; the newest 31 are kept.

    When the folder cannot be written, lines go to stderr and the reason is said there once a day.
    """

    def __init__(self, directory: Path, fallback: Sink, retained_days: int = RETAINED_DAYS) -> None:
        self._directory = directory
        self._fallback = fallback
        self._retained_days = retained_days
        self._day: date | None = None
        self._file: TextIO | None = None

    def write(self, day: date, line: str) -> None:
        """Append one line to the day's file."""
        if day != self._day:
            self._open(day)
        if self._file is None:
            self._fallback.write(day, line)
            return
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            self._complain(day, error)
            self._fallback.write(day, line)

    def close(self) -> None:
        """Close the file of the day."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        self._file = None

    def _open(self, day: date) -> None:
        self.close()
        self._day = day
        path = self._directory / f"rppam-{day:%Y%m%d}.log"
        try:
            self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            # O_NOFOLLOW: a link in the folder must not aim our lines at another file.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            self._file = os.fdopen(os.open(path, flags, FILE_MODE), "a", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            self._complain(day, error)
            return
        self._drop_old()

    def _drop_old(self) -> None:
        with suppress(OSError):
            ours = sorted(path for path in self._directory.iterdir() if _FILE_NAME.fullmatch(path.name))
            for path in ours[: -self._retained_days]:
                path.unlink(missing_ok=True)

    def _complain(self, day: date, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        self.close()
        self._fallback.write(
            day, f"logging.directory: cannot write to {one_line(str(self._directory))} ({reason}); logging to stderr."
        )


class QueuedHandler(logging.Handler):
    """Renders in the caller, writes on a thread: the caller never waits for a disk or a pipe."""

    def __init__(self, sink: Sink, queue_lines: int = QUEUE_LINES, *, thread_name: str = "rppam-log") -> None:
        super().__init__()
        self._sink = sink
        self._lines: queue.Queue[tuple[date, str] | None] = queue.Queue(maxsize=queue_lines)
        self._dropped = 0
        self._writer = threading.Thread(target=self._write_all, name=thread_name, daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Render the record and queue it; a full queue drops it and counts."""
        try:
            self._lines.put_nowait((datetime.fromtimestamp(record.created, UTC).date(), self.format(record)))
        except queue.Full:
            self._dropped += 1
        except Exception as error:  # noqa: BLE001 - logging never raises into the code that logs
            sys.stderr.write(f"A log line was lost: {type(error).__name__}\n")

    def close(self) -> None:
        """Write what is queued, for at most 2 s, and stop the thread."""
        if self._writer.is_alive():
            with suppress(queue.Full):
                self._lines.put(None, timeout=1)
            self._writer.join(timeout=2)
        super().close()

    def _write_all(self) -> None:
        while (item := self._lines.get()) is not None:
            self._write(*item)
            if self._lines.empty():
                self._tell_losses(item[0])
        self._tell_losses(datetime.now(UTC).date())
        self._sink.close()

    def _tell_losses(self, day: date) -> None:
        if self._dropped:
            lost, self._dropped = self._dropped, 0
            self._write(day, f"{lost} log lines were dropped: they came faster than they could be written.")

    def _write(self, day: date, line: str) -> None:
        with suppress(Exception):  # a sink that breaks in a new way must not end the writer
            self._sink.write(day, line)


FORMATTERS: Final[dict[str, type[logging.Formatter]]] = {"human": HumanFormatter, "json": ClefFormatter}


@contextmanager
def logging_to(
    *,
    level: str = "Information",
    fmt: str = "human",
    directory: Path | None = None,
    stream: TextIO | None = None,
    also: QueuedHandler | None = None,
    worker: int = 0,
) -> Iterator[QueuedHandler]:
    """Set up the root logger for the time of a ``with`` block and flush it at the end.

    ``level`` is one of :data:`LEVELS`, which the audit is not subject to; ``fmt`` one of :data:`FORMATTERS`;
    ``directory`` None means ``stream``, by default stderr. ``also`` gets every record from Information on, whatever
    ``level`` is. ``worker``: which API worker this process is, from 1; it is named on each line, as all processes of a
    node write to the same place. Raises ``ValueError`` for another level or format: the config check refuses them
    before.
    """
    for kind, found, known in (("level", level, LEVELS), ("format", fmt, FORMATTERS)):
        if found not in known:
            raise ValueError(f"log {kind} must be one of {', '.join(known)}, found {found!r}")
    stream_sink = StreamSink(stream)
    handler = QueuedHandler(stream_sink if directory is None else DailyFileSink(directory, stream_sink))
    handler.setFormatter(FORMATTERS[fmt]())
    root, audit = logging.getLogger(), logging.getLogger(AUDIT)
    before, before_level, audit_level = root.handlers[:], root.level, audit.level
    logging.addLevelName(VERBOSE, "VERBOSE")
    logging.captureWarnings(capture=True)

    def is_written(record: logging.LogRecord) -> bool:
        if worker:
            record.worker = worker
        return record.levelno >= LEVELS[level] or record.name == AUDIT

    handler.addFilter(is_written)
    root.handlers[:] = [handler] if also is None else [handler, also]
    root.setLevel(LEVELS[level] if also is None else min(LEVELS[level], logging.INFO))
    audit.setLevel(min(LEVELS[level], logging.INFO))
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, LEVELS[level]))
    try:
        yield handler
    finally:
        root.handlers[:] = before
        root.setLevel(before_level)
        audit.setLevel(audit_level)
        logging.captureWarnings(capture=False)
        for one in (handler, also):
            if one is not None:
                one.close()
