"""Asking every node what it sees, a few times a second, and telling what changed.

Each node has a questioner of its own, so one that is frozen delays nobody's news. An answer counts while it is fresh,
and only if it was asked for after the node's process was last known to run: the last words of a process that has ended
meanwhile are not news. It starts and ends nothing; it only reports.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from rppam.cli.view import parse_view
from rppam.cluster.health.model import ClusterHealth
from rppam.demo.board import Board, RunningNode, board_of
from rppam.demo.children import Child, how_it_ended
from rppam.demo.events import ClusterWatch, Event
from rppam.http.client import NoAnswerError, get_json
from rppam.kernel.secret import Secret

PERIOD_S: Final = 0.25
ANSWER_S: Final = 0.9
FRESH_S: Final = 1.3
HEALTH: Final = "/system/health/cluster"


class Follower:
    """The demo's eyes."""

    def __init__(
        self,
        nodes: Sequence[RunningNode],
        children: Mapping[str, Child],
        redis: Child,
        token: Callable[[], Secret],
    ) -> None:
        """``children`` are the nodes' processes by node name; ``token`` gives a valid admin token at any time."""
        self.watch: Final = ClusterWatch(node.name for node in nodes)
        self._nodes = nodes
        self._children = children
        self._redis = redis
        self._token = token
        self._answers: dict[str, tuple[float, ClusterHealth]] = {}
        self._ended_at: dict[str, float] = {}
        self._redis_ended = False
        self.problems: dict[str, str] = {}
        """By node, why its last answer was of no use."""

    def views(self) -> dict[str, ClusterHealth]:
        """The fresh answers."""
        now = self._now()
        return {name: view for name, (at, view) in self._answers.items() if now - at <= FRESH_S}

    def events(self) -> Iterator[Event]:
        """What happened since the last call."""
        now_ms = int(self._now() * 1000)
        for name, child in self._children.items():
            code = child.ended()
            if code is not None and name not in self._ended_at:
                self._ended_at[name] = self._now()
                self._answers.pop(name, None)
                yield from self.watch.exited(now_ms, name, how_it_ended(code))
        code = self._redis.ended()
        if code is not None and not self._redis_ended:
            self._redis_ended = True
            how = how_it_ended(code)
            yield Event("redis-exited", None, self.watch.epoch, f"The process of Redis ended {how}.", {"how": how})
        yield from self.watch.observe(now_ms, self.views())

    def board(self) -> Board:
        """The picture now."""
        processes = {name: child.state() for name, child in self._children.items()}
        return board_of(self._nodes, self.watch, self.views(), processes=processes, redis_process=self._redis.state())

    async def ask_forever(self, node: RunningNode) -> None:
        """Question one node until cancelled."""
        while True:
            asked_at = self._now()
            await self._ask(node, asked_at)
            await asyncio.sleep(max(0.0, asked_at + PERIOD_S - self._now()))

    async def _ask(self, node: RunningNode, asked_at: float) -> None:
        try:
            answer = await get_json(node.url + HEALTH, token=self._token(), timeout_s=ANSWER_S)
        except NoAnswerError as error:
            self.problems[node.name] = str(error)
            self._answers.pop(node.name, None)
            return
        view = parse_view(answer.body, node.name) if answer.status == 200 else None
        if view is None:
            self.problems[node.name] = f"answered {answer.status}, which is no view of the cluster"
            self._answers.pop(node.name, None)
        elif asked_at >= self._ended_at.get(node.name, asked_at):
            self.problems.pop(node.name, None)
            self._answers[node.name] = (self._now(), view)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
