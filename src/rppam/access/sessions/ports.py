"""Where sessions are kept: the truth about who is signed in. Every time is by the database's clock."""

from collections.abc import Sequence
from typing import Protocol

from rppam.access.sessions.model import Ended, NewSession, SessionLine, StoredFacts, StoredSession, Use


class SessionStore(Protocol):
    """The sessions in the cluster's database.

    Every call raises a :class:`~rppam.db.errors.DatabaseError` when the database does not answer. A call
    that changes something is one transaction, which also raises the row's revision and writes the log of changes.
    """

    async def open(self, new: NewSession) -> StoredSession:
        """Begin a session, unless one with this token is known: then that one, whatever became of it."""
        ...

    async def find(self, token_hash: str) -> StoredSession | None:
        """The session of this token; ``ended`` also when its time is over."""
        ...

    async def facts(self, user_id: str) -> StoredFacts | None:
        """The account that a session belongs to."""
        ...

    async def touch(self, uses: Sequence[Use]) -> None:
        """These sessions were used. An older use than the one written down changes nothing."""
        ...

    async def renew(self, old_hash: str, new_hash: str, *, mfa: bool) -> StoredSession | None:
        """Give the live session another token; the old one is worth nothing from now on. ``None``: it does not live."""
        ...

    async def end(self, session_id: str, why: str) -> StoredSession | None:
        """End one; ``None`` when none of this id is alive."""
        ...

    async def end_user(self, user_id: str, why: str) -> Ended | None:
        """End all sessions and half-finished log-ins of an account; ``None``: there is no such account."""
        ...

    async def end_all(self, why: str) -> Ended:
        """End every session that is known."""
        ...

    async def line(self, session_id: str) -> SessionLine | None:
        """A live session, for people."""
        ...

    async def lines(self, user_id: str | None, after: str | None, count: int) -> list[SessionLine]:
        """Live sessions, the newest first, of one account or of all; ``after`` the last id of the page before."""
        ...
