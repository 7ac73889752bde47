"""The times leadership lives by, and the one inequality that keeps them safe.

With ``L`` the lease (how long a voter supports nobody else, a candidate must see the same record), ``D`` the promise
(how long a holder counts on a vote after *asking* for it), ``r`` the largest rate error of one clock, and ``drop`` the
time to give up the address::

    L >= D (1 + r) / (1 - r) + drop

``D`` is derived from the others, so it cannot be set wrong. Why these defaults: the death of a whole host must be
healed within 5 s, and a standby sees the holder's last write at most one heartbeat after it was made, so
``heartbeat + L + election`` = 0.5 + 4.0 + a few round trips. A holder then tolerates about 3.4 s of a silent store.
"""

from typing import Final, NamedTuple

from rppam.kernel.instant import US_PER_MS

RATE_ERROR_PPM_MAX: Final = 100_000
HEARTBEAT_TTL_MS: Final = 30_000
"""The product's own age of a stale heartbeat; where heartbeats are far apart it is :data:`BEATS_KEPT` of them."""
BEATS_KEPT: Final = 5


class UnsafeTimingError(ValueError):
    """A set of times that could break the rule, or that would step down at the first hiccup."""


class Timing(NamedTuple):
    """All periods of one cluster. Every node of a cluster must use the same."""

    lease_ms: int
    """L: a candidate waits this long, on its own clock, from the arrival of the last change it saw."""
    heartbeat_ms: int
    """Each node exchanges with the store this often: one round trip that renews or reads, and publishes itself."""
    rate_error_ppm: int
    """r: the largest rate error of one clock that is tolerated, in parts per million."""
    drop_ms: int
    """Time within which a node that may no longer lead has stopped acting and dropped the address."""
    request_timeout_ms: int
    """After this long without a reply an exchange is *unknown*."""

    @property
    def promise_ms(self) -> int:
        """D, rounded down."""
        million = 1_000_000
        return (self.lease_ms - self.drop_ms) * (million - self.rate_error_ppm) // (million + self.rate_error_ppm)

    @property
    def promise_us(self) -> int:
        """D in microseconds."""
        return self.promise_ms * US_PER_MS

    @property
    def lease_us(self) -> int:
        """L in microseconds."""
        return self.lease_ms * US_PER_MS

    @property
    def heartbeat_us(self) -> int:
        """The heartbeat period in microseconds."""
        return self.heartbeat_ms * US_PER_MS

    @property
    def heartbeat_ttl_ms(self) -> int:
        """How long a heartbeat stays in the store when no other one follows; always some beats longer than the next."""
        return max(HEARTBEAT_TTL_MS, BEATS_KEPT * self.heartbeat_ms)

    @property
    def request_timeout_us(self) -> int:
        """The request timeout in microseconds."""
        return self.request_timeout_ms * US_PER_MS

    def check(self) -> "Timing":
        """Itself, or :class:`UnsafeTimingError` naming what must hold and what was found."""
        if min(self.lease_ms, self.heartbeat_ms, self.request_timeout_ms) <= 0 or self.drop_ms < 0:
            raise UnsafeTimingError(f"all periods must be positive, found {self!r}")
        if not 0 <= self.rate_error_ppm <= RATE_ERROR_PPM_MAX:
            raise UnsafeTimingError(
                f"clock rate error must be 0 to {RATE_ERROR_PPM_MAX} parts per million, found {self.rate_error_ppm}"
            )
        if self.promise_ms >= self.lease_ms:
            raise UnsafeTimingError(
                f"a leader may act {self.promise_ms} ms after a renewal, and the others wait no longer than the lease "
                f"of {self.lease_ms} ms, so no time is left for clocks that differ or for stepping down. Raise "
                "clockRateErrorPercent or stepDownMs above 0"
            )
        needed = 2 * self.heartbeat_ms + self.request_timeout_ms
        if self.promise_ms < needed:
            raise UnsafeTimingError(
                f"a leader may act {self.promise_ms} ms after a renewal (lease {self.lease_ms} ms less the drop time "
                f"and the clock margin), but must survive one lost renewal: two heartbeats and one timeout are "
                f"{needed} ms. Raise the lease or shorten the heartbeat"
            )
        return self


PROFILES: Final[dict[str, Timing]] = {
    "default": Timing(lease_ms=4_000, heartbeat_ms=500, rate_error_ppm=10_000, drop_ms=500, request_timeout_ms=1_000),
    "lan": Timing(lease_ms=900, heartbeat_ms=200, rate_error_ppm=10_000, drop_ms=100, request_timeout_ms=250),
    "classic": Timing(
        lease_ms=30_000, heartbeat_ms=5_000, rate_error_ppm=10_000, drop_ms=2_000, request_timeout_ms=5_000
    ),
}
"""``default`` heals a dead host within 5 s, ``lan`` (one quiet network) in about 1 s; ``classic`` is the 30 s lock."""
