"""The operator note, as a guarded write of the leader."""

from typing import Protocol

from rppam.kernel.fence import Fenced
from rppam.manager.note_model import Note


class FencedNote(Protocol):
    """A place that only a leader may write to."""

    async def write(self, epoch: int, node: str, boot_id: str, text: str, author: str) -> Fenced:
        """Check and advance the fence and replace the note, all in one transaction.

        Raises :class:`~rppam.manager.note_errors.NoteInvalid`; no answer in time is ``UNKNOWN``, never an error.
        """
        ...

    async def read(self) -> Note | None:
        """The note, or ``None`` when none was ever written.

        Raises a :class:`~rppam.db.errors.DatabaseError` when the database does not answer.
        """
        ...
