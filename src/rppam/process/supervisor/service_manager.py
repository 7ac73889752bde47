"""The supervisor and the world that started it: signals come in, and the service manager hears how the node is."""

import signal
import socket
import sys
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from rppam.kernel.instant import US_PER_MS
from rppam.process.notify import Notifier, notifier

if sys.platform == "win32":  # a node is a single process there
    HEARD: Final[tuple[signal.Signals, ...]] = ()
else:
    HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGCONT)


class Signals:
    """Signals as something that a poll can wait for: the handlers only take note, all work is done in the one loop."""

    def __init__(self) -> None:
        self._came: set[int] = set()
        self._out, self._in = socket.socketpair()
        for end in (self._out, self._in):
            end.setblocking(False)
        signal.set_wakeup_fd(self._in.fileno(), warn_on_full_buffer=False)
        for number in HEARD:
            signal.signal(number, self._note)

    def fileno(self) -> int:
        """The descriptor that is readable when a signal came."""
        return self._out.fileno()

    def take(self) -> set[int]:
        """Those that came since the last call."""
        with suppress(BlockingIOError):
            while self._out.recv(512):
                pass
        came, self._came = self._came, set()
        return came

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._came.add(number)


class Notices:
    """Passes on to the service manager what the control process reports, and is itself the sign of life."""

    def __init__(self, line: Notifier | None = None) -> None:
        self._line = line or notifier()
        self._ready: str | None = None
        self._status = ""
        self._is_ready_sent = False
        self._pinged_us = 0

    def reported(self, word: str, facts: dict[str, Any]) -> None:
        """Take a report of the control process."""
        text = str(facts.get("status", ""))
        if word == "ready":
            self._ready = text
        elif word == "status":
            self._status = text
        elif word == "stopping":
            self._line.stopping(text)

    def turned(self, *, has_worker: bool) -> None:
        """Send "ready" once, when the control process is and a worker answers requests; then each new status."""
        if has_worker and self._ready is not None and not self._is_ready_sent:
            self._is_ready_sent = True
            self._line.ready(self._ready)
        if self._is_ready_sent and self._status:
            self._line.status(self._status)
            self._status = ""

    def ping(self, now_us: int) -> None:
        """Send a ping if one is due. Called at every turn while the node is alive."""
        due_us = self.due_us()
        if due_us is not None and now_us >= due_us:
            self._pinged_us = now_us
            self._line.alive()

    def due_us(self) -> int | None:
        """When the next ping is due (boot-time clock); ``None``: nobody watches, or not yet."""
        every_ms = self._line.alive_every_ms
        return None if every_ms is None or not self._is_ready_sent else self._pinged_us + every_ms * US_PER_MS

    def stopping(self, why: str) -> None:
        """Report that the node has begun to stop."""
        self._line.stopping(why)
