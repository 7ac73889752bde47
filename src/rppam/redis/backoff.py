"""How long to wait before the next attempt to connect: doubling with jitter, and never beyond the cap.

After what a hostile or overfull server did the waits are longer, whatever the link's cap: coming back at once would be
answered in the same way, and each attempt costs both sides. Such a series also ends later.

Half of each wait is fixed and half is drawn, so that nodes which lost Redis together do not come back together, and
none comes back at once again and again. Pure: chance comes in as :class:`~rppam.kernel.entropy.Entropy`.
"""

from typing import Final, NamedTuple

from rppam.kernel.entropy import Entropy
from rppam.redis.errors import (
    StoreDown,
    StoreError,
    StoreProtocol,
    StorePushFlood,
    StoreReplyTooLarge,
    StoreUnknown,
)
from rppam.redis.reply_errors import StoreFull

BASE_MS: Final = 50
CAP_MS: Final = 2_000
STEADY_MS: Final = 2_000
"""A connection that held for this long counts as a success; a shorter one does not start the series anew."""
HOSTILE_STEADY_MS: Final = 30_000
"""So long it must hold after one of :data:`PACES`: a server may tell the truth for a while."""


class Pace(NamedTuple):
    """The first and the longest wait."""

    base_ms: int
    cap_ms: int


PACES: Final[dict[type[StoreError], Pace]] = {
    StoreReplyTooLarge: Pace(500, 5_000),
    StorePushFlood: Pace(500, 5_000),
    StoreProtocol: Pace(100, 2_000),
    StoreFull: Pace(200, 2_000),
}
"""After these a link is no quicker than this."""


class Backoff:
    """The series of waits of one link."""

    def __init__(self, entropy: Entropy, *, base_ms: int = BASE_MS, cap_ms: int = CAP_MS) -> None:
        self._entropy = entropy
        self._base_ms = base_ms
        self._cap_ms = cap_ms
        self._failures = 0
        self._steady_ms = STEADY_MS

    def next_ms(self, failure: BaseException | None = None) -> int:
        """The next wait, between half and all of base, 2 base, 4 base ... cap. ``failure``: what it is waited after."""
        base_ms, cap_ms = self._base_ms, self._cap_ms
        pace = _pace_after(failure)
        if pace is not None:
            base_ms, cap_ms = max(base_ms, pace.base_ms), max(cap_ms, pace.cap_ms)
            self._steady_ms = HOSTILE_STEADY_MS
        ceiling = min(cap_ms, base_ms << min(self._failures, 16))
        self._failures += 1
        half = ceiling // 2
        return half + self._entropy.below(ceiling - half + 1)

    def succeeded(self, held_ms: int) -> None:
        """The last connection held for ``held_ms``."""
        if held_ms >= self._steady_ms:
            self._failures = 0
            self._steady_ms = STEADY_MS


def _pace_after(failure: BaseException | None) -> Pace | None:
    """The pace after ``failure``, or after what it was caused by."""
    while isinstance(failure, StoreDown | StoreUnknown) and failure.__cause__ is not None:
        failure = failure.__cause__
    return PACES.get(type(failure)) if isinstance(failure, StoreError) else None
