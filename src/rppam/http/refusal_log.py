"""Lines about refused requests, bounded in time: the first ones as they are, of the rest how many they were.

Decides which line is written. Within :data:`PERIOD_S` those are the first :data:`EACH` of a code and the first
:data:`IN_ALL` of a process; one line at the end says how many more came of which code. So nobody who is refused fills a
disk, and whoever reads the log learns of the first, of each kind, and of the size. What it does not promise: a line for
every request; that is the access log's affair.
"""

import asyncio
import logging
from collections import Counter
from typing import Final

EACH: Final = 10
IN_ALL: Final = 40
PERIOD_S: Final = 10.0
WORDS_CHARS: Final = 300
"""Of what an error says of a request, which may be the caller's own words."""


class RefusalLog:
    """See the module. One for each process; used inside one event loop."""

    def __init__(self, log: logging.Logger, period_s: float = PERIOD_S) -> None:
        self._log, self._period_s = log, period_s
        self._written: Counter[str] = Counter()
        self._more: Counter[str] = Counter()
        self._level = logging.NOTSET
        self._end: asyncio.TimerHandle | None = None

    def write(self, level: int, code: str, sentence: str, *args: object) -> None:
        """One refused request; ``sentence`` with ``args`` as a logger takes them."""
        if not self._log.isEnabledFor(level):
            return
        if self._end is None:
            self._end = asyncio.get_running_loop().call_later(self._period_s, self._sum_up)
        if self._written[code] < EACH and self._written.total() < IN_ALL:
            self._written[code] += 1
            self._log.log(level, sentence, *args)
            return
        self._more[code] += 1
        self._level = max(self._level, level)

    def _sum_up(self) -> None:
        more, level = self._more, self._level
        self._written, self._more, self._level, self._end = Counter(), Counter(), logging.NOTSET, None
        if more:
            told = ", ".join(f"{count} {code}" for code, count in sorted(more.items()))
            self._log.log(
                level, "%d more requests were refused in the last %.0f s: %s", more.total(), self._period_s, told
            )
