"""The operator note for the status pages, without letting a slow database slow them down.

Decides how old a note may be (:data:`FRESH_MS`) and how long a status answer waits for it (:data:`WAIT_MS`). While the
database does not answer, the last note known is shown with the reason beside it. For an answer that must be current
(``GET .../note``) ask the place itself.
"""

import asyncio
from typing import Final, NamedTuple

from rppam.kernel.clock import Clock
from rppam.kernel.errors import RppamError
from rppam.kernel.instant import US_PER_MS, Instant, after
from rppam.manager.note_model import Note
from rppam.manager.note_port import FencedNote

FRESH_MS: Final = 2_000
WAIT_MS: Final = 250


class KnownNote(NamedTuple):
    """The note as far as known."""

    note: Note | None
    reason: str
    """Empty, or why it may be out of date."""


class NoteReader:
    """Remembers the note for :data:`FRESH_MS`, and a silent database for as long."""

    def __init__(self, place: FencedNote, clock: Clock) -> None:
        self._place, self._clock = place, clock
        self._known = KnownNote(None, "the note has not been read yet")
        self._read_again_at: Instant | None = None
        self._reading = False

    async def current(self) -> KnownNote:
        """The note, read again when it is due and nobody else is reading it."""
        due = self._read_again_at is None or self._clock.now() >= self._read_again_at
        if due and not self._reading:
            self._reading = True
            try:
                self._known = await self._read()
            finally:
                self._reading = False
                self._read_again_at = after(self._clock.now(), FRESH_MS * US_PER_MS)
        return self._known

    def forget(self) -> None:
        """Read again at the next opportunity: this node has just written it."""
        self._read_again_at = None

    async def _read(self) -> KnownNote:
        try:
            async with asyncio.timeout(WAIT_MS / 1000):
                return KnownNote(await self._place.read(), "")
        except TimeoutError:
            return KnownNote(self._known.note, f"the database did not answer within {WAIT_MS} ms")
        except RppamError as error:
            return KnownNote(self._known.note, error.row.meaning)
