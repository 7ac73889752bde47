"""Real processes that cannot outlive the demo.

Each child runs in a session of its own: Ctrl-C in the terminal reaches the demo alone, which then ends its children in
order. It is killed when the demo dies, however that happens. Linux only: :func:`start` refuses elsewhere. One that was
started again by hand, as the demo says how or otherwise, is found by its words, or by the lock of its node's data
directory, and ended with them.

What it does not promise: anything about grandchildren that leave their process group, and that what was started by hand
ends with a demo that is killed.
"""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from rppam.process.linux import die_with_parent, holders_of
from rppam.setup.errors import DemoError


class Child:
    """One process of the demo. Its process id is also its process group."""

    def __init__(
        self,
        name: str,
        process: subprocess.Popen[bytes],
        log: Path,
        again: str = "",
        words: Sequence[str] = (),
        lock: Path | None = None,
    ) -> None:
        """``again``: a line for a shell that starts it again; ``words``: of its command, which are nobody else's;
        ``lock``: a file that it holds a lock of while it runs."""
        self.name: Final = name
        self.again: Final = again
        self.words: Final = tuple(words)
        self.lock: Final = lock
        self.log: Final = log
        self.pid: Final = process.pid
        self._process = process

    def ended(self) -> str | None:
        """How it ended: ``with exit code 0`` or ``by SIGKILL``; ``None`` while it runs or is stopped."""
        code = self._process.poll()
        if code is None:
            return None
        if code >= 0:
            return f"with exit code {code}"
        try:
            return f"by {signal.Signals(-code).name}"
        except ValueError:
            return f"by signal {-code}"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its process group, unless it has ended."""
        if sys.platform == "win32":  # the command refuses to run there
            raise NotImplementedError
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def log_end(self, lines: int = 12) -> str:
        """The end of its log, for an error message."""
        try:
            last = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        except OSError:
            last = []
        return f"The end of its log ({self.log}):\n" + "\n".join(last)


class _ByHand:
    """A process that somebody started in the place of a child."""

    def __init__(self, pid: int) -> None:
        self.pid: Final = pid

    def ended(self) -> str | None:
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            return "by somebody"
        return "by somebody" if state == "Z" else None

    def send(self, number: signal.Signals) -> None:
        with suppress(OSError):
            os.kill(self.pid, number)


def _by_hand(children: Sequence[Child]) -> list[_ByHand]:
    """What somebody started in the place of one of the ``children``: it has the very words, which name files of this
    demo alone, or holds the lock."""
    wanted = {b"".join(os.fsencode(word) + b"\0" for word in child.words) for child in children if child.words}
    found = {pid for child in children if child.lock is not None for pid in holders_of(child.lock)}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (place / "cmdline").read_bytes() in wanted:
                found.add(int(place.name))
    return [_ByHand(pid) for pid in sorted(found)]


async def end_all(children: Iterable[Child], grace_s: float) -> list[int]:
    """Ask every child to end (a stopped one is continued first), and kill those that have not after ``grace_s``.

    Returns the process ids of what runs all the same: somebody else's, mostly.
    """
    if sys.platform == "win32":  # the command refuses to run there
        raise NotImplementedError
    children = list(children)
    running: list[Child | _ByHand] = [child for child in children if child.ended() is None]
    running += _by_hand([child for child in children if child not in running])
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
    return [child.pid for child in running]


def start(name: str, argv: Sequence[str], *, log: Path, folder: Path | None = None, lock: Path | None = None) -> Child:
    """Start ``argv``, in ``folder`` where given, with stdout and stderr going to ``log`` (made with mode 0600).

    ``lock`` is the file that it locks while it runs, if it does.

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
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - no thread holds a lock at this point
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DemoError(f"{name} cannot be started ({argv[0]}): {error}") from error
    finally:
        os.close(descriptor)
    return Child(name, process, log, _again(argv, log, folder), argv, lock)


def _again(argv: Sequence[str], log: Path, folder: Path | None) -> str:
    """A line for a shell that starts it again, apart from the demo, as that shell's child."""
    line = f"{shlex.join(argv)} >> {shlex.quote(str(log))} 2>&1 &"
    return f"(cd {shlex.quote(str(folder))} && {line})" if folder is not None else line
