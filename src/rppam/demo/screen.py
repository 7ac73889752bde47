"""How the demo speaks: sentences for people, JSON lines for machines, and the cluster's status on a terminal.

On a terminal the sentences scroll above a picture that is the one of ``rppam status --watch``. With JSON, stdout gets
one object a line, flushed, and the sentences go to stderr. When the reader of stdout is gone, :attr:`Reporter.broken`
says so and the demo ends as if it had been asked to.
"""

import json
import os
import select
import shlex
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Final, NamedTuple, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from rppam.cluster.health.model import ClusterHealth
from rppam.demo.access import USER
from rppam.demo.events import Event
from rppam.demo.files import DemoFiles
from rppam.demo.redis_server import HOST, RedisServer
from rppam.demo.ssh_target import NAME
from rppam.manager.status_screen import status_picture
from rppam.process.linux import CONTROL_NAME, GATEWAY_NAME, WORKER_NAME, children_of

EVENT_STYLES: Final = {
    "leader-elected": "green",
    "node-healthy": "green",
    "redis-back": "green",
    "database-back": "green",
    "database-lost": "red",
    "leader-lost": "red",
    "node-unreachable": "red",
    "node-exited": "red",
    "redis-lost": "red",
    "redis-exited": "red",
    "node-suspect": "yellow",
}


def ssh_line(port: int) -> str:
    """What to paste to log in to the demo's target by the gateway at that port."""
    return f"ssh -p {port} {USER}+{NAME}@{HOST}"


class RunningNode(NamedTuple):
    """A node of the demo, or a witness."""

    name: str
    url: str
    """Empty: a witness, which has no API."""
    pid: int
    """Its supervisor, which stands for the node."""
    control_pid: int | None = None
    worker_pids: tuple[int, ...] = ()
    gateway_pids: tuple[int, ...] = ()

    def with_processes(self) -> "RunningNode":
        """The node with the processes that are below its supervisor now."""
        names = children_of(self.pid)
        control = next((pid for pid, name in names.items() if name == CONTROL_NAME), None)
        workers = tuple(sorted(pid for pid, name in names.items() if name == WORKER_NAME))
        gateways = tuple(sorted(pid for pid, name in names.items() if name == GATEWAY_NAME))
        return self._replace(control_pid=control, worker_pids=workers, gateway_pids=gateways)

    def as_json(self, leader: str, ssh_ports: Mapping[str, int]) -> dict[str, object]:
        """Its entry in the ready event's ``nodes``."""
        if not self.url:
            return {"nodeName": self.name, "role": "witness", "pid": self.pid}
        return {
            "nodeName": self.name,
            "url": self.url,
            "pid": self.pid,
            "supervisorPid": self.pid,
            "controlPid": self.control_pid,
            "workerPids": list(self.worker_pids),
            "gatewayPids": list(self.gateway_pids),
            "sshPort": ssh_ports[self.name],
            "role": "leader" if self.name == leader else "standby",
        }


class Ready(NamedTuple):
    """Everything one needs to play with the cluster."""

    nodes: tuple[RunningNode, ...]
    leader: str
    epoch: int
    files: DemoFiles
    redis: RedisServer
    ssh_account: str
    directory: str
    started_in_ms: int

    def as_json(self) -> dict[str, object]:
        """The ready event."""
        return {
            "event": "ready",
            "nodes": [node.as_json(self.leader, self.files.ssh_ports) for node in self.nodes],
            "adminUser": self.files.admin_user,
            "adminPassword": self.files.admin_password.reveal(),
            "adminToken": self.files.token().reveal(),
            "revealFactor": "none",
            "redis": {
                "host": HOST,
                "port": self.redis.port,
                "password": self.redis.password.reveal(),
                "pid": self.redis.child.pid,
            },
            "gateway": {
                "host": HOST,
                "port": self.files.ssh_ports[self.nodes[0].name],
                "user": USER,
                "account": self.ssh_account,
                "target": NAME,
            },
            "leader": self.leader,
            "epoch": self.epoch,
            "directory": self.directory,
            "startedInMs": self.started_in_ms,
        }

    def guide(self) -> list[str]:
        """The lines a person needs to play: addresses, the administrator, commands to paste, what to try.

        The token itself stands in a file only: on a command line every user of the machine could read it.
        """
        pretty = "jq ." if shutil.which("jq") else "python3 -m json.tool"
        first, redis = self.nodes[0], self.redis
        leader = next((node for node in self.nodes if node.name == self.leader), first)
        header = shlex.quote(f"@{self.files.header_file}")
        file = shlex.quote(str(self.files.header_file))
        config = shlex.quote(str(Path(self.directory) / first.name / "rppam.config"))
        lines = [
            f"The cluster is ready after {self.started_in_ms / 1000:.1f} s: {self.leader} leads.",
            "",
            f"  console  {first.url}/console/",
            "",
            *(f"  {node.name:<8} {node.url or 'votes, never leads':<21}   pid {node.pid}" for node in self.nodes),
            f"  {'Redis':<8} {HOST}:{redis.port}         pid {redis.child.pid}",
            f"  {'database':<8} {self.files.database}   (SQLite, one file for all)",
            "",
            f"  user     {self.files.admin_user}  (no second factor: this is a demo; a new cluster asks for one)",
            f"  password {self.files.admin_password.reveal()}",
            "  vault    shows secrets without a second factor here, as a demo may: vault.revealFactor is none",
            "",
            f"  export RPPAM_CONFIG={config}{_path_to_us()}",
            "  rppam status      or rppam doctor, rppam cluster switchover, rppam settings list, rppam --help",
            f"  curl -s -H {header} {first.url}/system/health/cluster | {pretty}",
            f"  ADMIN_JWT=$(sed -n 's/^Authorization: Bearer //p' {file})",
            "",
            f"  {ssh_line(self.files.ssh_ports[first.name])}     ({USER} has the same password)",
            "",
            f"Try:  kill -9 {leader.pid}   kill -9 {redis.child.pid}",
            f"      kill -STOP {leader.pid}   and, when you have seen it, kill -CONT {leader.pid}",
        ]
        if len(self.nodes) > 1:
            what = f"only the process of {leader.name} that leads: another node leads at once"
            lines.append(f"      kill -9 {leader.control_pid}   ({what})")
        return [*lines, "Ctrl-C ends all."]


