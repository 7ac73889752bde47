"""Clocks of a simulated host: one that runs too fast or too slow, and one that steps.

Arithmetic is in whole microseconds, so that a run is the same on every machine. Nothing here is a real clock.
"""

from typing import Final

from rppam.kernel.instant import US_PER_MS, Instant, WallMs

MILLION: Final = 1_000_000
WALL_START_MS: Final = 1_795_478_400_000
"""Wall time at the start of every run: 2026-11-24 00:00 UTC."""


class BootClock:
    """CLOCK_BOOTTIME of one host: starts anywhere, never steps, runs at ``MILLION + rate_ppm`` to ``MILLION``."""

    __slots__ = ("_rate", "_start", "rate_ppm")

    def __init__(self, start: int, rate_ppm: int) -> None:
        self._start = start
        self.rate_ppm = rate_ppm
        self._rate = MILLION + rate_ppm

    def read(self, true_us: int) -> Instant:
        """What the clock shows at a true time."""
        return Instant(self._start + true_us * self._rate // MILLION)

    def true_at(self, instant: Instant) -> int:
        """The first true microsecond at which the clock shows ``instant`` or later."""
        return -((self._start - instant) * MILLION // self._rate)


class WallClock:
    """CLOCK_REALTIME of one host: right until somebody steps it."""

    __slots__ = ("offset_ms",)

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms

    def read_ms(self, true_us: int) -> WallMs:
        """Milliseconds since 1970, as this host believes; never negative."""
        return WallMs(max(0, WALL_START_MS + true_us // US_PER_MS + self.offset_ms))
