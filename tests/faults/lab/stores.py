"""Real stores on hosts of the lab: one server with or without an append-only file, or three hosts with Sentinel."""

import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import hiredis

from tests.faults.lab.net import Host
from tests.faults.lab.wallclock import WallClock
from tests.support.redis_servers import ServerKind, ask_over

PASSWORD: Final = "correct-horse-battery-staple"
NAME: Final = "rppam-primary"
KINDS: Final = ("single", "aof", "sentinel")
START_S: Final = 15.0
PORT: Final = 6379
SENTINEL_PORT: Final = 26379


class Daemon:
    """One server or sentinel on a host; its configuration file stays its own over restarts."""

    def __init__(self, host: Host, kind: ServerKind, folder: Path, port: int, lines: list[str], *words: str) -> None:
        self.host, self.port = host, port
        self._kind, self._words = kind, words
        self.folder: Final = folder
        folder.mkdir(parents=True)
        self._config = folder / "server.conf"
        self._config.write_text("\n".join([f"port {port}", "bind 0.0.0.0", f"dir {folder}", *lines, ""]))
        self.clock: WallClock | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start it with the files it left. Does nothing while it runs."""
        if self.is_running:
            return
        binary = self._kind.find()
        assert binary is not None, self._kind.remedy
        preload = [f"{name}={value}" for name, value in (self.clock.environment if self.clock else {}).items()]
        command = [*(("env", *preload) if preload else ()), str(binary), str(self._config), *self._words]
        self._process = self.host.start(command, self.folder / "log")
        until = time.monotonic() + START_S
        while wait and not self.answers():
            assert self.is_running, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.01)

    def send(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """What it kept on disk is gone; only while it is dead."""
        assert not self.is_running
        for file in self.folder.rglob("*"):
            if file.is_file() and (file.suffix in (".rdb", ".aof", ".manifest")):
                file.unlink()

    def answers(self) -> bool:
        with suppress(OSError, hiredis.HiredisError):
            return bool(self.ask("PING") == b"PONG")
        return False

    def ask(self, *words: str | bytes | int, timeout_s: float = 2.0) -> Any:
        """One command, asked on its own host; an error reply is raised."""
        with self.host.connect("127.0.0.1", self.port, timeout_s) as link:
            return ask_over(link, PASSWORD if self.port == PORT else None, *words)

    def log(self) -> str:
        file = self.folder / "log"
        return file.read_text(errors="replace")[-3000:] if file.exists() else ""


class Store:
    """One of :data:`KINDS` on hosts of its own; ``daemons`` by host name, the server of a host first."""

    def __init__(self, kind: str, server: ServerKind, add_host: Callable[[str], Host], folder: Path) -> None:
        self.kind: Final = kind
        self.hosts: list[Host] = []
        self.servers: list[Daemon] = []
        self.sentinels: list[Daemon] = []
        if kind == "sentinel":
            self._lay_out_sentinel(server, add_host, folder)
        else:
            host = add_host("redis")
            kept = ["appendonly yes"] if kind == "aof" else ["appendonly no"]
            lines = [f"requirepass {PASSWORD}", 'save ""', *kept]
            self.hosts = [host]
            self.servers = [Daemon(host, server, folder / "redis", PORT, lines)]

    def _lay_out_sentinel(self, server: ServerKind, add_host: Callable[[str], Host], folder: Path) -> None:
        self.hosts = [add_host(f"redis{number}") for number in (1, 2, 3)]
        first = self.hosts[0]
        lines = [f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", 'save ""', "appendonly yes"]
        lines += ["repl-diskless-sync-delay 0", "repl-timeout 5"]
        for host in self.hosts[:2]:
            own = [] if host is first else [f"replicaof {first.address} {PORT}"]
            self.servers.append(Daemon(host, server, folder / host.name, PORT, lines + own))
        watched = [
            f"sentinel monitor {NAME} {first.address} {PORT} 2",
            f"sentinel auth-pass {NAME} {PASSWORD}",
            f"sentinel down-after-milliseconds {NAME} 1000",
            f"sentinel failover-timeout {NAME} 6000",
        ]
        for host in self.hosts:
            place = folder / f"{host.name}-sentinel"
            self.sentinels.append(Daemon(host, server, place, SENTINEL_PORT, watched, "--sentinel"))

    # ---- for the nodes ----------------------------------------------------------------------------------------------

    @property
    def daemons(self) -> list[Daemon]:
        return [*self.servers, *self.sentinels]

    def connection_string(self, through: str | None = None) -> str:
        """For ``redis.connectionString``; ``through`` is a proxy's address and port."""
        if self.kind == "sentinel":
            words = [f"{host.address}:{SENTINEL_PORT}" for host in self.hosts] + [f"serviceName={NAME}"]
        else:
            words = [through or f"{self.hosts[0].address}:{PORT}"]
        return ",".join([*words, "abortConnect=false"])

    # ---- verbs ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start what does not run, and wait until it is as one."""
        for daemon in self.daemons:
            daemon.start()
        for sentinel in self.sentinels:
            for period in ("INFO-PERIOD", "PUBLISH-PERIOD"):
                sentinel.ask("SENTINEL", "DEBUG", period, 300)
        self.settle()

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.kill()

    def primary(self) -> Daemon:
        """The server that is the primary: with Sentinel the one that a sentinel names."""
        for sentinel in self.sentinels:
            with suppress(OSError, hiredis.HiredisError, StopIteration):
                address = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME, timeout_s=0.5)[0].decode()
                return next(server for server in self.servers if server.host.address == address)
        return self.servers[0]

    def failover(self) -> bool:
        """Have Sentinel promote the replica; False when it will not now."""
        for sentinel in self.sentinels:
            with suppress(OSError, hiredis.HiredisError):
                return bool(sentinel.ask("SENTINEL", "FAILOVER", NAME, timeout_s=0.5) == b"OK")
        return False

    def is_settled(self) -> bool:
        """Every server and sentinel answers, all agree, and the replica follows."""
        try:
            if not self.sentinels:
                return self.servers[0].answers()
            named = {sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[0] for sentinel in self.sentinels}
            primary = self.primary()
            return (
                named == {primary.host.address.encode()}
                and b"role:master" in primary.ask("INFO", "replication")
                and b"state=online" in primary.ask("INFO", "replication")
                and all(self._knows_all(sentinel) for sentinel in self.sentinels)
            )
        except (OSError, hiredis.HiredisError):
            return False

    def settle(self, within_s: float = 60.0) -> None:
        """Wait for :meth:`is_settled`."""
        until = time.monotonic() + within_s
        while not self.is_settled():
            if time.monotonic() > until:
                raise AssertionError(f"the store did not settle within {within_s:g} s:\n{self.logs()}")
            time.sleep(0.05)

    def logs(self) -> str:
        return "\n".join(
            f"{daemon.folder.name} | {line}" for daemon in self.daemons for line in daemon.log().splitlines()[-12:]
        )

    def _knows_all(self, sentinel: Daemon) -> bool:
        flat = [word.decode() for word in sentinel.ask("SENTINEL", "MASTER", NAME)]
        told = dict(zip(flat[::2], flat[1::2], strict=True))
        return told["flags"] == "master" and told["num-slaves"] == "1" and told["num-other-sentinels"] == "2"
