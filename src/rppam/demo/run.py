"""The demo from start to end: files, Redis, nodes, ready, follow, and everything ended again.

One rule above all: whatever happens, what was started is ended before this returns. It ends or restarts nothing before
that: a node or a Redis that dies is reported, so that one can play.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from rppam.demo.board import Ready, RunningNode
from rppam.demo.children import Child, end_all, processes_of, start
from rppam.demo.events import ready_leader
from rppam.demo.files import DemoFiles, Wishes, prepare
from rppam.demo.follow import PERIOD_S, Follower
from rppam.demo.place import workplace
from rppam.demo.redis_server import HOST, RedisServer, free_port, start_redis
from rppam.demo.screen import Reporter
from rppam.http.times import iso_utc_ms
from rppam.kernel.clock import Clock
from rppam.kernel.errors import Exit
from rppam.setup import DemoError

READY_S: Final = 19.0
"""A cluster that is not ready by then, counted from the start of the command, never will be."""
NODE_GRACE_S: Final = 5.0
REDIS_GRACE_S: Final = 3.0
PORT_STEP: Final = 10
PORT_MAX: Final = 65_535
_LOOK_S: Final = 0.1


class DemoOptions(NamedTuple):
    """What the command line asks for."""

    nodes: int
    base_port: int
    directory: Path | None
    for_s: float | None
    """End after this many seconds from the start of the command; ``None``: when told to."""
    witness: bool = False
    """Whether a witness votes, too."""

    @property
    def ports(self) -> tuple[int, ...]:
        """The API ports, in order of the nodes."""
        return tuple(self.base_port + PORT_STEP * number for number in range(self.nodes))

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes' names."""
        return tuple(f"node{number}" for number in range(1, self.nodes + 1))


async def run_demo(options: DemoOptions, reporter: Reporter, clock: Clock) -> Exit:
    """Run until asked to end. Raises :class:`DemoError` when the cluster does not get ready."""
    if sys.platform == "win32":  # the command refuses to run there
        raise NotImplementedError
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if options.for_s is not None:
        loop.call_later(options.for_s, stop.set)
    with workplace(options.directory) as place:
        demo = _Demo(options, place, reporter, clock)
        work = asyncio.create_task(demo.work(), name="demo")
        asked = asyncio.create_task(stop.wait(), name="asked to end")
        try:
            await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reporter.close()
            await _finish(work, asked)
            await demo.end()
    if not work.cancelled() and (error := work.exception()) is not None:
        raise error
    reporter.note("Ended; nothing is left running." if demo.is_ready else "Ended before the cluster was ready.")
    return Exit.DONE


