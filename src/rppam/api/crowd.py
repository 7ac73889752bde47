"""Which connection is closed when there are too many: an idle one of whoever has most of them, the oldest first.

So one host that opens connections and says nothing, or never hangs up, loses its own, and an administrator from
elsewhere gets in at once. What it does not promise: a place for everybody when as many hosts as there are places come
together; then the oldest idle ones make room, which an honest caller feels as a connection closed between requests.
"""

from typing import Protocol


class Caller(Protocol):
    """One open connection."""

    def is_idle(self) -> bool:
        """Whether no request of it is being answered."""
        ...

    def hang_up(self) -> None:
        """Close it now."""
        ...


class Crowd:
    """All connections of one server."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._count = 0
        self._of: dict[str, dict[Caller, None]] = {}
        """By address, the oldest first."""

    def come(self, caller: Caller, address: str) -> None:
        """One more; beyond the bound one is closed, perhaps this one. ``address``: what it is counted by."""
        self._of.setdefault(address, {})[caller] = None
        self._count += 1
        if self._count > self._places:
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

    def _chosen(self) -> tuple[Caller, str]:
        # Who has just come is idle, so somebody is always found.
        for address, callers in sorted(self._of.items(), key=lambda item: len(item[1]), reverse=True):
            for caller in callers:
                if caller.is_idle():
                    return caller, address
        raise AssertionError("nobody among too many connections is idle")
