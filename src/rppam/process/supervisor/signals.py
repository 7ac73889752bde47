"""Signals as something that a poll can wait for. The handlers only note; everything is done in the one loop."""

import signal
import socket
import sys
from types import FrameType
from typing import Final

if sys.platform == "win32":  # a node is a single process there
    HEARD: Final[tuple[signal.Signals, ...]] = ()
else:
    HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGCONT)


class Signals:
    """What came since the last look."""

    def __init__(self) -> None:
        self._came: set[int] = set()
        self._out, self._in = socket.socketpair()
        for end in (self._out, self._in):
            end.setblocking(False)
        signal.set_wakeup_fd(self._in.fileno(), warn_on_full_buffer=False)
        for number in HEARD:
            signal.signal(number, self._note)

    def fileno(self) -> int:
        """Readable when a signal came."""
        return self._out.fileno()

    def take(self) -> set[int]:
        """Those that came since the last call."""
        try:
            while self._out.recv(512):
                pass
        except BlockingIOError:
            pass
        came, self._came = self._came, set()
        return came

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._came.add(number)
