"""Finding a text in what targets have said. Pure.

It reads what the export as text has, line by line: without escapes, as it came; so a word that a program wrote in two
places of a screen is not one word here. What was typed is found where the target showed it: a password that was typed
blind is in no recording.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from rppam.recordings.formats import Format, Writer
from rppam.recordings.model import Chunk, Record, Recording

HITS_MAX: Final = 20
"""Of one recording; it has more is said."""
LINE_CHARS_MAX: Final = 300
_US_PER_MS: Final = 1_000


class Hit(NamedTuple):
    """A line that has the text."""

    at_ms: int
    """After the beginning of the recording, to the part of it that was stored at once."""
    line: str


class Finder:
    """Looks through one recording, chunk by chunk."""

    def __init__(self, recording: Recording, text: str) -> None:
        self._writer = Writer(Format.TXT, recording)
        self._text = text.casefold()
        self._at_us = 0
        self.found = 0
        """How many lines have it; only the first :data:`HITS_MAX` are hits."""

    def chunk(self, chunk: Chunk, records: Iterable[Record]) -> list[Hit]:
        """The hits of the lines that end in the next chunk."""
        known = list(records)
        at_ms = self._at_us // _US_PER_MS
        self._at_us += sum(record.after_us for record in known)
        return list(self._hits(at_ms, self._writer.chunk(chunk, known)))

    def end(self) -> list[Hit]:
        """Those of the last line."""
        return list(self._hits(self._at_us // _US_PER_MS, self._writer.end()))

    def _hits(self, at_ms: int, raw: bytes) -> Iterator[Hit]:
        text = raw.decode()
        if self._text not in text.casefold():
            return
        for line in text.split("\n"):
            if self._text in line.casefold():
                self.found += 1
                if self.found <= HITS_MAX:
                    yield Hit(at_ms, self._shown(line))

    def _shown(self, line: str) -> str:
        """The line, or the part of it that has the text."""
        if len(line) <= LINE_CHARS_MAX:
            return line
        start = max(0, line.casefold().find(self._text) - LINE_CHARS_MAX // 2)
        return line[start : start + LINE_CHARS_MAX]
