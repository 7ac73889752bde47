"""The wall clock of the database, as this process knows it: the one clock that all nodes share.

Sessions begin and end by it, so a node whose own clock is minutes off neither refuses a good token nor keeps a dead one
alive. It is learned from every look at the log of changes, which comes every two seconds and before any copy from Redis
is believed, and from every answer about a session; the host's steady clock carries it on. Until the first answer it is
the host's wall clock. What it does not promise: to be right by more than an answer was late.
"""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from rppam.db.engine import now_ms
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS, Instant, WallMs

APART_MS: Final = 20_000
"""An authenticator's code counts for 30 s before and after its own half minute, less what its phone is off."""


def clock_offset_ms(connection: Connection, wall_ms: Callable[[], int]) -> int | None:
    """How far the database's clock is ahead of this host's; ``None`` for a file, which has this host's clock."""
    if connection.dialect.name == "sqlite":
        return None
    before = wall_ms()
    database = now_ms(connection)
    return database - (before + wall_ms()) // 2


def clocks_apart(offset_ms: int | None) -> str:
    """What is wrong with an offset; empty where nothing is."""
    if offset_ms is None or abs(offset_ms) < APART_MS:
        return ""
    side = "ahead of" if offset_ms > 0 else "behind"
    return f"the database's clock is {abs(offset_ms) // 1000} s {side} this host's"


class DatabaseClock:
    """A :class:`rppam.kernel.clock.Clock` whose wall clock is the database's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._learned: tuple[WallMs, Instant] | None = None

    def learn(self, now: WallMs) -> None:
        """The database has just said what time it is."""
        self._learned = now, self._clock.now()

    def now(self) -> Instant:
        """The host's steady clock."""
        return self._clock.now()

    def wall_ms(self) -> WallMs:
        """The database's time."""
        if self._learned is None:
            return self._clock.wall_ms()
        then, at = self._learned
        return WallMs(then + (self._clock.now() - at) // US_PER_MS)
