"""One gateway process of a node: SSH sessions with targets, beside the API workers and apart from leadership.

No load on it can cost the lease, and no restart of the control process or of a worker ends a session. It stops as a
worker does: no new session, some time for those that it holds, then they are ended with a reason.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rppam.app.database_watch import WorkerDatabase
from rppam.app.node import open_database
from rppam.app.supervision import stop_with_supervisor
from rppam.app.worker import SIGN_EVERY_S, WorkerParts, then_stay
from rppam.cluster.errors import LoopStuck
from rppam.db.errors import DatabaseError
from rppam.foundation import Foundation
from rppam.gateway.relay import listening
from rppam.gateway.wiring import ways_of
from rppam.kernel.services import Services

if TYPE_CHECKING:
    from rppam.gateway.ssh.run import Gateway

log: Final = logging.getLogger("rppam.gateway")

WHY: Final = "this node is being stopped"
LATER_S: Final = 10.0
"""So long a node that starts has the processors for itself, unless somebody connects: SSH takes half a second."""


class GatewayProcess:
    """See the module."""

    def __init__(self, parts: WorkerParts, place: int, sockets: Sequence[socket.socket]) -> None:
        self._page, self._clock, self._people, self._shared, _, api = parts
        self._place, self._sockets = place, sockets
        self._services: Services = api.app.state.services
        self._stop = asyncio.Event()
        self._drain_s = 0
        self._gateway: Gateway | None = None

    def stop(self, drain_s: int) -> None:
        """Ask it to end; :meth:`run` returns once sessions had ``drain_s`` seconds to end."""
        self._drain_s = drain_s
        self._stop.set()

    async def run(self) -> None:
        """Serve until asked to stop. Raises the error that keeps it from serving."""
        self._page.obeys(self._place, None)
        watch = WorkerDatabase(self._people.database, self._clock, self._page, self._place)
        signs = asyncio.create_task(self._show_life(), name="sign of life")
        await self._shared.start()
        opening = asyncio.create_task(
            open_database(self._people.database, self._shared.catch_up, finds=True), name="opening the database"
        )
        tasks = {
            asyncio.create_task(self._stop.wait(), name="stop"),
            asyncio.create_task(self._serve(), name="gateway"),
            asyncio.create_task(then_stay(opening), name="database"),
            asyncio.create_task(watch.run(), name="database watch"),
            signs,
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set() and self._gateway is not None:
                await self._gateway.stop(WHY, self._drain_s)
        finally:
            failed = [task for task in tasks if task.done() and task.exception() is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()
        for task in failed:
            task.result()
        if not self._stop.is_set():
            raise LoopStuck("a gateway ended by itself")

    async def _serve(self) -> None:
        relay = listening(Path(self._services.get(Foundation).config.node.data_dir), self._place)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LATER_S):
                await self._called([*self._sockets, relay])
        from rppam.gateway.ssh.run import Gateway

        base = self._services.get(Foundation)
        self._gateway = Gateway(base, self._services, ways_of(self._services))
        await self._gateway.run(self._sockets, relay)

    async def _called(self, sockets: Sequence[socket.socket]) -> None:
        """Until somebody connects."""
        loop, called = asyncio.get_running_loop(), asyncio.Event()
        for plug in sockets:
            loop.add_reader(plug.fileno(), called.set)
        try:
            await called.wait()
        finally:
            for plug in sockets:
                loop.remove_reader(plug.fileno())

    async def _close(self) -> None:
        await self._shared.stop()
        with contextlib.suppress(DatabaseError):
            await self._people.database.stop()
        self._people.passwords.close()

    async def _show_life(self) -> None:
        while True:
            now_us = self._clock.as_host_us(self._clock.now())
            self._page.stamp(self._place, now_us)
            self._page.obeys(self._place, self._shared.settings.revision)
            stop_with_supervisor(self._page, now_us)
            await asyncio.sleep(SIGN_EVERY_S)
