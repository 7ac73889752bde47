"""The template as the supervisor sees it: a process that has everything imported and is copied for each new process.

A copy shares the memory of what was imported, and is there in milliseconds. The template serves nobody, so that it is
copied in a state that is known; when it dies, another one is started, and nothing else is touched.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from rppam.process.control_channel import ControlChannel
from rppam.process.supervisor.children import Child
from rppam.process.supervisor.options import Start
from rppam.process.supervisor.restarts import Restarts

log = logging.getLogger("rppam.supervisor")

READY_US: Final = 120_000_000
"""Importing everything takes a second, and far longer where the machine has no time for it."""
COPY_US: Final = 10_000_000


class ForkServer:
    """Starts the template, and asks it for copies."""

    def __init__(self, start: Start, page: int, words: int) -> None:
        """``page`` and ``words`` are the descriptors of the shared memory."""
        self.line: ControlChannel | None = None
        self.pid = 0
        """0: none."""
        self.is_ready = False
        self.restarts = Restarts()
        self.due_us = 0
        """When the next one may be started."""
        self._start = start
        self._asked_us = 0
        self._page, self._words = page, words

    def launch(self, sockets: Sequence[int], now_us: int) -> None:
        """Start one. ``sockets`` listen already; without any it opens them itself. Raises :class:`OSError`."""
        if sys.platform == "win32":
            raise NotImplementedError
        ours, theirs = ControlChannel.pair()
        self.line, self.is_ready = ours, False
        self._asked_us = now_us
        shared = [theirs.fileno(), self._page, self._words, *sockets]
        words = [sys.executable, "-m", "rppam.app.fork_server", *self._start.words()]
        words += ["--parent", str(os.getpid()), "--descriptors", ",".join(map(str, shared))]
        for descriptor in shared:
            os.set_inheritable(descriptor, True)
        # Not subprocess: it would double what the supervisor imports.
        nothing_to_read = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        try:
            self.pid = os.posix_spawn(words[0], words, os.environ, file_actions=nothing_to_read)
        finally:
            for descriptor in shared:
                os.set_inheritable(descriptor, False)
            theirs.close()

    def copy(self, child: Child, now_us: int) -> str:
        """Ask for a process that fills the place of ``child``. Why that was not possible; empty when it was."""
        assert self.line is not None
        try:
            ours, theirs = ControlChannel.pair()
        except OSError as error:  # the host gives nothing more, for now
            return error.strerror or str(error)
        self._asked_us = now_us
        child.line, child.is_wanted, child.generation = ours, True, child.generation + 1
        self.line.send("copy", (theirs.fileno(),), role=child.role, place=child.place, generation=child.generation)
        theirs.close()
        return ""

    def is_overdue(self, now_us: int, *, waited_for: bool) -> bool:
        """Whether it hangs: it does not get ready, or gives no copy."""
        if not self.pid or (self.is_ready and not waited_for):
            return False
        return now_us - self._asked_us > (COPY_US if self.is_ready else READY_US)

    def reaped(self) -> None:
        """It is gone."""
        self.pid, self.is_ready = 0, False
        if self.line is not None:
            self.line.close()
            self.line = None

    def end(self) -> None:
        """No more copies."""
        if self.pid and sys.platform != "win32":
            os.kill(self.pid, signal.SIGKILL)
