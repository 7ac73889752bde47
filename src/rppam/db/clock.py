"""The wall clock of the database, as this process knows it: the one clock that all nodes share.

Sessions begin and end by it, so a node whose own clock is minutes off neither refuses a good token nor keeps a dead one
alive. It is learned from every look at the log of changes, which comes every two seconds and before any copy from Redis
is believed, and from every answer about a session; the host's steady clock carries it on. Until the first answer it is
the host's wall clock. What it does not promise: to be right by more than an answer was late.
"""

from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS, Instant, WallMs


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
