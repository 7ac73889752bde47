"""Counting tries to sign in, for all nodes together."""

from collections.abc import Sequence
from typing import Protocol

from rppam.access.lockouts.tries import Booked, Entry, Standing, Watched


class TryStore(Protocol):
    """What is under way and what was wrong, by the store's clock. Every call is one round trip.

    Raises :class:`~rppam.redis.errors.StoreError` or
    :class:`~rppam.db.errors.DatabaseError`: unknown whether it was done.
    """

    async def enter(self, watched: Sequence[Watched], name: str) -> Entry:
        """Let the try of this name in against all of them, or none: it holds a lease, to be renewed."""
        ...

    async def renew(self, watched: Sequence[Watched], name: str) -> None:
        """It is still under way."""
        ...

    async def leave(self, watched: Sequence[Watched], name: str) -> None:
        """It costs nothing."""
        ...

    async def fail(self, watched: Sequence[Watched], name: str) -> Sequence[Standing]:
        """It was wrong: in one step it is under way no more, and counts. How it stands now."""
        ...

    async def look(self, watched: Sequence[Watched]) -> Sequence[Standing]:
        """How it stands."""
        ...

    async def forget(self, watched: Sequence[Watched]) -> None:
        """Forget wrong ones; what is under way stays under way."""
        ...


class TryLedger(TryStore, Protocol):
    """The store that no loss of Redis touches, which takes what processes have seen, too."""

    async def book(self, booked: Sequence[Booked]) -> Sequence[int]:
        """Count wrong ones by their ages, also beyond the limit; how many there are now of each. Raises a
        ``DatabaseError``."""
        ...
