"""One API worker: the REST API on what the node's page says, and a database of its own to ask.

It decides nothing about leadership. Its connection to Redis is for the cache and for limits only, and it starts and
serves without one. No load on it can cost the lease; what it may do as the leader it reads from the page at each act.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple

from rppam.app.boot_context import BootContext
from rppam.app.database_watch import WorkerDatabase
from rppam.app.node import open_database
from rppam.app.shared import Shared, shared_of
from rppam.app.supervision import stop_with_supervisor
from rppam.app.wiring import People, api_server, facts_of, people_of
from rppam.cluster.admin.forwarding import CalledRelay
from rppam.cluster.admin.rpc import CalledAdministration, CalledOutranked
from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.errors import LoopStuck
from rppam.cluster.health.model import ClusterSnapshot
from rppam.cluster.health.shared_status import RESTARTING, PageStatus
from rppam.db.errors import DatabaseError
from rppam.http.server import ApiServer
from rppam.http.times import iso_utc
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.process.control_channel import ControlChannel
from rppam.process.rpc import caller
from rppam.process.shared_state import SharedState

log = logging.getLogger("rppam.api.worker")

SIGN_EVERY_S: Final = 0.25
DATABASE_FIRST_S: Final = 0.5
"""So long a worker waits for its database before it answers: who reads that the node is up can sign in at once. With a
database that is away everything else is answered all the same."""


class WorkerParts(NamedTuple):
    """What all workers of a node are alike in: made once, before they are copied. Nothing of it runs yet."""

    page: SharedState
    clock: SystemClock
    people: People
    shared: Shared
    status: PageStatus
    api: ApiServer


class Worker:
    """A running worker."""

    def __init__(
        self,
        parts: WorkerParts,
        line: ControlChannel,
        place: int,
        sockets: Sequence[socket.socket],
    ) -> None:
        self._page, self._clock, self._people, self._shared, self._status, self._api = parts
        self._line, self._place, self._sockets = line, place, sockets
        self._stop = asyncio.Event()
        self._drain_s = 0

    def stop(self, drain_s: int) -> None:
        """Ask it to end; :meth:`run` returns once requests had ``drain_s`` seconds to end."""
        self._drain_s = drain_s
        self._status.draining = True
        self._stop.set()

    async def run(self) -> None:
        """Serve until asked to stop. Raises the error that keeps it from serving."""
        self._page.obeys(self._place, None)
        watch = WorkerDatabase(self._people.database, self._clock, self._page, self._place)
        await self._shared.start()
        opening = asyncio.create_task(
            open_database(self._people.database, self._shared.catch_up, finds=True), name="opening the database"
        )
        await asyncio.wait({opening}, timeout=DATABASE_FIRST_S)
        await self._api.start(self._sockets)
        self._line.send("up")
        tasks = {
            asyncio.create_task(self._stop.wait(), name="stop"),
            asyncio.create_task(self._api.wait(), name="rest api"),
            asyncio.create_task(self._show_life(), name="sign of life"),
            asyncio.create_task(then_stay(opening), name="database"),
            asyncio.create_task(watch.run(), name="database watch"),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            failed = [task for task in tasks if task.done() and task.exception() is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()
        for task in failed:
            task.result()
        if not self._stop.is_set():
            raise LoopStuck("the REST server of an API worker ended by itself")

    async def _close(self) -> None:
        signs = asyncio.create_task(self._show_life())
        await self._api.stop(self._drain_s * 1000)
        await self._shared.stop()
        with contextlib.suppress(DatabaseError):
            await self._people.database.stop()
        self._people.passwords.close()
        signs.cancel()

    async def _show_life(self) -> None:
        while True:
            now_us = self._clock.as_host_us(self._clock.now())
            self._page.stamp(self._place, now_us)
            self._page.obeys(self._place, self._shared.settings.revision)
            stop_with_supervisor(self._page, now_us)
            await asyncio.sleep(SIGN_EVERY_S)


async def then_stay(opening: "asyncio.Task[None]") -> None:
    """Raises what ``opening`` raises; else never ends."""
    await opening
    await asyncio.Event().wait()


def worker_parts(known: BootContext, page: SharedState, calls: socket.socket) -> WorkerParts:
    """Everything a worker is made of; orders go to whoever answers on ``calls``. Starts no thread and no event loop."""
    clock, entropy = SystemClock(), SystemEntropy()
    people = people_of(known.settings, clock)
    shared = shared_of(known.settings, people.database, clock, entropy)
    status = PageStatus(page, clock, _nothing_seen(known, clock))
    call = caller(calls)
    administration, relay, outranked = CalledAdministration(call), CalledRelay(call), CalledOutranked(call)
    api = api_server(known, people, shared, status, clock, entropy, administration, relay, outranked)
    return WorkerParts(page, clock, people, shared, status, api)


def _nothing_seen(known: BootContext, clock: SystemClock) -> ClusterSnapshot:
    """What is known before the control process has shown anything."""
    facts = facts_of(known.settings, "", None)
    return ClusterSnapshot(
        cluster_id=facts.cluster_id,
        node=facts.node,
        role=Role.STANDBY,
        leader=None,
        epoch=0,
        redis_enabled=facts.redis_enabled,
        redis_connected=False,
        redis_reason=RESTARTING,
        quorum_met=False,
        quorum_reason=RESTARTING,
        safety_level=facts.safety_level,
        ready=False,
        time=iso_utc(clock.wall_ms()),
    )
