"""Times as people and scripts read them: ISO 8601 in UTC with a Z."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from rppam.kernel.instant import WallMs

_LAST_S: Final = 253_402_300_799
"""9999-12-31T23:59:59Z."""


def iso_utc(wall_ms: WallMs) -> str:
    """``2026-03-01T12:00:00Z``: to the second, as the product shows it."""
    return f"{_second(wall_ms // 1000)}Z"


def iso_utc_ms(wall_ms: WallMs) -> str:
    """``2026-03-01T12:00:00.123Z``: to the millisecond, where the order of events matters."""
    return f"{_second(wall_ms // 1000)}.{wall_ms % 1000:03}Z"


# The heartbeats of all members are seconds apart, and each turn of the driver tells their times.
@lru_cache(maxsize=1024)
def _second(since_1970: int) -> str:
    """What no calendar shows (others may write anything into Redis) is shown as the first or the last moment of one."""
    return datetime.fromtimestamp(min(max(since_1970, 0), _LAST_S), UTC).strftime("%Y-%m-%dT%H:%M:%S")
