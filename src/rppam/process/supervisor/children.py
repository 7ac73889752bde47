"""The supervisor's picture of the processes it looks after: one record a process, and how a process ended in words."""

import os
import signal
from contextlib import suppress
from enum import StrEnum

from rppam.process.control_channel import ControlChannel
from rppam.process.shared_state import worker_number
from rppam.process.supervisor.restarts import Restarts


class Role(StrEnum):
    """What a process of the node does."""

    CONTROL = "control"
    """Leadership, heartbeats, and everything else that decides."""
    WORKER = "worker"
    """Answers requests."""


class Child:
    """One place among the node's processes, and whoever fills it now."""

    __slots__ = ("due_us", "generation", "is_killed", "is_wanted", "line", "pid", "place", "restarts", "role")

    def __init__(self, role: Role, place: int) -> None:
        self.role = role
        self.place = place
        """Where its sign of life stands on the node's page."""
        self.pid = 0
        """0: nobody, or not known yet."""
        self.line: ControlChannel | None = None
        self.generation = 0
        """Counts the processes that filled this place; the first is 1."""
        self.is_wanted = False
        """Asked for, and not yet there."""
        self.due_us = 0
        """When the next one may be started."""
        self.is_killed = ""
        """Why the supervisor killed it, while it is not gone yet."""
        self.restarts = Restarts()

    @property
    def name(self) -> str:
        """For people."""
        return "the control process" if self.role is Role.CONTROL else f"API worker {worker_number(self.place)}"

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
