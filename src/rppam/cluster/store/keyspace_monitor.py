"""What is wrong with this cluster's keys in the store: foreign data that stood there, and a record that vanishes.

Neither has an end that could be seen: so each is a warning in health until it has not happened for a while, and the
log tells it when it comes, not each time it happens. Decides nothing.
"""

import logging
from collections import deque
from typing import Final

from rppam.cluster.store.ports import ExchangeAnswer
from rppam.kernel.instant import US_PER_S, Instant

log: Final = logging.getLogger("rppam.node")

FOREIGN_FOR_US: Final = 300 * US_PER_S
"""So long after the last time foreign data is warned of."""
TELL_AGAIN_US: Final = 60 * US_PER_S
"""So often at most the log tells of foreign data of one kind while it goes on."""
KINDS_MAX: Final = 100
"""Of which is known when they were told; whoever writes foreign keys chooses how many there are."""
VANISHED_TIMES: Final = 3
"""So often the record is gone within :data:`VANISH_WITHIN_US` before that is warned of: a store that lost its data once
shows that once."""
VANISH_WITHIN_US: Final = 60 * US_PER_S
"""Also: so long after the last time that is warned of."""
_TIME: Final = "0123456789."
"""Ends the name under which foreign data is kept, and makes no other kind of it."""
FOREIGN: Final = "foreign data under this cluster's keys in Redis: "
VANISHES: Final = (
    "keys of this cluster vanish from Redis again and again: the leadership record was gone three times within a "
    "minute. Somebody empties Redis (FLUSHALL), it evicts keys or restarts without its data, or another program "
    "deletes them: look at cmdstat_flushall and cmdstat_del in INFO commandstats, at evicted_keys and "
    "uptime_in_seconds in INFO, and at CLIENT LIST for who else is connected"
)


class StoreKeys:
    """What one node has found, and told, of the cluster's keys."""

    def __init__(self) -> None:
        self._foreign = ""
        self._foreign_at: Instant | None = None
        self._told: dict[str, tuple[Instant, int]] = {}
        """When each kind of foreign data was told last, and how often it came since."""
        self._gone_at: deque[Instant] = deque(maxlen=VANISHED_TIMES)
        self._vanishes = False

    def look(self, answer: ExchangeAnswer, now: Instant) -> None:
        """The store answered."""
        if answer.moved_aside:
            self.found_foreign(answer.moved_aside, now)
        elif answer.was_absent:  # where something foreign stood in its place, that was told
            self._gone_at.append(now)
        if self._vanishes and not self._vanished_lately(now):
            self._vanishes = False
            log.info("the leadership record has stayed in Redis for a minute")
        elif not self._vanishes and self._is_often() and self._vanished_lately(now):
            self._vanishes = True
            log.warning(VANISHES)

    def found_foreign(self, what: str, now: Instant) -> None:
        """Something stands under this cluster's keys that none of its nodes wrote."""
        is_known = what == self._foreign and self._is_foreign(now)
        self._foreign, self._foreign_at = what, now
        if is_known:  # it still stands there
            return
        kind = what.rstrip(_TIME)
        told_at, untold = self._told.get(kind, (None, 0))
        if told_at is not None and now - told_at < TELL_AGAIN_US:
            self._told[kind] = told_at, untold + 1
            return
        if len(self._told) >= KINDS_MAX:
            self._told.clear()
        log.warning("%s%s%s", FOREIGN, what, f" ({untold + 1} such since the last line)" if untold else "")
        self._told[kind] = now, 0

    def are_vanishing(self, now: Instant) -> bool:
        """Whether keys vanish again and again: then a heartbeat that is not there says nothing of its node."""
        return self._vanishes and self._vanished_lately(now)

    def warnings(self, now: Instant) -> tuple[str, ...]:
        """Sentences for an administrator; each goes by itself a while after the last time."""
        told = [FOREIGN + self._foreign] if self._is_foreign(now) else []
        return (*told, VANISHES) if self.are_vanishing(now) else tuple(told)

    def _is_foreign(self, now: Instant) -> bool:
        return self._foreign_at is not None and now - self._foreign_at < FOREIGN_FOR_US

    def _is_often(self) -> bool:
        return len(self._gone_at) == VANISHED_TIMES and self._gone_at[-1] - self._gone_at[0] <= VANISH_WITHIN_US

    def _vanished_lately(self, now: Instant) -> bool:
        return bool(self._gone_at) and now - self._gone_at[-1] < VANISH_WITHIN_US
