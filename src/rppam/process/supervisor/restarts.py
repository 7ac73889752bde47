"""When a process that died is started again: at once after an accident, and ever later in a storm of them.

Decides only the wait. A process that dies for a reason that lasts would otherwise take the machine's processors, and
the log, for starting it over and over.
"""

from typing import Final, NamedTuple

CALM_US: Final = 60_000_000
"""Who lived for so long after its start begins anew."""
WAITS_MS: Final = (0, 200, 500, 1_000)
"""After the first, second, ... death in a row."""
STORM_WAITS_MS: Final = (5_000, 10_000, 20_000, 30_000)
"""After the fifth and so on; the last one stays."""


class Restart(NamedTuple):
    """The answer to one death."""

    wait_ms: int
    deaths: int
    """In a row, with this one: none of them lived for a minute."""

    @property
    def is_storm(self) -> bool:
        """Whether it dies so often that waiting is worth a warning."""
        return self.deaths > len(WAITS_MS)


class Restarts:
    """The deaths of one process and its successors."""

    def __init__(self) -> None:
        self._deaths = 0
        self._started_us = 0

    def died(self, now_us: int) -> Restart:
        """It died at ``now_us``, on the host's boot-time clock. How long to wait before the next one is started."""
        # From the start, not from the last death: the waits of a storm are no calm.
        if now_us - self._started_us > CALM_US:
            self._deaths = 0
        self._deaths += 1
        waits = (*WAITS_MS, *STORM_WAITS_MS)
        wait_ms = waits[min(self._deaths, len(waits)) - 1]
        self._started_us = now_us + wait_ms * 1_000
        return Restart(wait_ms, self._deaths)
