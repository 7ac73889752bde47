"""A config and a doctor for it, and what else a test about an ailing Redis needs."""

import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.support import prefork
from tests.support.ports import free_port
from tests.support.redis_servers import PASSWORD, ServerKind

QUICK: Final = "connectTimeout=1000,syncTimeout=1000"


class Doctor:
    """``rppam doctor`` on a config with only ``node`` and ``redis``."""

    def __init__(self, folder: Path, connection: str, *, more: dict[str, Any] | None = None, **redis: Any) -> None:
        self.file = folder / "rppam.config"
        self.config: dict[str, Any] = {
            "node": {"nodeName": "node1", "dataDir": str(folder / "data")},
            "redis": {"enabled": True, "connectionString": connection, **redis},
            "api": {"port": free_port()},
            **(more or {}),
        }
        self.write()
        self.progress = ""
        self.exit = -1
        self.took_s = 0.0

    def write(self) -> None:
        self.file.write_text(json.dumps(self.config))
        self.file.chmod(0o600)

    def findings(self, *words: str, **environment: str) -> dict[str, dict[str, str]]:
        """What it finds, by code; also keeps exit code and progress."""
        begun = time.monotonic()
        words = ("doctor", "--config", str(self.file), "--json", *words)
        done = prefork.run(*words, environment=os.environ | environment)
        self.took_s = time.monotonic() - begun
        self.exit, self.progress = done.returncode, done.stderr
        said = json.loads(done.stdout)
        assert set(said) == {"verdict", "findings"}
        for finding in said["findings"]:
            assert set(finding) == {"code", "severity", "what", "evidence", "fix"}
            assert finding["evidence"]
            assert finding["fix"]
        self.verdict: str = said["verdict"]
        self.text = done.stdout
        return {finding["code"]: finding for finding in said["findings"]}


@contextmanager
def answering(*replies: bytes, tls: ssl.SSLContext | None = None, hang: bool = True) -> Iterator[int]:
    """A server that answers each thing it reads with the next of ``replies``, then is silent or hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def serve(plug: socket.socket) -> None:
            with suppress(OSError), plug:
                plug.settimeout(10)
                if tls is None:
                    talk(plug)
                    return
                with tls.wrap_socket(plug, server_side=True) as line:
                    talk(line)

        def talk(line: socket.socket) -> None:
            for reply in replies:
                if not line.recv(65536):
                    return
                line.sendall(reply)
            if hang:
                ended.wait(10)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    plug, _ = listener.accept()
                    threading.Thread(target=serve, args=(plug,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def late(port: int, *, by_s: float) -> Iterator[int]:
    """A port that leads to ``port``; whatever comes from there is held back for ``by_s``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pass_on(source: socket.socket, target: socket.socket, wait_s: float) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    time.sleep(wait_s)
                    target.sendall(data)
            for plug in (source, target):
                with suppress(OSError):
                    plug.shutdown(socket.SHUT_RDWR)

        def serve(plug: socket.socket) -> None:
            with plug, socket.create_connection(("127.0.0.1", port), timeout=10) as there:
                forth = threading.Thread(target=pass_on, args=(plug, there, 0.0), daemon=True)
                forth.start()
                pass_on(there, plug, by_s)
                forth.join(10)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    plug, _ = listener.accept()
                    threading.Thread(target=serve, args=(plug,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def black_hole() -> Iterator[int]:
    """A port of 127.0.0.1 that takes no connection and refuses none: its queue is full, so packets vanish."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        time.sleep(0.05)
        try:
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


@contextmanager
def sentinel(folder: Path, kind: ServerKind, primary: int, *more: str) -> Iterator[int]:
    """A sentinel of ``mymaster``, without a password of its own unless it is among the lines ``more``."""
    port = free_port()
    conf = folder / "sentinel.conf"
    conf.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {primary} 1\n"
        f'sentinel auth-pass mymaster "{PASSWORD}"\n' + "".join(f"{line}\n" for line in more)
    )
    process = subprocess.Popen(
        [str(kind.find()), str(conf), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def is_up() -> bool:
        with socket.socket() as plug:
            return plug.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(is_up)
        yield port
    finally:
        process.kill()
        process.wait()
