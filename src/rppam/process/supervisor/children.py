"""The processes that the supervisor looks after: how each is started, when it is started again, how it ended.

They are copied from the **fork server**, which has everything imported: a copy shares that memory, and is there in
milliseconds. The fork server answers no requests, so that it is copied in a known state; when it dies, another one is
started and nothing else is touched.

A process that died is started again at once after an accident, and ever later in a storm of deaths: one that dies for a
lasting reason would otherwise take the machine's processors, and the log, for starting it over and over.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from rppam.process.control_channel import ControlChannel
from rppam.process.shared_state import gateway_number, worker_number

READY_US: Final = 120_000_000
"""Importing everything takes a second, and far longer on a machine under load."""
COPY_US: Final = 10_000_000
CALM_US: Final = 60_000_000
"""A process that lived this long after its start ends the series of deaths."""
WAITS_MS: Final = (0, 200, 500, 1_000)
"""After the first, second, ... death in a row."""
PATIENCE_MAX: Final = 6
STORM_WAITS_MS: Final = (5_000, 10_000, 20_000, 30_000)
"""After the fifth and so on; the last one stays."""


class Start(NamedTuple):
    """What stands on the command line."""

    config: Path
    log_format: str | None
    log_level: str | None

    def words(self) -> list[str]:
        """The same for the command line of the fork server."""
        words = ["--config", str(self.config)]
        if self.log_format is not None:
            words += ["--log-format", self.log_format]
        if self.log_level is not None:
            words += ["--log-level", self.log_level]
        return words


class Hello(NamedTuple):
    """What the settings ask of the supervisor; the fork server reads and sends them."""

    workers: int
    gateways: int
    drain_s: int
    log_level: str
    log_format: str
    log_directory: Path | None
    history: Path
    """The file with this node's history."""
    address: tuple[str, str] | None
    """The virtual address with its prefix length, and its interface; ``None``: there is none."""
    uses_tls: bool
    """Whether the crash release may have to be sent by TLS."""
    fingerprint: str
    """Of all settings: a fork server started later must have read the same."""

    @classmethod
    def of(cls, facts: dict[str, Any]) -> "Hello":
        """The message as it was received."""
        directory, address = facts["log_directory"], facts["address"]
        changed = {
            "log_directory": Path(directory) if directory else None,
            "history": Path(facts["history"]),
            "address": (address[0], address[1]) if address else None,
        }
        return cls(**facts | changed)


class Restart(NamedTuple):
    """The answer to one death."""

    wait_ms: int
    deaths: int
    """In a row, with this one: none of the processes lived for a minute."""

    @property
    def is_storm(self) -> bool:
        """Whether it dies so often that the wait is worth a warning."""
        return self.deaths > len(WAITS_MS)


class Restarts:
    """The deaths of one process and its successors."""

    def __init__(self) -> None:
        self._deaths = 0
        self._started_us = 0

    def died(self, now_us: int) -> Restart:
        """Count a death at ``now_us`` (boot-time clock); how long to wait before the next one is started."""
        # From the start, not from the last death: the waits of a storm are no calm.
        if now_us - self._started_us > CALM_US:
            self._deaths = 0
        self._deaths += 1
        waits = (*WAITS_MS, *STORM_WAITS_MS)
        wait_ms = waits[min(self._deaths, len(waits)) - 1]
        self._started_us = now_us + wait_ms * 1_000
        return Restart(wait_ms, self._deaths)

    def patience(self, now_us: int) -> int:
        """How many times the usual time this one may be silent.

        More than once in the first minute of one whose predecessors died there: they may have been slow, as on a
        machine with no processor to spare, and killed for it; this one would be, too, and so on for ever.
        """
        return 1 if now_us - self._started_us > CALM_US else min(1 + self._deaths, PATIENCE_MAX)


class Role(StrEnum):
    """What a process of the node does."""

    CONTROL = "control"
    """Leadership, heartbeats, and everything else that decides."""
    WORKER = "worker"
    """Answers requests."""
    GATEWAY = "gateway"
    """Holds sessions with targets."""


class Child:
    """One place among the node's processes, and the process that fills it now."""

    __slots__ = ("due_us", "generation", "is_killed", "is_wanted", "line", "pid", "place", "restarts", "role")

    def __init__(self, role: Role, place: int) -> None:
        self.role = role
        self.place = place
        """Where its sign of life stands in the shared state."""
        self.pid = 0
        """0: none, or not known yet."""
        self.line: ControlChannel | None = None
        self.generation = 0
        """Counts the processes that filled this place; the first is 1."""
        self.is_wanted = False
        """Asked for, and not there yet."""
        self.due_us = 0
        """When the next one may be started."""
        self.is_killed = ""
        """Why the supervisor killed it, until it is gone."""
        self.restarts = Restarts()

    @property
    def name(self) -> str:
        """For people."""
        if self.role is Role.CONTROL:
            return "the control process"
        if self.role is Role.GATEWAY:
            return f"gateway {gateway_number(self.place)}"
        return f"API worker {worker_number(self.place)}"

    @property
    def is_there(self) -> bool:
        """Whether a process fills the place, or is on the way."""
        return self.pid != 0 or self.is_wanted

    def kill(self, why: str) -> None:
        """Send SIGKILL; ``why`` is logged when it is gone."""
        if self.pid and not self.is_killed:
            self.is_killed = why
            with suppress(ProcessLookupError):
                os.kill(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def send(self, word: str, **facts: str | int) -> bool:
        """Send an order over its control channel; whether it left."""
        return self.line is not None and self.line.send(word, (), **facts)

    def empty(self) -> None:
        """Note that it is gone."""
        self.pid, self.is_wanted, self.is_killed = 0, False, ""
        if self.line is not None:
            self.line.close()
            self.line = None


class ForkServer:
    """Starts the fork server, and asks it for copies."""

    def __init__(self, start: Start, page: int, words: int) -> None:
        """``page`` and ``words``: descriptors of the shared state and of the memory of the crash release."""
        self.line: ControlChannel | None = None
        self.pid = 0
        """0: none."""
        self.is_ready = False
        self.restarts = Restarts()
        self.due_us = 0
        """When the next one may be started."""
        self._start = start
        self._asked_us = 0
        self._memory = [page, words]

    def launch(self, sockets: Sequence[int], now_us: int) -> None:
        """Start one. ``sockets`` listen already; without any it opens them itself. Raises :class:`OSError`."""
        if sys.platform == "win32":
            raise NotImplementedError
        ours, theirs = ControlChannel.pair()
        self.line, self.is_ready = ours, False
        self._asked_us = now_us
        shared = [theirs.fileno(), *self._memory, *sockets]
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
        """Ask for a process that fills the place of ``child``; why that was not possible, or nothing."""
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
        """Return whether it hangs: it does not get ready, or gives no copy."""
        if not self.pid or (self.is_ready and not waited_for):
            return False
        return now_us - self._asked_us > (COPY_US if self.is_ready else READY_US)

    def reaped(self) -> None:
        """Note that it is gone."""
        self.pid, self.is_ready = 0, False
        if self.line is not None:
            self.line.close()
            self.line = None

    def end(self) -> None:
        """Kill it: no more copies."""
        if self.pid and sys.platform != "win32":
            os.kill(self.pid, signal.SIGKILL)


def how_it_ended(status: int) -> tuple[int, str]:
    """Its exit code (negative for a signal), and words that complete "it ended ..."."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code, f"with exit code {code}"
    with suppress(ValueError):
        return code, f"by {signal.Signals(-code).name}"
    return code, f"by signal {-code}"
