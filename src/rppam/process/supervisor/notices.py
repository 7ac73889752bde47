"""The node's line to the service manager, which knows the supervisor only: ready, alive, status, stopping."""

from typing import Any, Final

from rppam.process.notifier import Notifier
from rppam.process.notify import notifier

_US_PER_MS: Final = 1_000


class Notices:
    """Passes on what the control process reports, and is itself the sign of life."""

    def __init__(self, line: Notifier | None = None) -> None:
        self._line = line or notifier()
        self._ready: str | None = None
        self._status = ""
        self._is_told = False
        self._pinged_us = 0

    def reported(self, word: str, facts: dict[str, Any]) -> None:
        """What the control process says."""
        text = str(facts.get("status", ""))
        if word == "ready":
            self._ready = text
        elif word == "status":
            self._status = text
        elif word == "stopping":
            self._line.stopping(text)

    def turned(self, *, has_worker: bool) -> None:
        """Ready is told once: when the control process is, and somebody answers requests. Then each new status."""
        if has_worker and self._ready is not None and not self._is_told:
            self._is_told = True
            self._line.ready(self._ready)
        if self._is_told and self._status:
            self._line.status(self._status)
            self._status = ""

    def ping(self, now_us: int) -> None:
        """The node is alive: called at every turn while it is; a ping leaves when one is due."""
        every_ms = self._line.alive_every_ms
        if self._is_told and every_ms is not None and now_us - self._pinged_us >= every_ms * _US_PER_MS:
            self._pinged_us = now_us
            self._line.alive()

    def due_us(self) -> int | None:
        """When the next ping is due, on the host's boot-time clock; ``None``: nobody watches, or not yet."""
        every_ms = self._line.alive_every_ms
        return None if every_ms is None or not self._is_told else self._pinged_us + every_ms * _US_PER_MS

    def stopping(self, why: str) -> None:
        """The node has begun to stop."""
        self._line.stopping(why)
