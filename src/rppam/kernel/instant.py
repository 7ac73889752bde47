"""Time as the core sees it: integers, never floats, never the wall clock for anything that permits.

``Instant`` is a reading of one host's CLOCK_BOOTTIME and means nothing on another host. ``WallMs`` is for people and
for picking an epoch that is not below one already used; no permission is ever computed from it.
"""

from typing import Final, NewType

Instant = NewType("Instant", int)
"""Microseconds on this host's boot-time clock."""

WallMs = NewType("WallMs", int)
"""Milliseconds since 1970-01-01 UTC, as this host believes."""

US_PER_MS: Final = 1_000
US_PER_S: Final = 1_000_000


def after(start: Instant, duration_us: int) -> Instant:
    """The instant ``duration_us`` microseconds after ``start``."""
    return Instant(start + duration_us)
