"""Where lockouts are kept: SQL, so that a Redis that was lost or flushed unlocks nobody."""

from collections.abc import Sequence
from typing import Protocol

from rppam.access.lockouts.model import Lockout, LockoutPolicy, Suspect
from rppam.cache.model import Change


class LockoutStore(Protocol):
    """The lockouts. Every call raises a :class:`~rppam.db.errors.DatabaseError` when nobody can tell."""

    async def held(self, subjects: Sequence[str]) -> list[Lockout]:
        """Those of ``subjects`` that are locked now."""
        ...

    async def latest(self, subjects: Sequence[str]) -> list[Lockout]:
        """The last lockout or unlock of each of ``subjects``; ``left_ms`` is not positive where it is over."""
        ...

    async def lock(self, suspect: Suspect, policy: LockoutPolicy) -> Lockout:
        """Lock, for longer than the last time; who is locked already stays so, neither longer nor shorter."""
        ...

    async def unlock(self, subject: str) -> tuple[Lockout | None, Change]:
        """End the lockout, and forget that there were any; what stood, if it was one, and the change as logged."""
        ...

    async def all(self, most: int) -> list[Lockout]:
        """Who is locked now, the newest first, at most ``most``."""
        ...
