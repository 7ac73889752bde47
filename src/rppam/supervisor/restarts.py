"""When a process that died is started again: at once after an accident, and ever later in a storm of them.

Decides only the wait. A process that dies for a reason that lasts would otherwise take the machine's processors, and
the log, for starting it over and over.
"""

from collections import deque
from typing import Final, NamedTuple

WINDOW_US: Final = 60_000_000
WAITS_MS: Final = (0, 200, 500, 1_000)
"""After the first, second, ... death within the window."""
STORM_WAITS_MS: Final = (5_000, 10_000, 20_000, 30_000)
"""After the fifth and so on; the last one stays."""


class Restart(NamedTuple):
    """The answer to one death."""

    wait_ms: int
    deaths: int
    """Within the last minute, with this one."""

    @property
    def is_storm(self) -> bool:
        """Whether it dies so often that waiting is worth a warning."""
        return self.deaths > len(WAITS_MS)


class Restarts:
    """The deaths of one process and its successors."""

    def __init__(self) -> None:
        self._deaths: deque[int] = deque(maxlen=len(WAITS_MS) + len(STORM_WAITS_MS))

    def died(self, now_us: int) -> Restart:
        """It died at ``now_us``, on the host's boot-time clock. How long to wait before the next one is started."""
        while self._deaths and now_us - self._deaths[0] > WINDOW_US:
            self._deaths.popleft()
        self._deaths.append(now_us)
        deaths = len(self._deaths)
        if deaths <= len(WAITS_MS):
            return Restart(WAITS_MS[deaths - 1], deaths)
        return Restart(STORM_WAITS_MS[min(deaths - len(WAITS_MS), len(STORM_WAITS_MS)) - 1], deaths)
