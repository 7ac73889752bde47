"""A real Sentinel installation for tests: one primary, two replicas, three sentinels.

    with SentinelLab(KIND) as lab:
        lab.failover()             # SENTINEL FAILOVER, and wait until all agree
        lab.primary.kill()         # or stop(), cont(): the verbs of Server
        lab.sentinels[0].kill()

Everything runs on 127.0.0.1 and free ports and ends with the ``with`` block. With an authority, servers and sentinels
speak TLS (and their links among each other do), beside a plain port that only the lab itself uses.
"""

import math
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import hiredis

from tests.support.authority import Authority
from tests.support.ports import free_port
from tests.support.redis_servers import Server, ServerKind, ask_over

NAME: Final = "rppam-primary"
PASSWORD: Final = "correct-horse-battery-staple"
SENTINEL_PASSWORD: Final = "another-horse-altogether"
SETTLE_S: Final = 30.0
AGAIN_S: Final = 25.0
"""A little more than the failover-timeout of the lab."""
SHOWN: Final = ("port", "flags", "config-epoch", "num-slaves", "num-other-sentinels", "info-refresh", "failover-state")


class Sentinel:
    """One sentinel process."""

    def __init__(self, kind: ServerKind, lines: list[str], password: str | None, *, quick: bool) -> None:
        self.kind = kind
        self._quick = quick
        self.port = free_port()
        self.tls_port = free_port()
        self._lines = lines
        self._password = password
        self._folder = tempfile.TemporaryDirectory(prefix="rppam-sentinel-")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = self.kind.find()
        assert binary is not None, self.kind.remedy
        folder = Path(self._folder.name)
        config = folder / "sentinel.conf"
        if not config.exists():  # started before, it has written what it learned into its file
            own = [f"port {self.port}", "bind 127.0.0.1", f"dir {folder}"]
            lines = [line.replace("TLS_PORT", str(self.tls_port)) for line in self._lines]
            config.write_text("\n".join([*own, *lines, ""]))
        words = [str(binary), str(config), "--sentinel"]
        if shutil.which("setpriv"):
            words = ["setpriv", "--pdeathsig", "KILL", *words]
        with (folder / "log").open("ab") as out:
            self._process = subprocess.Popen(words, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while True:
            with suppress(OSError, hiredis.HiredisError):
                if self.ask("PING") == b"PONG":
                    break
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.01)
        if self._quick:
            for period in ("INFO-PERIOD", "PUBLISH-PERIOD"):
                self.ask("SENTINEL", "DEBUG", period, 300)

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def log(self) -> str:
        return (Path(self._folder.name) / "log").read_text(errors="replace")[-3000:]

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def cont(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        self._folder.cleanup()

    def ask(self, *words: str | int) -> Any:
        """One command over a fresh plain socket."""
        return ask(self.port, self._password, *words)

    def master(self) -> dict[str, str]:
        """SENTINEL MASTER, as fields."""
        flat = [word.decode() for word in self.ask("SENTINEL", "MASTER", NAME)]
        return dict(zip(flat[::2], flat[1::2], strict=True))


class SentinelLab:
    """See the module. ``quick`` shortens the periods in which sentinels talk to each other and to the servers."""

    def __init__(
        self,
        kind: ServerKind,
        *,
        authority: Authority | None = None,
        clients: str = "yes",
        sentinel_password: str | None = None,
        down_after_ms: int = 1_000,
        by_name: bool = False,
        quick: bool = True,
        dials_from: str | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        """``dials_from``: the loopback address that replicas and sentinels connect from, to tell them from clients."""
        self.kind = kind
        self.sentinel_password = sentinel_password
        self._authority = authority
        self._clients = clients
        self._down_after_ms = down_after_ms
        self._host = "localhost" if by_name else "127.0.0.1"
        self._by_name = by_name
        self._quick = quick
        self._dials_from = dials_from
        self._options = options
        self._stack = ExitStack()
        self.servers: list[Server] = []
        self.sentinels: list[Sentinel] = []
        self._ports: dict[int, Server] = {}
        """The port that clients use to its server."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(self.picture())
        self._stack.close()

    # ---- what clients need ------------------------------------------------------------------------------------------

    @property
    def endpoints(self) -> tuple[tuple[str, int], ...]:
        """The sentinels' addresses."""
        ports = [one.tls_port if self._authority else one.port for one in self.sentinels]
        return tuple((self._host, port) for port in ports)

    @property
    def connection_string(self) -> str:
        """What ``redis.connectionString`` says, without ``abortConnect``."""
        words = [f"{host}:{port}" for host, port in self.endpoints]
        words += [f"serviceName={NAME}", f"password={PASSWORD}"]
        if self.sentinel_password:
            words.append(f"sentinelPassword={self.sentinel_password}")
        if self._authority:
            words.append("ssl=true")
        return ",".join(words)

    def client_port(self, server: Server) -> int:
        """The port that clients use of this server."""
        return next(port for port, known in self._ports.items() if known is server)

    def named_port(self, sentinel: int = 0) -> int:
        """The port of the primary as one sentinel names it."""
        return int(self.sentinels[sentinel].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])

    @property
    def primary(self) -> Server:
        """The server that the first running sentinel names."""
        for number, sentinel in enumerate(self.sentinels):
            with suppress(OSError):
                assert sentinel.port
                return self._ports[self.named_port(number)]
        raise AssertionError("no sentinel answers")

    # ---- verbs ------------------------------------------------------------------------------------------------------

    def failover(self) -> Server:
        """Have the sentinels promote a replica of the healthy primary; returns the new primary."""
        before = self.named_port()
        # A sentinel that has not heard of the replicas for a moment has none that it would promote.
        asked_at = -math.inf

        def moved() -> bool:
            nonlocal asked_at
            if self.named_port() != before:
                return True
            if time.monotonic() - asked_at > AGAIN_S and self._begin_failover():
                asked_at = time.monotonic()  # one that is not through after its failover-timeout is given up there
            return False

        self.wait_for(moved, "a failover", 4 * AGAIN_S)
        return self.primary

    def _begin_failover(self) -> bool:
        try:
            return bool(self.sentinels[0].ask("SENTINEL", "FAILOVER", NAME) == b"OK")
        except hiredis.ReplyError:
            return False

    def settle(self) -> None:
        """Wait until all sentinels agree that everything is well."""

        def well() -> bool:
            seen = [sentinel.master() for sentinel in self.sentinels]
            return (
                len({one["port"] for one in seen}) == 1
                and all(one["num-slaves"] == "2" and one["num-other-sentinels"] == "2" for one in seen)
                and all(one["flags"] == "master" for one in seen)
                and self._replicas_follow(seen[0]["port"])
            )

        self.wait_for(well, "all sentinels to be content")

    def wait_for(self, holds: Any, what: str, within_s: float = SETTLE_S) -> None:
        until = time.monotonic() + within_s
        while True:
            with suppress(OSError, hiredis.HiredisError):
                if holds():
                    return
            if time.monotonic() > until:
                raise AssertionError(f"not within {within_s} s: {what}\n{self.picture()}")
            time.sleep(0.02)

    def picture(self) -> str:
        """What everybody says of themselves and the others, for the message of a failed test."""
        lines = []
        for sentinel in self.sentinels:
            with suppress(OSError, hiredis.HiredisError):
                told = sentinel.master()
                lines.append(f"sentinel {sentinel.port}: " + " ".join(f"{k}={told[k]}" for k in SHOWN if k in told))
            lines.append(sentinel.log())
        for port, server in self._ports.items():
            with suppress(OSError, hiredis.HiredisError):
                lines.append(f"server {port}: " + server.ask("INFO", "replication").decode().replace("\r\n", " "))
        return "\n".join(lines)

    def _replicas_follow(self, port: str) -> bool:
        for server in self.servers:
            info = server.ask("INFO", "replication").decode()
            if server is self._ports[int(port)]:
                if info.count("state=online") != 2:
                    return False
            elif "master_link_status:up" not in info or f"master_port:{port}\r\n" not in info:
                return False
        return True

    # ---- building ---------------------------------------------------------------------------------------------------

    def _tls(self, port: int | str) -> list[tuple[str, str]]:
        assert self._authority is not None
        certificate, key = self._authority.issue("localhost" if self._by_name else "127.0.0.1")
        return [
            ("tls-port", str(port)),
            ("tls-cert-file", certificate),
            ("tls-key-file", key),
            ("tls-ca-cert-file", str(self._authority.path)),
            ("tls-auth-clients", self._clients),
            ("tls-replication", "yes"),
        ]

    def _start(self) -> None:
        for number in range(3):
            words = ["--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0", *self._options]
            if self._by_name or self._dials_from:
                words += ["--replica-announce-ip", self._host]
            if self._dials_from:
                words += ["--bind-source-addr", self._dials_from]
            tls_port = free_port()
            if self._authority is not None:
                words += [word for name, value in self._tls(tls_port) for word in (f"--{name}", value)]
            if number:
                words += ["--replicaof", self._host, str(next(iter(self._ports)))]
            server = self._stack.enter_context(Server(self.kind, *words, password=PASSWORD))
            self.servers.append(server)
            self._ports[tls_port if self._authority else server.port] = server
        for _ in range(3):
            sentinel = Sentinel(self.kind, self._sentinel_lines(), self.sentinel_password, quick=self._quick)
            self._stack.callback(sentinel.close)
            self.sentinels.append(sentinel)
            sentinel.start()
        self.settle()

    def _sentinel_lines(self) -> list[str]:
        lines = []
        if self._by_name:
            lines += ["sentinel resolve-hostnames yes", "sentinel announce-hostnames yes"]
        if self._dials_from:
            lines += [f"bind-source-addr {self._dials_from}", f"sentinel announce-ip {self._host}"]
        lines += [
            f"sentinel monitor {NAME} {self._host} {next(iter(self._ports))} 2",
            f"sentinel auth-pass {NAME} {PASSWORD}",
            f"sentinel down-after-milliseconds {NAME} {self._down_after_ms}",
            f"sentinel failover-timeout {NAME} 20000",
            f"sentinel parallel-syncs {NAME} 2",
        ]
        if self.sentinel_password:
            lines += [f"requirepass {self.sentinel_password}", f"sentinel sentinel-pass {self.sentinel_password}"]
        if self._authority is not None:
            lines += [f"{name} {value}" for name, value in self._tls("TLS_PORT")]
        return lines


def ask(port: int, password: str | None, *words: str | int) -> Any:
    """One command over a fresh socket; an error reply is raised."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        return ask_over(link, password, *words)
