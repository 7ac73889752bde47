"""The operator note: a line of text for the readers of the cluster's status, written under the leader's fence.

It is the smallest guarded write there is, so it also shows that fencing works. It is no secret.
"""

import unicodedata
from typing import Final, NamedTuple, Protocol

from rppam.kernel.fence import Fenced
from rppam.kernel.instant import WallMs
from rppam.manager.note_errors import NoteInvalid

NOTE_CHARS_MAX: Final = 500
_ALLOWED: Final = frozenset("\n\t\u200c\u200d")
"""Line break, tab, and the two joiners that Persian, Indic scripts and emoji are written with."""


class Note(NamedTuple):
    """The note in the database."""

    text: str
    author: str
    epoch: int
    """The leadership under which it was written."""
    node: str
    written_at: WallMs
    """By the database's clock."""


def check_note(text: str) -> str:
    """``text`` itself. Raises :class:`NoteInvalid`, which names the first place that is wrong."""
    if len(text) > NOTE_CHARS_MAX:
        raise NoteInvalid(f"text: at most {NOTE_CHARS_MAX} characters, found {len(text)}; shorten it")
    for place, char in enumerate(text):
        # Cc: control; Cs: half of a surrogate pair, which no database stores; Cf includes text direction overrides.
        if char not in _ALLOWED and unicodedata.category(char) in {"Cc", "Cs", "Cf"}:
            raise NoteInvalid(f"text: character {place + 1} is U+{ord(char):04X}, which cannot be shown; remove it")
    return text


class FencedNote(Protocol):
    """The place of the note, which only a leader may write to."""

    async def write(self, epoch: int, node: str, boot_id: str, text: str, author: str) -> Fenced:
        """Check and advance the fence and replace the note, in one transaction.

        Raises :class:`NoteInvalid`; no answer in time is ``UNKNOWN``, never an error.
        """
        ...

    async def read(self) -> Note | None:
        """The note, or ``None`` when none was ever written. Raises a :class:`~rppam.db.errors.DatabaseError`."""
        ...
