"""One node: what it is made of, and the order in which it starts and stops.

Starting: the surface comes first, so that health can be asked while everything else is still on its way; then the
database and the store connect, each in its own time. Stopping: leadership goes first (step down, release, goodbye),
then the surface, then the rest closes. Whatever the world does, stopping is bounded.

The **surface** is what others see of the node: the REST API where the node is a single process, and else the page of
memory that its API workers read.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from rppam.access.accounts.first_password import FirstPasswordFile
from rppam.access.accounts.model import FirstAdmin
from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.service import Accounts
from rppam.app.checkup import Checkup
from rppam.app.members import tell_namesake
from rppam.app.new_cluster import first_log_in, initial_settings
from rppam.cluster.consensus.admission import AdmissionState
from rppam.cluster.consensus.node import Turned
from rppam.cluster.driver.datadir import DataDir
from rppam.cluster.driver.driver import Driver
from rppam.cluster.driver.node_tasks import SideTask
from rppam.cluster.errors import ForeignPrefix, LoopStuck, NameInUse, NoSeat
from rppam.cluster.health.view import NodeView
from rppam.cluster.history.recorder import HistoryEvent, noted
from rppam.cluster.link.link import TlsMemberLink
from rppam.cluster.vip.follower import AddressTask
from rppam.config.settings import Settings
from rppam.db.database import Database
from rppam.db.errors import DatabaseError, SchemaNewer
from rppam.kernel.errors import RppamError
from rppam.process.notify import Notifier

log = logging.getLogger("rppam.node")

DATABASE_RETRY_S: Final = 1.0
HAD_DATABASE: Final = "had-database"
"""Empty; in node.dataDir since this node has worked with a database. Without it an SQLite file may be made anew."""
_NO_DATABASE: Final = "the database does not answer; nobody can log in until it does"
_NO_ADMIN: Final = "the first administrator cannot be seen to yet"
QUIET_S: Final = 1.0
"""So long a node that is asked to stop lets end what runs through the virtual address."""
REDIS_FIRST_S: Final = 1.0
"""So long a node that starts waits for Redis before it serves without."""


class Surface(Protocol):
    """What others see of the node."""

    async def start(self) -> None:
        """Show it. Raises the error that keeps it from being shown."""
        ...

    async def wait(self) -> None:
        """Until it has ended, which it never does by itself."""
        ...

    async def stop(self, drain_ms: int) -> None:
        """Leadership is released: take leave within ``drain_ms`` and a little."""
        ...


class _Order:
    """To stop, and why."""

    def __init__(self) -> None:
        self.why = "asked to stop"
        self.given = asyncio.Event()


class Node:
    """A running node. ``await run()`` returns when it was asked to stop, and raises when it may not go on."""

    def __init__(
        self,
        settings: Settings,
        data_dir: DataDir,
        database: Database,
        driver: Driver,
        view: NodeView,
        surface: Surface,
        accounts: Accounts,
        passwords: Passwords,
        notifier: Notifier,
        foreign: asyncio.Future[str],
        checkup: Checkup,
        address: AddressTask | None = None,
        link: TlsMemberLink | None = None,
        beside: Sequence[SideTask] = (),
    ) -> None:
        """``link`` is the way to the other members; ``None`` where the record alone decides."""
        self.settings = settings
        self.view = view
        self._surface = surface
        self._data_dir = data_dir
        self._database = database
        self._driver = driver
        self._accounts = accounts
        self._passwords = passwords
        self._notifier = notifier
        self._foreign = foreign
        self._checkup = checkup
        self._address = address
        self._link = link
        self._beside = beside
        self._order = _Order()

    def stop(self, why: str) -> None:
        """Ask the node to stop; :meth:`run` then returns."""
        self._order.why = why
        self._order.given.set()

    async def run(self) -> None:
        """Start, serve, and stop in order. Raises the error that kept it from starting or going on."""
        try:
            await self._surface.start()
            async with asyncio.TaskGroup() as group:
                side = [
                    group.create_task(
                        open_database(self._database, self._make_first_admin, self._data_dir.path / HAD_DATABASE),
                        name="database",
                    ),
                    group.create_task(self._tell_service_manager(), name="service manager"),
                    group.create_task(self._driver.start(), name="store"),
                    group.create_task(self._checkup.run(), name="checkup"),
                    *self._watched_address(group),
                    *(group.create_task(task.run(), name=task.name) for task in self._beside),
                ]
                try:
                    await self._until_over(side)
                finally:
                    for task in side:
                        task.cancel()
        except* RppamError as group_error:
            error = _first(group_error)
            if not self._order.given.is_set():
                self._order.why = str(error)
            raise error from None
        finally:
            await self._close()

    def _watched_address(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        return [] if self._address is None else [group.create_task(self._address.watch(), name="virtual address")]

    async def _until_over(self, side: list[asyncio.Task[None]]) -> None:
        """Until somebody asks to stop, or something says that this node may not go on."""
        stop = asyncio.create_task(self._order.given.wait())
        surface = asyncio.create_task(self._surface.wait())
        watched: set[asyncio.Future[Any]] = {stop, surface, self._driver.turned, self._driver.broken, self._foreign}
        try:
            while not any(task.done() for task in watched):
                failed = [task for task in side if task.done() and task.exception() is not None]
                if failed:
                    return  # the task group raises it
                running = {task for task in side if not task.done()}
                await asyncio.wait({*watched, *running}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            surface.cancel()
        if self._driver.turned.done():
            await tell_namesake(self._driver, self._link)
            raise _refusal(self._driver.turned.result())
        if self._foreign.done():
            raise ForeignPrefix(self._foreign.result())
        if self._driver.broken.done():
            raise LoopStuck(self._driver.broken.result())
        if not stop.done() and surface.done():
            raise LoopStuck("what others see of the node ended by itself")

    async def _close(self) -> None:
        self.view.draining = True
        self._notifier.stopping(f"stopping: {self._order.why}")
        log.info("stopping: %s", self._order.why, extra=noted(HistoryEvent.STOPPING))
        if self._address is not None and self._order.given.is_set():
            await self._address.quieten(QUIET_S)
        await self._driver.stop(self._order.why)
        await self._surface.stop(self.settings.api.drain_s * 1000)
        with contextlib.suppress(DatabaseError):
            await self._database.stop()
        self._passwords.close()
        self._data_dir.close()
        log.info("stopped")

    # ---- what runs beside -------------------------------------------------------------------------------------------

    async def _make_first_admin(self) -> None:
        place = FirstPasswordFile(self._data_dir.path)
        first = initial_settings(self.settings)
        made = await self._accounts.ensure_first_admin(place, first)
        if made is None:
            return
        hint = first_log_in(first)
        log.warning(hint)
        if _told_on_the_terminal(made, hint):
            place.drop()
        else:
            log.warning("the first administrator's password stands in %s; note it and delete the file", place.show())

    async def _tell_service_manager(self) -> None:
        """READY once this node takes part, or serves without Redis; then the watchdog, while the loop turns."""
        await self._take_part()
        self.view.serving = True
        self._notifier.ready(f"serving on port {self.settings.api.port}")
        every_ms = self._notifier.alive_every_ms or 1_000
        said = ""
        while True:
            if self.view.is_alive():
                self._notifier.alive()
            status = self.view.sentence()
            if status != said:
                said = status
                self._notifier.status(status)
            await asyncio.sleep(every_ms / 1000)

    async def _take_part(self) -> None:
        """Until this node's name is known to be its own; where Redis is away that cannot be asked, and nobody waits."""
        core, loop = self._driver.core, asyncio.get_running_loop()
        begun = loop.time()
        while (waited_s := loop.time() - begun) < 2 * core.timing.lease_ms / 1000:
            if waited_s >= REDIS_FIRST_S and not core.status().connected:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._driver.admitted.wait()
                    return


