"""What a link knows while it is down: how long to wait, why there is no connection, and for what replica to wait."""

import asyncio
import logging
from typing import Final, NamedTuple

from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import US_PER_MS, US_PER_S, Instant, after
from rppam.redis.connection import Connection
from rppam.redis.errors import (
    StoreDown,
    StoreError,
    StoreFull,
    StoreLoading,
    StoreProtocol,
    StorePushFlood,
    StoreReplyTooLarge,
    StoreUnknown,
)

_log: Final = logging.getLogger("rppam.redis.link")

BASE_MS: Final = 50
CAP_MS: Final = 2_000
STEADY_MS: Final = 2_000
"""A connection that held for this long counts as a success; a shorter one does not end the series of waits."""
HOSTILE_STEADY_MS: Final = 30_000
"""The same after one of :data:`PACES`: a server may tell the truth for a while."""
REMIND_S: Final = 60
"""Time between two log lines that a server still loads."""
FRESH_MS: Final = 2_000
"""A primary counts as just promoted for this long."""
ATTACH_MS: Final = 300
"""How long a replica is waited for on one connection."""
LOOK_MS: Final = 4


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
    """The waits between attempts to connect: doubling with jitter, and never beyond the cap.

    Half of each wait is fixed and half is drawn, so that nodes which lost Redis together do not come back together, and
    none comes back at once again and again. After what a hostile or overfull server did the waits are longer, whatever
    the cap: coming back at once would be answered in the same way, and each attempt costs both sides.
    """

    def __init__(self, entropy: Entropy, *, base_ms: int = BASE_MS, cap_ms: int = CAP_MS) -> None:
        self._entropy = entropy
        self._base_ms = base_ms
        self._cap_ms = cap_ms
        self._failures = 0
        self._steady_ms = STEADY_MS

    def next_ms(self, failure: BaseException | None = None) -> int:
        """The next wait, between half and all of base, 2 base, 4 base ... cap. ``failure``: what it is waited after."""
        while isinstance(failure, StoreDown | StoreUnknown) and failure.__cause__ is not None:
            failure = failure.__cause__
        base_ms, cap_ms = self._base_ms, self._cap_ms
        pace = PACES.get(type(failure)) if isinstance(failure, StoreError) else None
        if pace is not None:
            base_ms, cap_ms = max(base_ms, pace.base_ms), max(cap_ms, pace.cap_ms)
            self._steady_ms = HOSTILE_STEADY_MS
        ceiling = min(cap_ms, base_ms << min(self._failures, 16))
        self._failures += 1
        half = ceiling // 2
        return half + self._entropy.below(ceiling - half + 1)

    def succeeded(self, held_ms: int) -> None:
        """Note that the last connection held for ``held_ms``."""
        if held_ms >= self._steady_ms:
            self._failures = 0
            self._steady_ms = STEADY_MS


class LinkStatus:
    """Why there is no connection: kept for readers, and logged once for each new reason.

    A server that loads its data is waited for as long as it takes, so that is logged again now and then, with the time.
    A fault that nobody foresaw is a reason like any other: it is logged whole, once, and ends nothing.
    """

    def __init__(self, peer: str, clock: Clock) -> None:
        """``peer`` names in the log what there is no connection to."""
        self.peer = peer
        self.reason = "not started"
        """A sentence with the fix; empty while there is a connection."""
        self.failure: StoreError | None = None
        """The error behind :attr:`reason`; ``None`` while there is a connection."""
        self.since: Instant | None = None
        """When the connection was lost, or the first attempt failed; ``None`` while there is one, or nothing failed."""
        self._clock = clock
        self._loads_since: Instant | None = None
        self._reminded_at: Instant = clock.now()

    def failed(self, error: Exception, *, is_logged: bool = True) -> StoreError:
        """Remember why, and log it when it is new (and ``is_logged``). Returns ``error``, or what stands for it.

        Anything but a :class:`StoreError` is a fault of ours: it is logged with its traceback and becomes a StoreDown.
        """
        if isinstance(error, StoreError):
            failure, level, trace = error, logging.WARNING, None
        else:
            text = f"a fault of this node, which its log tells ({type(error).__name__}: {error})"
            failure, level, trace = StoreDown(text), logging.ERROR, error
            failure.__cause__ = error
        if str(failure) != self.reason and is_logged:
            _log.log(level, "no connection to %s: %s", self.peer, failure, exc_info=trace)
        self.reason, self.failure = str(failure), failure
        if self.since is None:
            self.since = self._clock.now()
        self._remind(failure)
        return failure

    def connected(self) -> None:
        """There is a connection."""
        if self._loads_since is not None:
            waited_s = (self._clock.now() - self._loads_since) / US_PER_S
            _log.info("%s has loaded its data; this node waited %.1f s for it", self.peer, waited_s)
        self.reason, self.failure, self.since, self._loads_since = "", None, None, None

    def as_error(self) -> StoreDown:
        """What a command gets meanwhile."""
        down = StoreDown(f"no connection to {self.peer}: {self.reason}", raw=self.failure.raw if self.failure else "")
        down.__cause__ = self.failure
        return down

    def _remind(self, failure: StoreError) -> None:
        now = self._clock.now()
        if not isinstance(failure, StoreLoading):
            self._loads_since = None
        elif self._loads_since is None:
            self._loads_since = self._reminded_at = now
        elif now - self._reminded_at >= REMIND_S * US_PER_S:
            self._reminded_at = now
            loads_s = (now - self._loads_since) // US_PER_S
            _log.warning("%s still loads its data, for %d s now; this node waits for it", self.peer, loads_s)


class ReplicaWait:
    """A primary that was promoted a moment ago, and refuses writes until a replica has found it.

    ``min-replicas-to-write`` makes it answer NOREPLICAS meanwhile: some ten milliseconds, more with TLS between the
    servers. The link then comes back at once and waits on the new connection until ROLE shows a replica. A primary that
    is short of replicas at any other time is left alone, and found again as the endpoint provider says.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fresh_until = Instant(0)
        self._was_refused = False

    def moved(self) -> None:
        """Note that the sentinels have made another server the primary."""
        self._fresh_until = after(self._clock.now(), FRESH_MS * US_PER_MS)

    def refused(self) -> bool:
        """Note a NOREPLICAS; return whether to come back at once, as it was promoted a moment ago."""
        self._was_refused = self._clock.now() < self._fresh_until
        return self._was_refused

    async def end(self, connection: Connection, timeout_ms: int) -> None:
        """After a refusal, wait until a replica is there, or for :data:`ATTACH_MS`. Raises ``StoreError``."""
        if not self._was_refused:
            return
        self._was_refused = False
        until = after(self._clock.now(), ATTACH_MS * US_PER_MS)
        while self._clock.now() < until:
            try:
                role = await connection.command("ROLE", timeout_ms=timeout_ms)
            except StoreError:
                if connection.lost is not None:
                    raise
                return  # ROLE is denied there: nothing to wait for
            match role:
                case [b"master", _, [_, *_], *_]:
                    return
            await asyncio.sleep(LOOK_MS / 1000)
