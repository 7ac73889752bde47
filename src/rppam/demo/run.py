"""The demo from start to end: files, Redis, nodes, ready, follow, and everything ended again.

Whatever happens, what was started is ended before this returns. Until then it ends and restarts nothing: a node or a
Redis that dies is reported, so that one can play.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from rppam.cluster.driver.datadir import LOCK_NAME
from rppam.demo.access import Access
from rppam.demo.children import Child, end_all, start
from rppam.demo.events import Event, ready_leader
from rppam.demo.files import DemoFiles, DemoOptions, prepare
from rppam.demo.follow import ANSWER_S, PERIOD_S, Follower
from rppam.demo.place import workplace
from rppam.demo.redis_server import HOST, RedisServer, free_port, start_redis
from rppam.demo.screen import Ready, Reporter, RunningNode, ssh_line
from rppam.demo.ssh_target import SshTarget, start_ssh_target
from rppam.http.times import iso_utc_ms
from rppam.kernel.clock import Clock
from rppam.kernel.errors import Exit
from rppam.setup.errors import DemoError

SLOW_S: Final = 19.0
"""A cluster that is not ready by then, counted from the start of the command, runs on a slow machine."""
SLOW_ANSWER_S: Final = 5.0
"""There an answer may take so long until all are ready."""
READY_S: Final = 90.0
"""One that is not ready by then never will be."""
NODE_GRACE_S: Final = 5.0
REDIS_GRACE_S: Final = 3.0
PORT_MAX: Final = 65_535
_LOOK_S: Final = 0.1


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
            left = await demo.end()
    if not work.cancelled() and (error := work.exception()) is not None:
        raise error
    if left:
        reporter.note(
            f"Ended, and these processes run on: {', '.join(map(str, left))}. End them: kill -9 and the number."
        )
    else:
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
        self._target: SshTarget | None = None
        self._ssh: dict[str, str] = {}
        """What to paste to log in by the gateway of a node, by the address of its API."""
        self._started_s = asyncio.get_running_loop().time()
        self.is_ready = False

    async def work(self) -> None:
        """Everything up to the moment the demo is asked to end."""
        ports = self._options.ports
        check_ports(ports)
        self._reporter.note(f"Starting Redis and {len(ports)} node{'s' if len(ports) > 1 else ''} ...")
        self._redis = redis = await start_redis(self._place, free_port(set(ports.values())))
        files = await prepare(self._options, self._place, redis, self._clock)
        taken = {*ports.values(), *files.ssh_ports.values(), redis.port}
        self._target = await start_ssh_target(self._place, free_port(taken))
        for name, config in files.configs.items():
            word = "node" if name in ports else "witness"
            argv = [sys.executable, "-m", "rppam", word, "--config", str(config)]
            lock = config.parent / LOCK_NAME  # the folder is its data directory
            self._children[name] = start(name, argv, log=config.parent / f"{word}.log", lock=lock)
        urls = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
        self._ssh = {url: ssh_line(files.ssh_ports[name]) for name, url in urls.items()}
        follower = Follower(urls, self._children, redis.child, files.token)
        questions = [asyncio.create_task(follower.ask_forever(name), name=f"ask {name}") for name in urls]
        try:
            self._reporter.ready(await self._until_ready(follower, urls, files, redis))
            self.is_ready = True
            await self._follow(follower, questions)
        finally:
            await _finish(*questions)

    async def end(self) -> list[int]:
        """End all processes: the nodes first, so that they can still deregister from Redis. Return who runs on."""
        if sys.platform == "win32":  # the command refuses to run there
            raise NotImplementedError
        if self._redis is not None:
            self._redis.child.send(signal.SIGCONT)
        left = await end_all(self._children.values(), NODE_GRACE_S)
        if self._target is not None:
            left += await end_all([self._target.child], REDIS_GRACE_S)
        if self._redis is not None:
            left += await end_all([self._redis.child], REDIS_GRACE_S)
        return left

    async def _until_ready(
        self, follower: Follower, urls: Mapping[str, str], files: DemoFiles, redis: RedisServer
    ) -> Ready:
        is_told = False
        while True:
            for _ in follower.events():
                pass  # what happens before all have found each other is no news
            leader = ready_leader(follower.views(), urls, files.witnesses)
            passed_s = asyncio.get_running_loop().time() - self._started_s
            nodes = tuple(
                RunningNode(name, urls.get(name, ""), child.pid).with_processes()
                for name, child in self._children.items()
            )
            is_complete = all(node.control_pid and node.worker_pids for node in nodes if node.url)
            if leader is not None and leader == follower.watch.leader and is_complete:
                assert self._target is not None  # it was started before the nodes
                await Access(urls[leader], files.token()).prepare(self._target, files.admin_password)
                passed_s = asyncio.get_running_loop().time() - self._started_s
                place, passed_ms, follower.answer_s = str(self._place), round(passed_s * 1000), ANSWER_S
                epoch = follower.watch.epoch
                return Ready(nodes, leader, epoch, files, redis, self._target.account, place, passed_ms)
            others = [self._target.child] if self._target else []
            for child in (*self._children.values(), redis.child, *others):
                if how := child.ended():
                    raise DemoError(f"{child.name} ended {how} before the cluster was ready. {child.log_end()}")
            if passed_s > SLOW_S and not is_told:
                is_told, follower.answer_s = True, SLOW_ANSWER_S
                self._reporter.note(f"This machine is slow or busy: waiting for up to {READY_S:g} s ...")
            if passed_s > READY_S:
                raise DemoError(self._why_not_ready(follower))
            await asyncio.sleep(_LOOK_S)

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
            lines.append(f"  {name}: {said}. Its log: {child.log}")
        lines.append(
            "Where a log says that a node leads, the machine is too busy: try fewer nodes (--nodes 1), or later"
        )
        return "\n".join(lines)

    def _hints(self, event: Event, follower: Follower) -> list[str]:
        """What to paste once a process has ended: the line that starts it again, and a node that answers."""
        if event.kind not in {"node-exited", "redis-exited"} or self._redis is None:
            return []
        child = self._children.get(event.node) if event.node else self._redis.child
        lines = [f"          start it again:  {child.again}"] if child is not None and child.again else []
        _, url = follower.best_view()
        if event.node and url:
            lines.append(f"          a node that answers:  {url}")
            lines += [f"          and its gateway:  {self._ssh[url]}"] if url in self._ssh else []
        return lines

    async def _follow(self, follower: Follower, questions: "list[asyncio.Task[None]]") -> None:
        looks = 0
        while not self._reporter.broken:
            for question in questions:
                if question.done():
                    question.result()  # such a task never ends by itself: this raises what ended it
            for event in follower.events():
                self._reporter.event(event, iso_utc_ms(self._clock.wall_ms()))
                for line in self._hints(event, follower):
                    self._reporter.note(line)
            if looks % round(PERIOD_S / _LOOK_S) == 0:
                self._reporter.tick(*follower.best_view())
            looks += 1
            await asyncio.sleep(_LOOK_S)


def check_ports(ports: Mapping[str, int]) -> None:
    """Refuse ports, by name of their nodes, that cannot be had: :class:`DemoError`, :class:`click.BadParameter`."""
    last, highest = max(ports.items(), key=lambda one: one[1])
    if highest > PORT_MAX:
        said = f"{last} would listen on port {highest}; the highest port is {PORT_MAX}"
        raise click.BadParameter(said, param_hint="--base-port")
    for name, port in ports.items():
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
