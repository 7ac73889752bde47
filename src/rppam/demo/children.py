"""Real processes that cannot outlive the demo.

Each child runs in a session of its own (Ctrl-C in the terminal reaches the demo alone, which then ends its children in
order) and asks the kernel for SIGKILL should its parent die (``PR_SET_PDEATHSIG``), so a demo that is killed with -9
takes its children along. Linux only: other systems have no such promise, so :func:`start` refuses there.

What it does not promise: anything about grandchildren that leave their process group.
"""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from rppam.demo.board import Processes
from rppam.process.linux import CONTROL_NAME, WORKER_NAME, children_of
from rppam.setup import DemoError

PR_SET_PDEATHSIG: Final = 1


class Child:
    """One process of ours."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name: Final = name
        self.log: Final = log
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group."""
        return self._process.pid

    def ended(self) -> int | None:
        """``None`` while it runs or is stopped; else its exit code, negative for a signal."""
        return self._process.poll()

    def state(self) -> str:
        """``running``, ``stopped`` (SIGSTOP), or ``ended`` and how."""
        code = self.ended()
        if code is not None:
            return f"ended {how_it_ended(code)}"
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return "running"
        return "stopped" if stat.rpartition(")")[2].split()[0] in ("T", "t") else "running"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its process group, unless it has ended."""
        if sys.platform == "win32":  # the command refuses to run there
            raise NotImplementedError
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def tail(self, lines: int = 12) -> str:
        """The end of its log, for an error message."""
        try:
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def how_it_ended(code: int) -> str:
    """``with exit code 0`` or ``by SIGKILL``."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


async def end_all(children: Iterable[Child], grace_s: float) -> None:
    """Ask every child to end (a stopped one is woken for it), and kill those that have not after ``grace_s``."""
    if sys.platform == "win32":  # the command refuses to run there
        raise NotImplementedError
    running = [child for child in children if child.ended() is None]
    for child in running:
        child.send(signal.SIGTERM)
        child.send(signal.SIGCONT)
    for number in (None, signal.SIGKILL):
        deadline = asyncio.get_running_loop().time() + grace_s
        while running and asyncio.get_running_loop().time() < deadline:
            if number is not None:
                for child in running:
                    child.send(number)
            await asyncio.sleep(0.02)
            running = [child for child in running if child.ended() is None]


def start(name: str, argv: Sequence[str], *, log: Path, folder: Path | None = None) -> Child:
    """Start ``argv``, in ``folder`` where given, with stdout and stderr going to ``log`` (made with mode 0600).

    The environment is ours without ``RPPAM_...``, which would override what the demo wrote into the configs.

    Raises :class:`DemoError` when it cannot be started, or on a system without a parent-death signal.
    """
    if not sys.platform.startswith("linux"):
        raise DemoError("rppam demo needs Linux: elsewhere its processes could outlive it")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and the wheel's server, no shell
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=folder,
            env={name: value for name, value in os.environ.items() if not name.startswith("RPPAM_")},
            start_new_session=True,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - the demo has a single thread
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DemoError(f"{name} cannot be started ({argv[0]}): {error}") from error
    finally:
        os.close(descriptor)
    return Child(name, process, log)


def processes_of(supervisor: int) -> Processes | None:
    """The processes below a node's supervisor; ``None`` until they are there."""
    names = children_of(supervisor)
    control = [pid for pid, name in names.items() if name == CONTROL_NAME]
    workers = tuple(sorted(pid for pid, name in names.items() if name == WORKER_NAME))
    return Processes(control[0], workers) if control and workers else None


def _die_with_parent() -> Callable[[], None]:
    if sys.platform == "win32":  # the command refuses to run there
        raise NotImplementedError
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork: after it nothing should be imported
    parent = os.getpid()

    def ask() -> None:
        if prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
            os._exit(126)
        if os.getppid() != parent:  # the parent died between the fork and the request: nobody would tell us
            os._exit(127)

    return ask
