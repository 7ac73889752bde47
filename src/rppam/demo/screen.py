"""How the demo speaks: a live table on a terminal, plain lines without one, JSON lines for machines.

JSON goes to stdout, one object a line, flushed; what people read goes to stderr then. When whoever reads stdout is
gone, :attr:`Reporter.broken` says so and the demo ends as if it had been asked to.
"""

import json
import os
import select
import shlex
import shutil
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Final, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rppam.cli.screen import STYLES, age
from rppam.demo.board import Board, Ready, RunningNode
from rppam.demo.events import Event

EVENTS_SHOWN: Final = 10
WIDE: Final = 104
"""Columns from which on a row with its address fits."""
EVENT_STYLES: Final = {
    "leader-elected": "green",
    "node-healthy": "green",
    "redis-back": "green",
    "leader-lost": "red",
    "node-unreachable": "red",
    "node-exited": "red",
    "redis-lost": "red",
    "redis-exited": "red",
    "node-suspect": "yellow",
}


class Reporter(Protocol):
    """Where the demo's words go."""

    broken: bool
    """Nobody reads any more."""

    def note(self, text: str) -> None:
        """Progress, for people."""
        ...

    def ready(self, ready: Ready) -> None:
        """The cluster is up."""
        ...

    def event(self, event: Event, time: str) -> None:
        """Something happened at ``time`` (ISO 8601, UTC)."""
        ...

    def tick(self, board: Board) -> None:
        """The picture now; called a few times a second."""
        ...

    def close(self) -> None:
        """The demo is about to end its processes."""
        ...


def clock_time(time: str) -> str:
    """The time of day where the reader is, of an ISO time."""
    return datetime.fromisoformat(time).astimezone().strftime("%H:%M:%S")


def _node_object(ready: Ready, node: RunningNode) -> dict[str, object]:
    """One entry of the ready event's ``nodes``; a witness has neither an API nor processes below it."""
    processes = ready.processes.get(node.name)
    if processes is None:
        return {"nodeName": node.name, "role": "witness", "pid": node.pid}
    return {
        "nodeName": node.name,
        "url": node.url,
        "pid": node.pid,
        "supervisorPid": node.pid,
        "controlPid": processes.control,
        "workerPids": list(processes.workers),
        "role": "leader" if node.name == ready.leader else "standby",
    }


def guide(ready: Ready) -> list[str]:
    """The lines a person needs to play: addresses, the administrator, two commands to paste, what to try.

    The token itself stands in a file only: on a command line every user of the machine could read it.
    """
    pretty = "jq ." if shutil.which("jq") else "python3 -m json.tool"
    first = ready.nodes[0]
    lines = [f"The cluster is ready after {ready.started_in_ms / 1000:.1f} s: {ready.leader} leads.", ""]
    lines += [f"  {node.name:<8} {node.url or 'votes, never leads':<21}   pid {node.pid}" for node in ready.nodes]
    lines += [f"  {'Redis':<8} {ready.redis_host}:{ready.redis_port}         pid {ready.redis_pid}", ""]
    lines += [f"  user     {ready.admin_user}", f"  password {ready.admin_password.reveal()}", ""]
    header = shlex.quote("@" + ready.header_file)
    lines += [f"  curl -s -H {header} {first.url}/system/health/cluster | {pretty}"]
    lines += [f"  ADMIN_JWT=$(sed -n 's/^Authorization: Bearer //p' {shlex.quote(ready.header_file)})", ""]
    leader = next((node for node in ready.nodes if node.name == ready.leader), first)
    lines.append(f"Try:  kill -9 {leader.pid}   kill -STOP {leader.pid}   kill -9 {ready.redis_pid}   Ctrl-C ends all.")
    if len(ready.nodes) > 1:
        control = ready.processes[leader.name].control
        lines.append(
            f"      kill -9 {control}   (only the process of {leader.name} that leads: another node leads at once)"
        )
    return lines


class _Broken:
    def __init__(self, stream: TextIO) -> None:
        self.broken = False
        self._stream = stream

    def _guard(self, write: Callable[[], object]) -> None:
        if self.broken:
            return
        try:
            write()
        except (BrokenPipeError, ValueError):
            self._give_up()

    def _look(self) -> None:
        """Notice a reader that left while nothing was written."""
        if self.broken or sys.platform == "win32":
            return
        with suppress(OSError, ValueError):
            watch = select.poll()
            watch.register(self._stream.fileno(), 0)
            if any(bits & (select.POLLERR | select.POLLNVAL) for _, bits in watch.poll(0)):
                self._give_up()

    def _give_up(self) -> None:
        self.broken = True
        with suppress(OSError, ValueError):  # so that the flush at exit does not complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


