"""Why there is no connection: kept for whoever asks, and said in the log once for each new reason.

A server that loads its data is waited for as long as it takes, so that is said again now and then, with the time.
A fault that nobody foresaw is a reason like any other: it is logged whole, once, and does not end whoever keeps trying.
"""

import logging
from typing import Final

from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_S, Instant
from rppam.redis.errors import StoreDown, StoreError
from rppam.redis.reply_errors import StoreLoading

_log: Final = logging.getLogger(__name__)

REMIND_S: Final = 60
"""So often it is said that a server still loads."""


class LinkStatus:
    """One link's time without a connection, and what it is told of it."""

    def __init__(self, peer: str, clock: Clock) -> None:
        """``peer`` names in the log whom there is no connection to."""
        self.reason = "not started"
        """A sentence with the fix; empty while there is a connection."""
        self.failure: StoreError | None = None
        """The error behind :attr:`reason`; ``None`` while there is a connection."""
        self.since: Instant | None = None
        """When the connection was lost, or the first attempt failed; ``None`` while there is one, or nothing failed."""
        self._peer = peer
        self._clock = clock
        self._loads_since: Instant | None = None
        self._reminded_at: Instant = clock.now()

    def note(self, error: Exception, *, is_told: bool = True) -> StoreError:
        """Remember why, and say it when it is new (and ``is_told``). Returns ``error``, or what stands for it.

        Anything but a :class:`StoreError` is a fault of ours: it is logged with its traceback and becomes a StoreDown.
        """
        failure = error if isinstance(error, StoreError) else _fault(error)
        said = str(failure)
        if said != self.reason and is_told:
            trace = None if failure is error else error
            _log.log(
                logging.WARNING if trace is None else logging.ERROR,
                "no connection to %s: %s",
                self._peer,
                said,
                exc_info=trace,
            )
        self.reason, self.failure = said, failure
        if self.since is None:
            self.since = self._clock.now()
        self._remind(failure)
        return failure

    def over(self) -> None:
        """There is a connection."""
        if self._loads_since is not None:
            waited_s = (self._clock.now() - self._loads_since) / US_PER_S
            _log.info("%s has loaded its data; this node waited %.1f s for it", self._peer, waited_s)
        self.reason, self.failure, self.since, self._loads_since = "", None, None, None

    def as_error(self) -> StoreDown:
        """What a command gets that is asked for meanwhile."""
        down = StoreDown(f"no connection to {self._peer}: {self.reason}", raw=self.failure.raw if self.failure else "")
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
            _log.warning("%s still loads its data, for %d s now; this node waits for it", self._peer, loads_s)


def _fault(error: Exception) -> StoreDown:
    down = StoreDown(f"a fault of this node, which its log tells ({type(error).__name__}: {error})")
    down.__cause__ = error
    return down