def _path_to_us() -> str:
    """What to put behind an ``export`` for a shell that does not find ``rppam``."""
    ours = Path(sys.executable).with_name("rppam")
    return f" PATH={shlex.quote(str(ours.parent))}:$PATH" if ours.exists() and not shutil.which("rppam") else ""


class Reporter:
    """Where the demo's words go."""

    def __init__(self, console: Console, machine: TextIO | None = None) -> None:
        """``console`` is for people; ``machine`` gets JSON lines."""
        self.broken = False
        """Nobody reads any more."""
        self._console, self._machine = console, machine
        self._read: Final[IO[str]] = machine or console.file
        self._live: Live | None = None

    def note(self, text: str) -> None:
        """Report progress, for people."""
        self._say(Text(text, style="dim"))

    def ready(self, ready: Ready) -> None:
        """Report that the cluster is up; from now on a terminal has the picture."""
        first, *rest = ready.guide()
        self._say(Text(first, style="bold"))
        for line in rest:
            self._say(Text(line))
        self._tell(ready.as_json())
        if self._machine is None and self._console.file.isatty():
            self._live = Live(console=self._console, auto_refresh=False, transient=False, vertical_overflow="crop")
            self._live.start()

    def event(self, event: Event, time: str) -> None:
        """Report what happened at ``time`` (ISO 8601, UTC)."""
        clock = datetime.fromisoformat(time).astimezone().strftime("%H:%M:%S")
        self._say(Text.assemble((f"{clock}  ", "dim"), (event.text, EVENT_STYLES.get(event.kind, ""))))
        told = {"event": event.kind, "time": time, "node": event.node, "epoch": event.epoch, "text": event.text}
        self._tell({**told, **event.extra})

    def tick(self, view: ClusterHealth | None, url: str) -> None:
        """Draw what the node at ``url`` sees, where there is a picture; notice a reader that left meanwhile."""
        if self._live is None:
            self._look_for_reader()
        elif view is not None:
            try:
                self._live.update(status_picture(view, url), refresh=True)
            except OSError:
                self.broken = True

    def close(self) -> None:
        """Leave the last picture as it is: the demo is about to end its processes."""
        if self._live is not None:
            with suppress(OSError):
                self._live.stop()
            self._live = None

    def _say(self, sentence: Text) -> None:
        if not self._console.file.isatty():
            self._write(sentence.plain, self._console.file)
            return
        try:
            self._console.print(sentence, soft_wrap=True)
        except OSError:
            self.broken = True

    def _tell(self, fields: dict[str, object]) -> None:
        if self._machine is not None:
            self._write(json.dumps(fields), self._machine)

    def _write(self, line: str, stream: IO[str]) -> None:
        try:
            print(line, file=stream, flush=True)
        except (BrokenPipeError, ValueError):
            self._give_up(stream)

    def _look_for_reader(self) -> None:
        """Notice a reader that left while nothing was written."""
        if self.broken or sys.platform == "win32":
            return
        with suppress(OSError, ValueError):
            watch = select.poll()
            watch.register(self._read.fileno(), 0)
            if any(bits & (select.POLLERR | select.POLLNVAL) for _, bits in watch.poll(0)):
                self._give_up(self._read)

    def _give_up(self, stream: IO[str]) -> None:
        self.broken = self.broken or stream is self._read
        with suppress(OSError, ValueError):  # so that neither the next line nor the flush at exit fails
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def reporter_for(*, as_json: bool) -> Reporter:
    """Where the words go: with JSON, those for people go to stderr."""
    return Reporter(Console(stderr=as_json), sys.stdout if as_json else None)