class PlainReporter(_Broken):
    """Lines for a log or a pipe."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)

    def _line(self, text: str) -> None:
        self._guard(lambda: print(text, file=self._stream, flush=True))

    def note(self, text: str) -> None:
        """One line."""
        self._line(text)

    def ready(self, ready: Ready) -> None:
        """The guide."""
        for line in guide(ready):
            self._line(line)

    def event(self, event: Event, time: str) -> None:
        """Time of day and sentence."""
        self._line(f"{clock_time(time)}  {event.text}")

    def tick(self, board: Board) -> None:  # noqa: ARG002 - plain lines show events only
        """Only looks whether somebody still reads."""
        self._look()

    def close(self) -> None:
        """Nothing."""


class JsonReporter(_Broken):
    """One JSON object a line on stdout; sentences on stderr."""

    def __init__(self, stream: TextIO, people: TextIO) -> None:
        super().__init__(stream)
        self._people = PlainReporter(people)
        self._started = False

    def _object(self, fields: dict[str, object]) -> None:
        self._guard(lambda: print(json.dumps(fields), file=self._stream, flush=True))

    def note(self, text: str) -> None:
        """To stderr."""
        self._people.note(text)

    def ready(self, ready: Ready) -> None:
        """The first line on stdout."""
        self._people.ready(ready)
        self._started = True
        self._object(
            {
                "event": "ready",
                "nodes": [_node_object(ready, node) for node in ready.nodes],
                "adminUser": ready.admin_user,
                "adminPassword": ready.admin_password.reveal(),
                "adminToken": ready.admin_token.reveal(),
                "redis": {
                    "host": ready.redis_host,
                    "port": ready.redis_port,
                    "password": ready.redis_password.reveal(),
                    "pid": ready.redis_pid,
                },
                "leader": ready.leader,
                "epoch": ready.epoch,
                "directory": ready.directory,
                "startedInMs": ready.started_in_ms,
            }
        )

    def event(self, event: Event, time: str) -> None:
        """One object; before ``ready`` only a sentence on stderr."""
        self._people.event(event, time)
        if self._started:
            told = {"event": event.kind, "time": time, "node": event.node, "epoch": event.epoch, "text": event.text}
            self._object({**told, **event.extra})

    def tick(self, board: Board) -> None:  # noqa: ARG002 - machines get events only
        """Only looks whether somebody still reads."""
        self._look()

    def close(self) -> None:
        """Nothing."""


class LiveReporter:
    """The table that follows the cluster, below the guide."""

    def __init__(self, console: Console) -> None:
        self.broken = False
        self._console = console
        self._events: deque[tuple[str, Event]] = deque(maxlen=EVENTS_SHOWN)
        self._live: Live | None = None

    def note(self, text: str) -> None:
        """Dim, above the table."""
        self._console.print(Text(text, style="dim"), soft_wrap=True)

    def ready(self, ready: Ready) -> None:
        """The guide, then the table starts."""
        first, *rest = guide(ready)
        self._console.print(Text(first, style="bold"), soft_wrap=True)
        for line in rest:
            self._console.print(Text(line), soft_wrap=True)
        self._console.print()
        self._live = Live(console=self._console, auto_refresh=False, transient=False, vertical_overflow="crop")
        self._live.start()

    def event(self, event: Event, time: str) -> None:
        """Into the list below the table."""
        self._events.append((time, event))

    def tick(self, board: Board) -> None:
        """Draw."""
        if self._live is None:
            return
        room = max(2, self._console.height - len(board.rows) - 7)
        try:
            self._live.update(picture(board, list(self._events)[-room:], self._console.width), refresh=True)
        except (BrokenPipeError, OSError):
            self.broken = True

    def close(self) -> None:
        """The last picture stays."""
        if self._live is not None:
            with suppress(OSError):
                self._live.stop()


def picture(board: Board, events: list[tuple[str, Event]], width: int = WIDE) -> Group:
    """Table, Redis line and the last events; a narrow screen goes without the addresses, which stand above it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("  NODE", "ROLE", "STATUS"):
        table.add_column(title, no_wrap=True)
    for title in ("EPOCH", "HEARTBEAT"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("PROCESS", "ADDRESS") if width >= WIDE else ("PROCESS",):
        table.add_column(title, no_wrap=True)
    for row in board.rows:
        leads = row.role == "leader"
        table.add_row(
            Text(("● " if leads else "  ") + row.node, style="bold" if leads else ""),
            Text(row.role or "-", style="bold cyan" if leads else ""),
            Text(row.status, style=STYLES.get(row.status, "")),
            str(row.epoch) if row.epoch else "-",
            age(row.heartbeat_age_ms),
            Text(f"{row.pid} {row.process}", style="dim" if row.process == "running" else "red"),
            *([row.url] if width >= WIDE else []),
        )
    who = f"{board.leader} leads, epoch {board.epoch}" if board.leader else "no leader"
    line = Text.assemble(
        (who, "bold" if board.leader else "bold red"), "   Redis: ", (board.redis, "" if board.redis_fine else "red")
    )
    said = [
        Text.assemble((clock_time(time) + "  ", "dim"), (event.text, EVENT_STYLES.get(event.kind, "")))
        for time, event in events
    ]
    return Group(line, Text(), table, Text(), *(said or [Text("Nothing has happened yet.", style="dim")]))


def reporter_for(*, as_json: bool) -> Reporter:
    """The one that fits where stdout goes."""
    if as_json:
        return JsonReporter(sys.stdout, sys.stderr)
    if sys.stdout.isatty():
        return LiveReporter(Console())
    return PlainReporter(sys.stdout)
