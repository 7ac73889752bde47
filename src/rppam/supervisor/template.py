"""The template as the supervisor sees it: a process that has everything imported and is copied for each new process.

A copy shares the memory of what was imported, and is there in milliseconds. The template serves nobody, so that it is
copied in a state that is known; when it dies, another one is started, and nothing else is touched.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Sequence

from rppam.adapters.system.lines import Line
from rppam.supervisor.children import Child
from rppam.supervisor.options import Start

log = logging.getLogger("rppam.supervisor")


class Template:
    """Starts the template, and asks it for copies."""

    def __init__(self, start: Start, page: int, words: int) -> None:
        """``page`` and ``words`` are the descriptors of the shared memory."""
        self.line: Line | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.is_ready = False
        self._start = start
        self._page, self._words = page, words

    @property
    def pid(self) -> int:
        """0: none."""
        return self.process.pid if self.process is not None else 0

    def launch(self, sockets: Sequence[int]) -> None:
        """Start one. ``sockets`` listen already; without any it opens them itself."""
        ours, theirs = Line.pair()
        self.line, self.is_ready = ours, False
        shared = [theirs.fileno(), self._page, self._words, *sockets]
        words = [sys.executable, "-m", "rppam.compose.template", *self._start.words()]
        words += ["--parent", str(os.getpid()), "--descriptors", ",".join(map(str, shared))]
        self.process = subprocess.Popen(words, pass_fds=shared, stdin=subprocess.DEVNULL)  # noqa: S603  # our own code
        theirs.close()

    def copy(self, child: Child) -> None:
        """Ask for a process that fills the place of ``child``."""
        assert self.line is not None
        ours, theirs = Line.pair()
        child.line, child.is_wanted, child.generation = ours, True, child.generation + 1
        self.line.send("copy", (theirs.fileno(),), role=child.role, place=child.place, generation=child.generation)
        theirs.close()

    def reaped(self, status: int) -> None:
        """It is gone; the parent's ``waitpid`` got its status."""
        if self.process is not None:
            self.process.returncode = os.waitstatus_to_exitcode(status)
        self.process, self.is_ready = None, False
        if self.line is not None:
            self.line.close()
            self.line = None

    def end(self) -> None:
        """No more copies."""
        if self.process is not None:
            self.process.kill()
