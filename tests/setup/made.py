"""Servers started from exactly the files that ``rppam redis setup`` wrote, on ports of this machine.

    with Made(folder, program, sentinel=True, tls=True) as made:
        made.config            # the redis section for rppam.config
        made.ask(0, "ROLE")    # as administrator, by redis-cli

The files are used as they were written, but for one thing: hosts that share this machine cannot share paths, so the
folders that the files name are replaced by one for each host.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.support import prefork
from tests.support.ports import free_port
from tests.support.redis_servers import SERVERS

START_S: Final = 15.0
REDIS_6 = next(kind for kind in SERVERS if kind.name == "redis-6.2")
REDIS_8 = next(kind for kind in SERVERS if kind.name == "redis-8")


def rppam(*words: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run our command."""
    done = prefork.run(*words)
    assert expect is None or done.returncode == expect, done.stdout + done.stderr
    return done


class Made:
    """A set-up and its processes."""

    def __init__(
        self, folder: Path, program: Path, *, sentinel: bool = False, tls: bool = False, prefix: str = "rppam:"
    ) -> None:
        self.folder = folder
        self.live = folder.parent / f"{folder.name}-live"
        self.program = program
        self.tls = tls
        self.ports = [free_port() for _ in range(3 if sentinel else 1)]
        self.sentinel_ports = [free_port() for _ in range(3)] if sentinel else []
        self._prefix = prefix
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def setup(self, *more: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        """Run ``rppam redis setup`` for this place."""
        words = ["redis", "setup", "--dir", str(self.folder), "--prefix", self._prefix]
        # Each instance is a host of its own: its files go to a folder of its own, named in its configuration.
        words += ["--conf-dir", str(self.live / "etc"), "--data-dir", str(self.live / "data")]
        words += ["--node-dir", str(self.folder / "node"), "--memory", "256mb"]
        for port in self.ports:
            words += ["--host", f"127.0.0.1:{port}"]
        if self.sentinel_ports:
            words.append("--sentinel")
            for port in self.sentinel_ports:
                words += ["--sentinel-host", f"127.0.0.1:{port}"]
        return rppam(*words, *(["--tls"] if self.tls else []), *more, expect=expect)

    def __enter__(self) -> Self:
        self.setup()
        try:
            for number in range(len(self.ports)):
                self.start(number)
            for number in range(len(self.sentinel_ports)):
                self.start_sentinel(number)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is not None:
            error.add_note(self.logs())

    # ---- hosts ------------------------------------------------------------------------------------------------------

    def place(self, number: int) -> Path:
        """The folder that the set-up made for one host."""
        return self.folder / (f"redis-{number + 1}" if self.sentinel_ports else "redis")

    def start(self, number: int) -> None:
        """Start one Redis as its host would."""
        self._start(number, self.ports[number], "redis.conf", [])
        self._wait(lambda: self.ask(number, "PING") == "PONG", f"redis-{number + 1}")

    def start_sentinel(self, number: int) -> None:
        """Start one sentinel."""
        self._start(10 + number, self.sentinel_ports[number], "sentinel.conf", ["--sentinel"])
        self._wait(lambda: self.ask_sentinel(number, "PING") == "PONG", f"sentinel-{number + 1}")

    def _start(self, key: int, port: int, conf: str, words: list[str]) -> None:
        host = self.live / f"host-{key}"
        etc, data = host / "etc", host / "data"
        data.mkdir(parents=True, exist_ok=True)
        source = self.place(key % 10)
        if not etc.exists():
            etc.mkdir()
            for name in (conf, "users.acl"):
                text = (source / name).read_text().replace(str(self.live / "etc"), str(etc))
                (etc / name).write_text(text.replace(str(self.live / "data"), str(data)))
            if self.tls:
                shutil.copytree(source / "tls", etc / "tls")
        command = [str(self.program), str(etc / conf), *words]
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        with (host / "log").open("ab") as log:
            self._processes[key] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def kill(self, number: int) -> None:
        """End one Redis at once."""
        process = self._processes.pop(number)
        process.kill()
        process.wait()

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._processes.clear()

    def logs(self) -> str:
        return "\n".join(
            f"{path.parent.name} | {line}"
            for path in sorted(self.live.glob("host-*/log"))
            for line in path.read_text(errors="replace").splitlines()[-15:]
        )

    # ---- what they say ----------------------------------------------------------------------------------------------

    @property
    def secrets(self) -> dict[str, str]:
        held: dict[str, str] = json.loads((self.folder / "secrets.json").read_text())
        return held

    @property
    def config(self) -> dict[str, Any]:
        """The redis section for rppam.config."""
        section: dict[str, Any] = json.loads((self.folder / "node" / "rppam.config.redis.json").read_text())["redis"]
        return section

    def ask(self, number: int, *words: str, user: str = "default", password: str | None = None) -> str:
        """One command on one Redis, as administrator unless told otherwise."""
        return self._cli(self.ports[number], user, password or self.secrets["default"], *words)

    def ask_sentinel(self, number: int, *words: str) -> str:
        return self._cli(self.sentinel_ports[number], "default", self.secrets["at_sentinel"], *words)

    def _cli(self, port: int, user: str, password: str, *words: str) -> str:
        tls = ["--tls", "--cacert", str(self.folder / "node" / "redis-ca.crt")] if self.tls else []
        done = subprocess.run(
            ["redis-cli", "-p", str(port), *tls, "--user", user, *words],
            env={**os.environ, "REDISCLI_AUTH": password}, capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
        return done.stdout.strip() or done.stderr.strip()

    def _wait(self, holds: Any, what: str) -> None:
        until = time.monotonic() + START_S
        while not holds():
            assert time.monotonic() < until, f"{what} did not start:\n{self.logs()}"
            time.sleep(0.02)
