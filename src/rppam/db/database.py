"""The cluster's database, asked from asyncio: SQLite for one machine, PostgreSQL for several.

Every call ends within its timeout, whatever the server does, and never blocks the event loop. Two lanes keep the fence
apart from the rest: a flood of logins cannot delay a leader's claim. What it does not promise: a retry; a caller that
wants one knows whether its call may be repeated.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection

from rppam.db.engine import create_file, open_engine
from rppam.db.errors import (
    DatabaseBusy,
    DatabaseError,
    DatabaseRefused,
    DatabaseUnknown,
    DatabaseUnreachable,
    DatabaseValueRefused,
    SchemaNewer,
)
from rppam.db.lane import Job, Lane
from rppam.db.schema import is_current, read_schema, upgrade
from rppam.db.steps import STEPS
from rppam.db.url import SQLITE, is_not_made, parse_database_url
from rppam.kernel.secret import Secret

log = logging.getLogger("rppam.database")

T = TypeVar("T")

TIMEOUT_MS: Final = 2_000
UPGRADE_TIMEOUT_MS: Final = 60_000
STOP_TIMEOUT_MS: Final = 1_000
IMPATIENT_MS: Final = 1_000
"""Who waited in vain for less than this has learnt nothing about the database: a leader gives a write some 60 ms."""
NOT_ASKED: Final = "the database has not been asked yet"
BEING_OPENED: Final = "its tables are being brought to this release"


class Use(Enum):
    """What a call is for."""

    FENCE = "fence"
    """Leadership: epochs and guarded writes."""
    REST = "account"
    """Everything else."""


class Database:
    """Connections to one database. Call :meth:`start` before anything else and :meth:`stop` at the end."""

    def __init__(
        self, url: Secret | str, timeout_ms: int = TIMEOUT_MS, *, password: Secret | None = None, node: str = ""
    ) -> None:
        """``timeout_ms`` bounds each call; ``node`` is named by what is recorded.

        Raises :class:`~rppam.db.errors.DatabaseUrlInvalid`.
        """
        self.timeout_ms: Final = timeout_ms
        self._url = parse_database_url(url, password)
        self._lanes = {
            Use.FENCE: Lane(Use.FENCE.value, threads=2, waiting_max=16),
            Use.REST: Lane(Use.REST.value, threads=3, waiting_max=64),
        }
        self._engine = open_engine(self._url, timeout_ms, self._opened, node)
        self._is_open = False
        self._is_ready = False
        self._tried: asyncio.Event | None = None
        """Set when the first :meth:`start` has ended, however it did."""
        self._reason = NOT_ASKED
        self._newer = ""
        """The revision of the tables, where a later release has made them."""
        self.errors = 0
        """Calls that failed, for whatever reason that lies in the database."""
        self.refused: tuple[int, str, str] | None = None
        """The last refusal that is a finding: a number of its own, its code, and its sentence."""

    @property
    def is_file(self) -> bool:
        """Whether it is a file of SQLite; else a server has it."""
        return self._url.drivername == SQLITE

    @property
    def is_made(self) -> bool:
        """Whether its file is there; so it is for a server's."""
        return not is_not_made(self._url)

    @property
    def is_ready(self) -> bool:
        """Whether :meth:`start` has succeeded."""
        return self._is_ready

    @property
    def reason(self) -> str:
        """Empty while the database answers; else one sentence with the cause, for status."""
        return self._reason

    @property
    def has_failed(self) -> bool:
        """Whether the last call that says something about the database failed."""
        return self._reason not in {"", NOT_ASKED}

    @property
    def warning(self) -> str:
        """What an administrator should know now; empty while it answers, and while it has had no time to answer."""
        if self._reason:
            return "" if self._reason == NOT_ASKED else f"the database does not answer: {self._reason}"
        if not self._is_ready:
            return "the database is being opened"
        if not self._newer:
            return ""
        return (
            f"the database's tables are at revision {self._newer}, made by a newer release. This one knows "
            f"{STEPS.head} and works with them until the update is finished: update RP-PAM on this node"
        )

    def __repr__(self) -> str:
        return f"Database({self._url.render_as_string(hide_password=True)})"

    async def start(self, *, creates: bool = True) -> None:
        """Open the database and bring its tables to this release, while other nodes may do the same.

        ``creates``: an SQLite file that is not there is made. Whoever may only find one must not: an empty one in the
        place of one that was lost, or that was named wrongly, would look like a cluster in which all is well.

        Raises a :class:`~rppam.db.errors.DatabaseError`. Unless that is ``SchemaNewer`` it may be called
        again later; until it has succeeded every other call raises ``DatabaseUnreachable``. Calls that come during the
        first one wait for it: a node that has just started is asked before it has opened its database.
        """
        if self._tried is None:
            self._tried = asyncio.Event()
        try:
            await self._start(creates=creates)
        finally:
            self._tried.set()

    async def _start(self, *, creates: bool) -> None:
        if not self._is_open:
            if not creates and not self.is_made:
                self._remember(f"the file {self._url.database} is not there")
                raise DatabaseUnreachable(
                    f"{self._reason}; put it back, from a backup if need be, or set database.url to where it is"
                )
            try:
                create_file(self._url)
            except OSError as error:
                raise DatabaseUnreachable(
                    f"cannot make the database file {self._url.database}: {error.strerror}; make its directory first "
                    "and let the user that runs RP-PAM write there"
                ) from None
            for lane in self._lanes.values():
                lane.open(self._engine)
            self._is_open = True
        schema = await self._ask(read_schema, Use.REST, writes=False, timeout_ms=self.timeout_ms)
        if not is_current(schema):
            await self._ask(upgrade, Use.REST, writes=True, timeout_ms=UPGRADE_TIMEOUT_MS, is_alone=True)
        self._is_ready = True
        self._newer = (schema.revision or "") if schema.is_newer else ""
        if self._newer:
            log.warning("%s", self.warning)

    async def contract(self) -> str:
        """Run the steps that nodes of the release before may not survive; the revision of the tables then.

        Raises a :class:`~rppam.db.errors.DatabaseError`.
        """
        work = partial(upgrade, contract=True)
        return await self._ask(work, Use.REST, writes=True, timeout_ms=UPGRADE_TIMEOUT_MS, is_alone=True)

    async def stop(self) -> None:
        """Let running calls end within a second, then break them off. Needs no answer from the server."""
        self._is_ready = False
        for lane in self._lanes.values():
            lane.close()
        ended = [asyncio.wrap_future(future) for lane in self._lanes.values() for future in lane.ended]
        if ended:
            await asyncio.wait(ended, timeout=STOP_TIMEOUT_MS / 1000)
            for lane in self._lanes.values():
                lane.abandon()
            await asyncio.wait(ended, timeout=STOP_TIMEOUT_MS / 1000)
        self._engine.dispose()

    async def read(self, work: Callable[[Connection], T], *, use: Use = Use.REST, timeout_ms: int | None = None) -> T:
        """Run ``work`` in a transaction that only reads, on a thread. Raises a ``DatabaseError``."""
        return await self._checked(work, use, writes=False, timeout_ms=timeout_ms)

    async def write(self, work: Callable[[Connection], T], *, use: Use = Use.REST, timeout_ms: int | None = None) -> T:
        """Run ``work`` in a transaction that writes; it is committed when ``work`` returns, undone when it raises."""
        return await self._checked(work, use, writes=True, timeout_ms=timeout_ms)

    async def _checked(self, work: Callable[[Connection], T], use: Use, *, writes: bool, timeout_ms: int | None) -> T:
        timeout_ms = timeout_ms or self.timeout_ms
        if not self._is_ready and self._tried is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._tried.wait(), timeout_ms / 1000)
        if not self._is_ready:
            raise DatabaseUnreachable(f"the database is not open: {self._reason or BEING_OPENED}")
        return await self._ask(work, use, writes=writes, timeout_ms=timeout_ms)

    async def _ask(
        self, work: Callable[[Connection], T], use: Use, *, writes: bool, timeout_ms: int, is_alone: bool = False
    ) -> T:
        job = Job(work, writes=writes, is_alone=is_alone)
        try:
            self._lanes[use].put(job)
            result = await self._wait(job, timeout_ms)
        except DatabaseValueRefused:
            raise  # says nothing about the database itself
        except DatabaseBusy:
            self.errors += 1
            raise  # nor does this
        except DatabaseError as error:
            self.errors += 1
            if isinstance(error, DatabaseRefused) and error.finding:
                self.refused = (self.errors, error.finding, str(error))
            if not job.given_up or timeout_ms >= min(self.timeout_ms, IMPATIENT_MS):
                self._remember(str(error), lost=not isinstance(error, SchemaNewer))
            raise
        self._remember("")
        return result

    async def _wait(self, job: Job[T], timeout_ms: int) -> T:
        # A future of our own says when: so the job is left alone when the time is up, and "had it begun?" is
        # answered by the job itself. `asyncio.wait` would do the same with three; every log-in passes here twice.
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        late = loop.call_later(timeout_ms / 1000, _set, over)
        job.outcome.add_done_callback(partial(_tell, loop, over))
        try:
            await over
        except asyncio.CancelledError:
            job.give_up()
            raise
        finally:
            late.cancel()
        if job.outcome.done():
            if job.outcome.cancelled():
                raise DatabaseBusy("this node is stopping and asks its database nothing more")
            return job.outcome.result()
        if job.give_up():
            raise DatabaseBusy(f"no database connection became free within {timeout_ms} ms; nothing was done")
        raise DatabaseUnknown(f"the database did not answer within {timeout_ms} ms")

    def _opened(self, line: DBAPIConnection) -> None:
        for lane in self._lanes.values():
            lane.opened(line)

    def _remember(self, reason: str, *, lost: bool = False) -> None:
        if lost and not self._reason:
            log.error("Lost the database: %s.", reason)
        elif not reason and self._reason and self._is_ready:
            log.info("The database answers again.")
        self._reason = reason


def _set(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)


def _tell(loop: asyncio.AbstractEventLoop, over: "asyncio.Future[None]", _outcome: object) -> None:
    """Called in the thread that has the outcome."""
    with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
        loop.call_soon_threadsafe(_set, over)
