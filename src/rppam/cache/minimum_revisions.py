"""The revisions below which no copy is believed any more, one for each fact that is known to have changed.

A floor is learned from a change made here and from the log of changes. It is what keeps an old copy away that a failed
over, restored or replayed Redis hands out again. Each is kept for :data:`FLOOR_NS`, longer than any copy can be shown
after its time. Memory is bounded: where there are more, the oldest go, and until those would have ended no copy of
their kind is believed at all, so that what was forgotten cannot do harm: those facts are asked of SQL.

What it does not promise: to know of a change before it was told. Pure: times come from the caller.
"""

from collections import OrderedDict
from typing import Final

from rppam.cache.model import CacheKey, Kind

FLOOR_NS: Final = 60 * 60 * 1_000_000_000
"""As long as the log of changes is kept (:data:`rppam.cache.change_log_port.KEPT_MS`)."""
FLOORS_MAX: Final = 65_536
"""Some 20 MB when full."""


class MinimumRevisions:
    """See the module. All times are nanoseconds on the caller's clock."""

    def __init__(self, most: int = FLOORS_MAX) -> None:
        self._most = most
        self._floors: OrderedDict[CacheKey, tuple[int, int]] = OrderedDict()
        self._blind_until: dict[Kind, int] = {}

    def __len__(self) -> int:
        return len(self._floors)

    def raise_to(self, key: CacheKey, revision: int, now: int) -> bool:
        """Nothing below ``revision`` counts from now on. Whether that is news."""
        if revision <= 1:
            return True  # nothing can be below the first
        known = self._floors.get(key)
        if known is not None and known[0] >= revision:
            return False
        self._floors[key] = (revision, now + FLOOR_NS)
        self._floors.move_to_end(key)
        self._sweep(now)
        return True

    def allows(self, key: CacheKey, revision: int, now: int) -> bool:
        """Whether a copy of that revision, from wherever, may be believed."""
        known = self._floors.get(key)
        if known is not None and revision < known[0]:
            return False
        return now >= self._blind_until.get(key.kind, now)

    def _sweep(self, now: int) -> None:
        floors = self._floors
        while floors:
            key, (_, until) = next(iter(floors.items()))
            if until > now and len(floors) <= self._most:
                return
            del floors[key]
            if until > now:
                self._blind_until[key.kind] = max(until, self._blind_until.get(key.kind, until))