async def _finish(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


class _Demo:
    def __init__(self, options: DemoOptions, place: Path, reporter: Reporter, clock: Clock) -> None:
        self._options, self._place, self._reporter, self._clock = options, place, reporter, clock
        self._children: dict[str, Child] = {}
        self._redis: RedisServer | None = None
        self._started_s = asyncio.get_running_loop().time()
        self.is_ready = False

    async def work(self) -> None:
        """Everything up to the moment the demo is asked to end."""
        options = self._options
        check_ports(options.names, options.ports)
        self._reporter.note(f"Starting Redis and {options.nodes} node{'s' if options.nodes > 1 else ''} ...")
        redis_port = free_port(set(options.ports))
        self._redis = redis = await start_redis(self._place, redis_port)
        wishes = Wishes(self._place, options.names, options.ports, redis_port, redis.password, options.witness)
        files = await prepare(wishes, self._clock)
        for name, config in files.configs.items():
            word = "node" if name in options.names else "witness"
            argv = [sys.executable, "-m", "rppam", word, "--config", str(config)]
            self._children[name] = start(name, argv, log=config.parent / f"{word}.log")
        nodes = [
            RunningNode(name, f"http://{HOST}:{port}", self._children[name].pid)
            for name, port in zip(options.names, options.ports, strict=True)
        ]
        shown = [*nodes, *(RunningNode(name, "", self._children[name].pid) for name in files.witnesses)]
        follower = Follower(shown, self._children, redis.child, files.token)
        questions = [asyncio.create_task(follower.ask_forever(node), name=f"ask {node.name}") for node in nodes]
        try:
            ready = await self._until_ready(follower, nodes, shown, files, redis)
            self._reporter.ready(ready)
            self.is_ready = True
            await self._follow(follower, questions)
        finally:
            await _finish(*questions)

    async def end(self) -> None:
        """End all processes: the nodes first, so that they can still say goodbye in Redis."""
        if sys.platform == "win32":  # the command refuses to run there
            raise NotImplementedError
        if self._redis is not None:
            self._redis.child.send(signal.SIGCONT)
        await end_all(self._children.values(), NODE_GRACE_S)
        if self._redis is not None:
            await end_all([self._redis.child], REDIS_GRACE_S)

    async def _until_ready(
        self,
        follower: Follower,
        nodes: Sequence[RunningNode],
        shown: Sequence[RunningNode],
        files: DemoFiles,
        redis: RedisServer,
    ) -> Ready:
        while True:
            for _ in follower.events():
                pass  # what happens before everybody has found the others is no news
            views = follower.views()
            leader = ready_leader(views, self._options.names, files.witnesses)
            passed_s = asyncio.get_running_loop().time() - self._started_s
            processes = {node.name: below for node in nodes if (below := processes_of(node.pid)) is not None}
            if leader is not None and leader == follower.watch.leader and len(processes) == len(nodes):
                return Ready(
                    nodes=tuple(shown),
                    processes=processes,
                    leader=leader,
                    epoch=follower.watch.epoch,
                    admin_user=files.admin_user,
                    admin_password=files.admin_password,
                    admin_token=files.token(),
                    header_file=str(files.header_file),
                    redis_host=HOST,
                    redis_port=redis.port,
                    redis_password=redis.password,
                    redis_pid=redis.child.pid,
                    directory=str(self._place),
                    started_in_ms=round(passed_s * 1000),
                )
            self._check_alive(redis.child)
            if passed_s > READY_S:
                raise DemoError(self._why_not_ready(follower))
            await asyncio.sleep(_LOOK_S)

    def _check_alive(self, redis: Child) -> None:
        for child in (*self._children.values(), redis):
            if child.ended() is not None:
                raise DemoError(
                    f"{child.name} {child.state()} before the cluster was ready. "
                    f"The end of its log ({child.log}):\n{child.tail()}"
                )

    def _why_not_ready(self, follower: Follower) -> str:
        lines = [f"the cluster was not ready within {READY_S:g} s:"]
        views = follower.views()
        for name, child in self._children.items():
            view = views.get(name)
            if view is None:
                said = follower.problems.get(name, "has not answered yet")
            else:
                said = (
                    f"reports leader {view.leader or 'none'}, clusterHealthy {str(view.healthy).lower()}, "
                    f"{len(view.members)} nodes"
                )
            lines.append(f"  {name}: {said}. The end of its log ({child.log}):\n{child.tail(6)}")
        return "\n".join(lines)

    async def _follow(self, follower: Follower, questions: "Sequence[asyncio.Task[None]]") -> None:
        looks = 0
        while not self._reporter.broken:
            for question in questions:
                if question.done():
                    question.result()  # a questioner never ends by itself: this raises what ended it
            for event in follower.events():
                self._reporter.event(event, iso_utc_ms(self._clock.wall_ms()))
            if looks % round(PERIOD_S / _LOOK_S) == 0:
                self._reporter.tick(follower.board())
            looks += 1
            await asyncio.sleep(_LOOK_S)


def check_ports(names: Sequence[str], ports: Sequence[int]) -> None:
    """Whether every API port can be had. Raises :class:`DemoError` naming the first that cannot.

    Raises :class:`click.BadParameter` where there is no such port.
    """
    if ports[-1] > PORT_MAX:
        said = f"{names[-1]} would listen on port {ports[-1]}; the highest port is {PORT_MAX}"
        raise click.BadParameter(said, param_hint="--base-port")
    for name, port in zip(names, ports, strict=True):
        with socket.socket() as probe:
            # As the node's own server does: a port that merely waits for late packets is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                with suppress(OSError):
                    probe.listen(1)
            except OSError as error:
                raise DemoError(
                    f"port {port} on {HOST}, for {name}, cannot be had: {error.strerror}. "
                    "End what listens there (another demo or node?), or choose other ports with --base-port"
                ) from error
