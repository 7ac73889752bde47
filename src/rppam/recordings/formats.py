"""A recording as files that others read: asciicast v3 and v2, ttyrec, and text. Pure.

Terminal bytes need not be UTF-8; where they are not, asciicast and text have a replacement character, ttyrec has the
bytes. An asciicast v3 holds a comment for each chunk with the hash of its lines and of the chunk, each chained to the
one before: players skip them, and :func:`check_file` finds a line that was changed. What that does not prove: that the
file is the recording; for that the last hash is compared with the ledger.
"""

import codecs
import hashlib
import json
import re
import struct
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, Final, NamedTuple

from rppam.recordings.errors import RecordingFileBroken
from rppam.recordings.model import Chunk, Record, Recording, Sort

_US: Final = 1_000_000
_SHOWN: Final = frozenset({Sort.OUT, Sort.ERROR})
_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x1b]*\x1b\\|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
"""The last one takes an ESC that begins nothing, too: what is left when one is taken out must not be another. None of
them looks behind an ESC for its end, or a million that begin what never ends would take hours."""
_LINE_MAX: Final = 1024 * 1024
"""What has no end of line for longer is not waited for."""
_MARK: Final = "# rppam-chunk "
_WHICH: Final = "# rppam-recording "
_END: Final = "# rppam-end "
_COLUMNS, _ROWS = 80, 24


class Format(StrEnum):
    """What a recording is exported as."""

    CAST3 = "cast3"
    CAST2 = "cast2"
    TTYREC = "ttyrec"
    TXT = "txt"


MEDIA: Final = {
    Format.CAST3: "application/x-asciicast",
    Format.CAST2: "application/x-asciicast",
    Format.TTYREC: "application/octet-stream",
    Format.TXT: "text/plain; charset=utf-8",
}
ENDINGS: Final = {Format.CAST3: "cast", Format.CAST2: "cast", Format.TTYREC: "ttyrec", Format.TXT: "txt"}


class Writer:
    """One export, chunk by chunk: :meth:`head`, :meth:`chunk` for each, :meth:`end`."""

    def __init__(self, form: Format, recording: Recording) -> None:
        self._form, self._recording = form, recording
        self._decoders = {sort: codecs.getincrementaldecoder("utf-8")("replace") for sort in _SHOWN}
        self._total_us = 0
        self._pending_us = 0
        """Since the last event that was written."""
        self._hash = ""
        self._left = ""
        self._chunks = 0

    def head(self) -> bytes:
        """What stands first."""
        facts = self._recording.facts
        columns, rows = facts.columns or _COLUMNS, facts.rows or _ROWS
        title = f"{facts.user} at {facts.account}@{facts.target}"
        start = self._recording.started // 1000
        command = {"command": facts.title} if facts.title else {}
        if self._form is Format.CAST3:
            term = {"cols": columns, "rows": rows, **({"type": facts.term} if facts.term else {})}
            text = _line({"version": 3, "term": term, "timestamp": start, "title": title, **command})
            text += f"{_WHICH}{self._recording.id}\n"
            self._hash = hashlib.sha256(text.encode()).hexdigest()
            return text.encode()
        if self._form is Format.CAST2:
            env = {"env": {"TERM": facts.term}} if facts.term else {}
            head = {
                "version": 2,
                "width": columns,
                "height": rows,
                "timestamp": start,
                "title": title,
                **command,
                **env,
            }
            return _line(head).encode()
        return b""

    def chunk(self, chunk: Chunk, records: Iterable[Record]) -> bytes:
        """What one chunk becomes."""
        if self._form is Format.TTYREC:
            return b"".join(self._ttyrec(records))
        text = "".join(self._lines(records))
        if self._form is Format.TXT:
            return self._plain(text).encode()
        if self._form is Format.CAST2:
            return text.encode()
        before, self._hash = self._hash, _next(self._hash, text, chunk.hash)
        self._chunks = chunk.seq
        mark = f"{_MARK}seq={chunk.seq} sha256={self._hash} prev={before} chain={chunk.hash}\n"
        return (text + mark).encode()

    def end(self) -> bytes:
        """What stands last."""
        if self._form is Format.CAST3:
            return f"{_END}chunks={self._chunks} sha256={self._hash}\n".encode()
        if self._form is Format.TXT:
            return _ESCAPES.sub("", self._left).encode()
        return b""

    def _lines(self, records: Iterable[Record]) -> Iterator[str]:
        for record in records:
            self._total_us += record.after_us
            self._pending_us += record.after_us
            if record.sort in _SHOWN:
                code, text = "o", self._decoders[record.sort].decode(record.data)
                if not text:
                    continue
            elif record.sort is Sort.RESIZE:
                code, text = "r", record.data.decode("ascii", "replace")
            elif record.sort is Sort.EXIT and self._form is Format.CAST3:
                code, text = "x", record.data.decode("utf-8", "replace")
            else:
                continue
            if self._form is Format.TXT:
                if code == "o":
                    yield text
                continue
            time = self._pending_us if self._form is Format.CAST3 else self._total_us
            self._pending_us = 0
            yield _line([time / _US, code, text])

    def _plain(self, text: str) -> str:
        """Whole lines without escapes; the rest waits for what comes."""
        whole, newline, self._left = (self._left + text).rpartition("\n")
        if len(self._left) > _LINE_MAX:
            whole, newline, self._left = whole + newline + self._left, "", ""
        return _ESCAPES.sub("", whole + newline)

    def _ttyrec(self, records: Iterable[Record]) -> Iterator[bytes]:
        for record in records:
            self._total_us += record.after_us
            if record.sort in _SHOWN and record.data:
                at_us = self._recording.started * 1000 + self._total_us
                yield struct.pack("<III", at_us // _US & 0xFFFFFFFF, at_us % _US, len(record.data)) + record.data


class Checked(NamedTuple):
    """What an exported file says of itself."""

    recording: str
    chunks: int
    head: str
    """The chain's last hash, to compare with the ledger."""


def check_file(lines: Iterable[str]) -> Checked:
    """See whether an asciicast v3 of ours is as it was exported. Raises :class:`RecordingFileBroken`."""
    found = iter(lines)
    head_line, which = next(found, ""), next(found, "")
    before = hashlib.sha256(f"{head_line}{which}".encode()).hexdigest()
    text, chunks, head = "", 0, ""
    for line in found:
        if line.startswith(_MARK):
            said = _said(line[len(_MARK) :])
            chunks += 1
            now = _next(before, text, said.get("chain", ""))
            if (said.get("prev"), said.get("sha256"), said.get("seq")) != (before, now, str(chunks)):
                raise RecordingFileBroken(f"what stands before the mark of chunk {chunks} was changed")
            before, text, head = now, "", said.get("chain", "")
        elif line.startswith(_END):
            said = _said(line[len(_END) :])
            if text or said.get("sha256") != before or said.get("chunks") != str(chunks) or next(found, ""):
                raise RecordingFileBroken("the end of the file was changed")
            return Checked(which.removeprefix(_WHICH).strip(), chunks, head)
        else:
            text += line
    raise RecordingFileBroken("the file has no end: it was cut, or is no asciicast v3 of this product")


def _next(before: str, text: str, chain: str) -> str:
    return hashlib.sha256(f"{before}{chain}\n{text}".encode()).hexdigest()


def _said(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": ")) + "\n"
