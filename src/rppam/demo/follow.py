"""Asks every node a few times a second what it sees, and reports what changed.

Each node has a task of its own, so a frozen one delays no other. An answer counts while it is fresh, and only if it was
asked for while the node's process was known to run.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from rppam.cli.view import parse_view
from rppam.cluster.health.model import ClusterHealth
from rppam.demo.children import Child
from rppam.demo.events import ClusterWatch, Event
from rppam.http.client import NoAnswerError, get_json
from rppam.kernel.secret import Secret

PERIOD_S: Final = 0.25
ANSWER_S: Final = 0.9
FRESH_S: Final = 1.3
HEALTH: Final = "/system/health/cluster"


class Follower:
    """What is known of the running demo."""

    def __init__(
        self, urls: Mapping[str, str], children: Mapping[str, Child], redis: Child, token: Callable[[], Secret]
    ) -> None:
        """``urls`` of the nodes and ``children`` (witnesses, too) by name; ``token`` gives a valid admin token."""
        self.watch: Final = ClusterWatch(children)
        self._urls = urls
        self._children = children
        self._redis = redis
        self._token = token
        self._answers: dict[str, tuple[float, ClusterHealth]] = {}
        self._ended_at: dict[str, float] = {}
        self._redis_ended = False
        self.answer_s = ANSWER_S
        """How long an answer may take; it counts a little longer."""
        self.problems: dict[str, str] = {}
        """By node, why its last answer was of no use."""

    def views(self) -> dict[str, ClusterHealth]:
        """The fresh answers."""
        now = self._now()
        return {
            name: view for name, (at, view) in self._answers.items() if now - at <= self.answer_s + FRESH_S - ANSWER_S
        }

    def best_view(self) -> tuple[ClusterHealth | None, str]:
        """The leader's view, else that at the highest epoch; and its node's URL."""
        views = self.views()
        if not views:
            return None, ""
        name = max(views, key=lambda name: (name == self.watch.leader, views[name].epoch))
        return views[name], self._urls[name]

    def events(self) -> Iterator[Event]:
        """What happened since the last call."""
        now_ms = int(self._now() * 1000)
        for name, child in self._children.items():
            how = child.ended()
            if how is not None and name not in self._ended_at:
                self._ended_at[name] = self._now()
                self._answers.pop(name, None)
                yield from self.watch.exited(now_ms, name, how)
        how = self._redis.ended()
        if how is not None and not self._redis_ended:
            self._redis_ended = True
            yield Event("redis-exited", None, self.watch.epoch, f"The process of Redis ended {how}.", {"how": how})
        yield from self.watch.observe(now_ms, self.views())

    async def ask_forever(self, name: str) -> None:
        """Question one node until cancelled."""
        while True:
            asked_at = self._now()
            await self._ask(name, asked_at)
            await asyncio.sleep(max(0.0, asked_at + PERIOD_S - self._now()))

    async def _ask(self, name: str, asked_at: float) -> None:
        try:
            answer = await get_json(self._urls[name] + HEALTH, token=self._token(), timeout_s=self.answer_s)
        except NoAnswerError as error:
            self.problems[name] = str(error)
            self._answers.pop(name, None)
            return
        view = parse_view(answer.body, name) if answer.status == 200 else None
        if view is None:
            self.problems[name] = f"answered {answer.status}, which is no view of the cluster"
            self._answers.pop(name, None)
        elif asked_at >= self._ended_at.get(name, asked_at):
            self.problems.pop(name, None)
            self._answers[name] = (self._now(), view)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
