"""Limits counted by one process alone (:class:`rppam.limits.ports.LimitStore`), bounded in number.

The oracle's arithmetic by this host's own clock. When there are too many counters, the one that was not charged for
longest is forgotten: whoever floods it with new subjects forgets those, not a subject that is charged all the time.
"""

from collections.abc import Sequence
from typing import Final

from rppam.kernel.clock import Clock
from rppam.kernel.limit import Charge, Decision, Limit
from rppam.limits.arithmetic import give_back, merged, take

COUNTERS_MAX: Final = 10_000


class MemoryLimits:
    """See the module."""

    def __init__(self, clock: Clock, counters_max: int = COUNTERS_MAX) -> None:
        self._clock, self._max = clock, counters_max
        self._texts: dict[tuple[Limit, str], str] = {}
        # A host's clock may stand anywhere; a counter's text has room for a wall clock.
        self._origin = clock.now()

    def __len__(self) -> int:
        return len(self._texts)

    async def take(self, charges: Sequence[Charge]) -> Decision:
        """See the port. Raises ``ValueError`` as :func:`rppam.limits.arithmetic.merged` does."""
        charges = merged(charges)
        keys = [(one.limit, one.subject) for one in charges]
        taken = take(charges, [self._texts.get(key) for key in keys], self._now_us())
        for key, text in zip(keys, taken.texts, strict=True):
            if text:  # also of who is refused: that is just whom a flood shall not make us forget
                self._keep(key, text)
        return taken.decision

    async def give_back(self, charges: Sequence[Charge]) -> None:
        """See the port."""
        for limit, subject, cost in merged(charges):
            key = (limit, subject)
            text = give_back(limit, self._texts.get(key), self._now_us(), cost)
            if text is None:
                self._texts.pop(key, None)
            else:
                self._keep(key, text)

    async def reset(self, limits: Sequence[Limit], subject: str) -> None:
        """See the port."""
        for limit in limits:
            self._texts.pop((limit, subject), None)

    def _now_us(self) -> int:
        return self._clock.now() - self._origin

    def _keep(self, key: tuple[Limit, str], text: str) -> None:
        self._texts.pop(key, None)
        if len(self._texts) >= self._max:
            del self._texts[next(iter(self._texts))]
        self._texts[key] = text
