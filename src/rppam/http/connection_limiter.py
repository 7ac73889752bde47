"""Which connection is closed when there are too many: an idle one of whoever has most of them, the oldest first.

So one host that opens connections and says nothing, or never hangs up, loses its own, and an administrator from
elsewhere gets in at once. What it does not promise: a place for everybody when as many hosts as there are places come
together; then the oldest idle ones make room, which an honest caller feels as a connection closed between requests.

The log says so when it begins, and once a minute while it goes on.
"""

import logging
from collections.abc import Callable
from typing import Final, Protocol

log: Final = logging.getLogger("rppam.api")

TOLD_EVERY_S: Final = 60.0
"""Whoever floods a node with connections shall not flood its log."""


class Caller(Protocol):
    """One open connection."""

    def is_idle(self) -> bool:
        """Whether no request of it is being answered."""
        ...

    def hang_up(self) -> None:
        """Close it now."""
        ...


class ConnectionLimiter:
    """All connections of one server."""

    def __init__(self, places: int, now_s: Callable[[], float]) -> None:
        """``now_s``: a clock of seconds that never goes back."""
        self._places = places
        self._now_s = now_s
        self._told_s: float | None = None
        self._closed = 0
        """Since the log last said so."""
        self._count = 0
        self._of: dict[str, dict[Caller, None]] = {}
        """By address, the oldest first."""

    def come(self, caller: Caller, address: str) -> None:
        """One more; beyond the bound one is closed, perhaps this one. ``address``: what it is counted by."""
        self._of.setdefault(address, {})[caller] = None
        self._count += 1
        if self._count > self._places:
            self._tell()
            chosen, of_address = self._chosen()
            self.go(chosen, of_address)
            chosen.hang_up()

    def go(self, caller: Caller, address: str) -> None:
        """It has gone, or will at once."""
        callers = self._of.get(address, {})
        if caller not in callers:
            return
        del callers[caller]
        self._count -= 1
        if not callers:
            del self._of[address]

    def _tell(self) -> None:
        self._closed += 1
        now_s = self._now_s()
        if self._told_s is not None and now_s - self._told_s < TOLD_EVERY_S:
            return
        most, callers = max(self._of.items(), key=lambda item: len(item[1]))
        log.warning(
            "more than %d connections to the REST API: the oldest idle ones of the address that has most are closed, "
            "%d %s; most, %d, are from %s",
            self._places,
            self._closed,
            "so far" if self._told_s is None else "since this was last said",
            len(callers),
            most,
        )
        self._told_s, self._closed = now_s, 0

    def _chosen(self) -> tuple[Caller, str]:
        # Who has just come is idle, so somebody is always found.
        for address, callers in sorted(self._of.items(), key=lambda item: len(item[1]), reverse=True):
            for caller in callers:
                if caller.is_idle():
                    return caller, address
        raise AssertionError("nobody among too many connections is idle")
