"""Tries to sign in: what they are counted against, how it stands there, and the lease of one that is being checked.

A try that is being checked holds a lease of seconds, which the process that checks it renews; a wrong one stays counted
for a window. Whether a try fits is decided by the store, Redis or SQL.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from rppam.db.errors import DatabaseError
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS, after
from rppam.kernel.limit import Limit
from rppam.redis.errors import StoreError

log = logging.getLogger("rppam.guard")

LEASE_MS: Final = 4_000
"""How long a try counts as under way without being renewed: what a process that died leaves behind. Shorter than a try
waits for others, so that a crash makes nobody's right password refused, and shorter than anybody could see it dead."""
RENEW_MS: Final = 1_000


class Watched(NamedTuple):
    """What a try is counted against."""

    limit: Limit
    """Of wrong ones; those under way must fit in as well. A window."""
    subject: str
    """From :func:`rppam.kernel.limit.subject_hash`."""


class Standing(NamedTuple):
    wrong: int
    """Wrong ones within the window."""
    running: int
    """Tries under way."""
    lapses_ms: int
    """Until the last of those lapses unless it is renewed; 0 without any."""

    def is_full(self, limit: Limit) -> bool:

        return self.wrong + self.running >= limit.events

    def is_used_up(self, limit: Limit) -> bool:
        return self.wrong >= limit.events

    def beside(self, other: "Standing") -> "Standing":
        """With another store's: both count the same wrong ones; what is under way is under way in one of them."""
        lapses_ms = max(self.lapses_ms, other.lapses_ms)
        return Standing(max(self.wrong, other.wrong), self.running + other.running, lapses_ms)


class Entry(NamedTuple):
    allowed: bool
    standings: tuple[Standing, ...]
    """In the order of what was watched; with this try where it was let in."""


class Booked(NamedTuple):
    """Wrong tries that one process has seen."""

    watched: Watched
    ages_ms: tuple[int, ...]
    """How long ago each was."""


class TryStore(Protocol):
    """What is under way and what was wrong, by the store's clock. Every call is one round trip.

    Raises a ``StoreError`` or a ``DatabaseError``: unknown whether it was done.
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


class Lease:
    """The lease of one try that is being checked: renewed while it is, so that a process that dies leaves it to lapse.

    It begins when this is made. What it does not promise: that it holds while the process is frozen or the store away;
    what a process itself checks at once is bounded all the same (:mod:`rppam.access.lockouts.tally`).
    """

    def __init__(self, store: TryStore, watched: Sequence[Watched], name: str, clock: Clock) -> None:
        self.store: Final = store
        self.watched: Final = watched
        self.name: Final = name
        self._clock = clock
        self._until = after(clock.now(), LEASE_MS * US_PER_MS)
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(RENEW_MS / 1000, self._renew_soon)

    @property
    def may_have_lapsed(self) -> bool:
        """By this process's own clock: others may have been let in in its place."""
        return self._clock.now() >= self._until

    async def end(self) -> None:
        """Renew it no more; whatever is sent after this comes after every renewal."""
        self._timer.cancel()
        if self._task is not None:
            await asyncio.wait({self._task})

    def _renew_soon(self) -> None:
        self._task = asyncio.create_task(self._renew(), name="a log-in under way")
        self._timer = asyncio.get_running_loop().call_later(RENEW_MS / 1000, self._again)

    def _again(self) -> None:
        if self._task is None or self._task.done():
            self._renew_soon()
        else:
            self._timer = asyncio.get_running_loop().call_later(RENEW_MS / 1000, self._again)

    async def _renew(self) -> None:
        until = after(self._clock.now(), LEASE_MS * US_PER_MS)
        try:
            await self.store.renew(self.watched, self.name)
        except (StoreError, DatabaseError) as error:
            log.debug("A log-in under way could not be renewed: %s", error)
        else:
            self._until = until
