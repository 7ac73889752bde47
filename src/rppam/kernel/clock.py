"""Time from outside."""

from typing import Protocol

from rppam.kernel.instant import Instant, WallMs


class Clock(Protocol):
    """This host's clocks."""

    def now(self) -> Instant:
        """CLOCK_BOOTTIME in microseconds: it never goes back and it counts through suspend."""
        ...

    def wall_ms(self) -> WallMs:
        """Wall clock in milliseconds since 1970, for people and for picking an epoch."""
        ...
