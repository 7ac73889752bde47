"""The operator note for the status pages, which a slow database must not slow down.

While the database does not answer, the last known note is shown with the reason beside it. An answer that must be
current (``GET .../note``) asks :class:`FencedNote` itself.
"""

import asyncio
from typing import Final, NamedTuple

from rppam.kernel.clock import Clock
from rppam.kernel.errors import RppamError
from rppam.kernel.instant import US_PER_MS, Instant, after
from rppam.manager.note_model import FencedNote, Note

FRESH_MS: Final = 2_000
WAIT_MS: Final = 250


class KnownNote(NamedTuple):
    """The note as far as it is known."""

    note: Note | None
    reason: str
    """Empty, or why it may be out of date."""


class NoteReader:
    """Keeps the note for :data:`FRESH_MS`, and the silence of a database as long."""

    def __init__(self, place: FencedNote, clock: Clock) -> None:
        self._place, self._clock = place, clock
        self._known = KnownNote(None, "the note has not been read yet")
        self._read_again_at: Instant | None = None
        self._reading = False

    async def current(self) -> KnownNote:
        """The note, read again when it is due and no other call is reading it."""
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
        """Read the note at the next call: this node has just written it."""
        self._read_again_at = None

    async def _read(self) -> KnownNote:
        try:
            async with asyncio.timeout(WAIT_MS / 1000):
                return KnownNote(await self._place.read(), "")
        except TimeoutError:
            return KnownNote(self._known.note, f"the database did not answer within {WAIT_MS} ms")
        except RppamError as error:
            return KnownNote(self._known.note, error.row.meaning)