async def open_database(
    database: Database, then: Callable[[], Awaitable[None]], had: Path | None = None, *, finds: bool = False
) -> None:
    """Bring the database up and do ``then``, however long it takes; access by token works meanwhile.

    What fails is told once and tried again. ``had``: a file that says that this node has had one; from then on none is
    made anew. ``finds``: none is made here at all, as another process of the node does it, which may take a moment.
    """
    said, is_silent = "", False
    if finds:
        await _a_moment(database)
    while True:
        try:
            await database.start(creates=not finds and not _is_there(had))
            _note(had)
            await then()
        except SchemaNewer:
            raise
        except RppamError as error:
            if str(error) != said:
                said, is_silent = str(error), isinstance(error, DatabaseError)
                log.warning("%s: %s", _NO_DATABASE if is_silent else _NO_ADMIN, said)
            await asyncio.sleep(DATABASE_RETRY_S)
        else:
            if said:
                log.info("the database answers again" if is_silent else "the first administrator has been seen to")
            return


def _is_there(had: Path | None) -> bool:
    return had is not None and had.exists()


def _note(had: Path | None) -> None:
    if had is not None:
        had.touch(mode=0o600)


async def _a_moment(database: Database) -> None:
    for _ in range(20):
        if database.is_made:
            return
        await asyncio.sleep(DATABASE_RETRY_S / 10)


def _told_on_the_terminal(made: FirstAdmin, hint: str) -> bool:
    """Whether somebody sits at one, and it took the password."""
    if not sys.stderr.isatty():
        return False
    try:
        sys.stderr.write(
            f"\n  First administrator: {made.name}\n  Password (shown once): {made.password.reveal()}\n  {hint}\n\n"
        )
        sys.stderr.flush()
    except OSError:
        return False  # it has gone meanwhile
    return True


def _refusal(turned: Turned) -> RppamError:
    if turned.standing is AdmissionState.NAME_TAKEN:
        return NameInUse(turned.sentence)
    return NoSeat(turned.sentence)


def _first(group: BaseExceptionGroup[RppamError]) -> RppamError:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, RppamError)
    return found


async def bounded(work: Awaitable[None], timeout_ms: int) -> None:
    """``work``, or :class:`TimeoutError` after ``timeout_ms``."""
    async with asyncio.timeout(timeout_ms / 1000):
        await work
