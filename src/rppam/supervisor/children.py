"""The supervisor's picture of the processes it looks after: one record a process, and how a process ended in words."""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from rppam.adapters.system.lines import Line
from rppam.supervisor.restarts import Restarts


class Role(StrEnum):
    """What a process of the node does."""

    CONTROL = "control"
    """Leadership, heartbeats, and everything else that decides."""
    WORKER = "worker"
    """Answers requests."""


@dataclass(slots=True)
class Child:
    """One place among the node's processes, and whoever fills it now."""

    role: Role
    place: int
    """Where its sign of life stands on the node's page."""
    pid: int = 0
    """0: nobody, or not known yet."""
    line: Line | None = None
    generation: int = 0
    """Counts the processes that filled this place; the first is 1."""
    is_wanted: bool = False
    """Asked for, and not yet there."""
    due_us: int = 0
    """When the next one may be started."""
    is_killed: str = ""
    """Why the supervisor killed it, while it is not gone yet."""
    restarts: Restarts = field(default_factory=Restarts)

    @property
    def name(self) -> str:
        """For people."""
        return "the control process" if self.role is Role.CONTROL else f"API worker {self.place - 1}"

    @property
    def is_there(self) -> bool:
        """Whether somebody fills the place, or is on the way."""
        return self.pid != 0 or self.is_wanted

    def kill(self, why: str) -> None:
        """SIGKILL; ``why`` is told when it is gone."""
        if self.pid and not self.is_killed:
            self.is_killed = why
            with suppress(ProcessLookupError):
                os.kill(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def say(self, word: str, **facts: str | int) -> bool:
        """An order over its line; whether it left."""
        return self.line is not None and self.line.send(word, (), **facts)

    def empty(self) -> None:
        """It is gone."""
        self.pid, self.is_wanted, self.is_killed = 0, False, ""
        if self.line is not None:
            self.line.close()
            self.line = None


def how_it_ended(status: int) -> tuple[int, str]:
    """Its exit code (negative for a signal), and words that complete "it ended ..."."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code, f"with exit code {code}"
    with suppress(ValueError):
        return code, f"by {signal.Signals(-code).name}"
    return code, f"by signal {-code}"
