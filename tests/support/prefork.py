"""``rppam`` as a process of its own that need not import the product first: see :mod:`tests.support.prefork_server`.

    done = run("config", "check", file)
    node = start("node", "--config", file, output=log)

It is ``python -m rppam``, as anybody starts it, outside pytest (benchmarks measure that), with ``RPPAM_TESTS_COLD=1``
in the environment, and for what a copy cannot be: in another locale, on a terminal. Tests of memory and of what the
process list shows set the variable.
"""

import array
import atexit
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final, Protocol

TIED: Final = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
ROOT: Final = Path(__file__).parents[2]
COLD: Final = "RPPAM_TESTS_COLD"
LOOK_S: Final = 1.0
"""For so long a thread waits for an end that another may see."""
READ_AT_START: Final = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC", "OPENSSL")
"""How variables begin that an interpreter reads before its first line."""
PRELOAD: Final = "LD_PRELOAD"
SHIM_NAME: Final = "clock_shim.so"
"""A library that copies may have preloaded, as it begins again where it is asked to: tests/faults/clock_shim.c."""


class Process(Protocol):
    """What tests ask of one: a part of ``subprocess.Popen``."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> Any: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...
    def terminate(self) -> None: ...


class Copy:
    """A copy that lives. Threads of a test may ask for its end at once."""

    def __init__(self, words: tuple[str, ...], line: socket.socket) -> None:
        self.args: Final = words
        self.returncode: int | None = None
        self._line, self._said, self._turn = line, b"", threading.Lock()
        while b"\n" not in self._said:  # what comes behind it may be its end already
            part = line.recv(64)
            if not part:
                line.close()
                raise RuntimeError("the process that is forked has ended; its traceback stands on stderr")
            self._said += part
        number, _, self._said = self._said.partition(b"\n")
        self.pid: Final = int(number)

    def poll(self) -> int | None:
        """Its exit code; None while it lives. As with ``Popen``, the number of the signal that ended it, negative."""
        with self._turn:
            while self.returncode is None:
                try:
                    part = b"" if b"\n" in self._said else self._line.recv(64, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    break
                self._said += part
                if not part:
                    self.returncode = int(self._said or -signal.SIGKILL)
                    self._line.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = LOOK_S if until is None else min(LOOK_S, until - time.monotonic())
            if left <= 0:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            with contextlib.suppress(OSError, ValueError):  # another thread has seen its end meanwhile
                select.select([self._line], [], [], left)
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def __del__(self) -> None:
        self._line.close()


def start(
    *words: str | Path,
    output: IO[Any],
    errors: IO[Any] | None = None,
    input_: IO[Any] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    session: bool = True,
    network: Path | None = None,
) -> Process:
    """``rppam WORDS``. It dies with these tests, also where they are killed. ``errors``: None is the output.

    ``network``: the namespace that it stands in, where that is not the one of these tests.
    """
    argv = tuple(map(str, words))
    variables = dict(os.environ if environment is None else environment)
    with Path(os.devnull).open("rb") as nothing:
        streams = [(input_ or nothing).fileno(), output.fileno(), (errors or output).fileno()]
        if not _copies(variables, streams):
            there = [] if network is None else ["nsenter", f"--net={network}"]
            command = [*there, sys.executable, "-m", "rppam", *argv]
            return subprocess.Popen(
                [*TIED, *command],
                stdin=streams[0], stdout=streams[1], stderr=streams[2],
                start_new_session=session, env=variables, cwd=folder,
            )  # fmt: skip
        ours, theirs = socket.socketpair()
        library = _preloaded(variables)
        order = {"words": argv, "environment": variables, "folder": str(folder or Path.cwd()), "session": session}
        order |= {"library": library, "network": "" if network is None else str(network)}
        with theirs:
            rights = array.array("i", [theirs.fileno(), *streams])
            _server(library).sendmsg([json.dumps(order).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    return Copy(argv, ours)


def run(
    *words: str | Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    input_: str = "",
    timeout: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """``rppam WORDS`` until it ends."""
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        asked.write(input_.encode(errors="surrogateescape"))
        asked.seek(0)
        process = start(
            *words, output=out, errors=err, input_=asked, environment=environment, folder=folder, session=False
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode(errors="surrogateescape"))
    return subprocess.CompletedProcess(["rppam", *map(str, words)], code, *said)


def clean(**more: str) -> dict[str, str]:
    """The environment without what would tell ``rppam`` something."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("RPPAM_", "NOTIFY_"))} | more


def _copies(variables: Mapping[str, str], streams: list[int]) -> bool:
    if "pytest" not in sys.modules or os.environ.get(COLD) or any(os.isatty(stream) for stream in streams):
        return False
    names = {name for name in {*variables, *os.environ} if name.startswith(READ_AT_START)}
    names -= {PRELOAD} if _preloaded(variables) else set()
    return all(variables.get(name) == os.environ.get(name) for name in names)


def _preloaded(variables: Mapping[str, str]) -> str:
    """The shim, where it is to be preloaded; empty else."""
    library = variables.get(PRELOAD, "")
    return library if Path(library).name == SHIM_NAME else ""


_started: dict[str, socket.socket] = {}


def _server(library: str = "") -> socket.socket:
    """Of this process, with the library preloaded: started when it is first needed."""
    if library not in _started:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        command = [sys.executable, "-m", "tests.support.prefork_server", str(theirs.fileno())]
        with theirs:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, PRELOAD: library} if library else None,
            )
        _started[library] = ours

        def end() -> None:
            ours.close()
            process.kill()
            process.wait()

        atexit.register(end)
    return _started[library]
