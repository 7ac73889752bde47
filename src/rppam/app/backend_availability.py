"""What a process that answers requests stands on: Redis or the database, one of which has to tell whose session holds.

With both away nearly every request is answered with 503, so the process asks for none: load balancers then send them to
nodes that can answer. It is looked at every second, and short outages are borne, since a load balancer that moves
everybody for a hiccup does more harm. It decides nothing about leadership.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from rppam.db.database import Database
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_S, Instant
from rppam.redis.link import Link

BORNE_S: Final = 5
"""So long both may be away before requests are asked to go elsewhere."""


class BackendAvailability:
    """See the module."""

    def __init__(self, link: Link | None, database: Database, clock: Clock) -> None:
        """``link``: this process's own to Redis; ``None`` without Redis."""
        self._link, self._database, self._clock = link, database, clock
        self._is_file_gone = False
        """The database is a file that was taken away: what has it open goes on reading, and nothing is kept."""
        self._lost_at: Instant | None = None

    def before(self, look: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """``look``, which somebody calls every second, and before it a look at what this process stands on."""

        async def both() -> None:
            self.look()
            await look()

        return both

    def look(self) -> None:
        """See whether one of them answers. Takes as long as a look whether a file is there."""
        self._is_file_gone = self._database.is_file and not self._database.is_made
        if not self._is_lost:
            self._lost_at = None
        elif self._lost_at is None:
            self._lost_at = self._clock.now()

    def holds(self) -> bool:
        """Whether there is any of them to ask, or was a moment ago."""
        if self._lost_at is None or not self._is_lost:
            return True
        return self._clock.now() - self._lost_at < BORNE_S * US_PER_S

    @property
    def _is_lost(self) -> bool:
        if self._link is not None and self._link.is_connected:
            return False
        return self._is_file_gone or bool(self._database.reason)
