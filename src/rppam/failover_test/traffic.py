"""Traffic while the leader is lost: people who read with sessions, and writes that are acknowledged or sent again.

A client keeps to the address that answered it last, and goes to the next one after a failure, as clients and balancers
do. A write that was not acknowledged is sent again with the same number, which the cluster keeps once. Nothing here
decides whether a promise was kept.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple

from rppam.failover_test.client import TESTS, Cluster, sentence_of
from rppam.failover_test.schemas import NUMBER_MAX
from rppam.http.client import Answer, NoAnswerError
from rppam.kernel.secret import Secret

EVERY_S: Final = 0.2
REQUEST_S: Final = 3.0
ME: Final = "/api/v1/users/me"


class Missed(NamedTuple):
    """A request that failed, by the clock of the loop."""

    at_s: float
    what: str
    url: str
    why: str


class Traffic:
    """Run by :meth:`start` until :meth:`stop`."""

    def __init__(self, cluster: Cluster, test: str, sessions: list[Secret]) -> None:
        self._cluster, self._test, self._sessions = cluster, test, sessions
        self._tasks: list[asyncio.Task[None]] = []
        self.requests = 0
        self.missed: list[Missed] = []
        self.acknowledged: list[int] = []
        """Numbers of writes, in order."""

    def start(self) -> None:
        """Begin to read and to write."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._read(), name="read"), loop.create_task(self._write(), name="write")]

    async def stop(self) -> None:
        """Send nothing more. Raises what ended one of them before."""
        for task in self._tasks:
            task.cancel()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def _read(self) -> None:
        place = turn = 0
        while True:
            session = self._sessions[turn % len(self._sessions)]
            turn += 1
            url = self._url(place)

            def ask(url: str = url, session: Secret = session) -> Awaitable[Answer]:
                return self._cluster.ask("GET", url + ME, token=session, timeout_s=REQUEST_S)

            place += not await self._sent("read", url, ask)
            await asyncio.sleep(EVERY_S)

    async def _write(self) -> None:
        place, number = 0, 1
        while number <= NUMBER_MAX:
            url = self._url(place)
            path = f"{TESTS}/{self._test}/writes/{number}"

            def ask(url: str = url, path: str = path) -> Awaitable[Answer]:
                return self._cluster.ask("PUT", url + path, timeout_s=REQUEST_S)

            if await self._sent("write", url, ask):
                self.acknowledged.append(number)
                number += 1
            else:
                place += 1
            await asyncio.sleep(EVERY_S)

    def _url(self, place: int) -> str:
        return self._cluster.urls[place % len(self._cluster.urls)]

    async def _sent(self, what: str, url: str, ask: Callable[[], Awaitable[Answer]]) -> bool:
        """Whether it was answered as it should be."""
        at_s = asyncio.get_running_loop().time()
        self.requests += 1
        try:
            answer = await ask()
        except NoAnswerError as error:
            why = str(error)
        else:
            if answer.status < 300:
                return True
            why = sentence_of(answer)
        self.missed.append(Missed(at_s, what, url, why))
        return False
