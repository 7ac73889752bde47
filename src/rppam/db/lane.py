"""A few threads that talk to the database, each over one connection of its own, with a bounded queue before them.

A black-holed server costs at most these threads: a caller waits for its own timeout and gives up; the thread's call is
then broken off. While every thread is still stuck in calls that were given up, a new call is refused at once.

What it does not promise: that a call given up did nothing. Only one that no thread had begun is known not to have run.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection

from rppam.db.engine import WRITES, break_off
from rppam.db.errors import DatabaseBusy, DatabaseUnreachable
from rppam.db.refusal import translate
from rppam.kernel.errors import RppamError

T = TypeVar("T")


class Job(Generic[T]):
    """One transaction to run."""

    def __init__(self, work: Callable[[Connection], T], *, writes: bool) -> None:
        self.work: Final = work
        self.writes: Final = writes
        self.outcome: Final[Future[T]] = Future()
        self.context: Final = copy_context()
        """The caller's: who acts is known to the work."""
        self._guard = threading.Lock()
        self._line: DBAPIConnection | None = None
        self.given_up = False

    def attach(self, line: DBAPIConnection) -> None:
        """Say over which connection it runs. Raises when the caller has gone meanwhile, so that nothing is begun."""
        with self._guard:
            if self.given_up:
                raise DatabaseUnreachable("the caller gave up before the connection stood")
            self._line = line

    def detach(self) -> None:
        """The connection is no longer this job's to break off."""
        with self._guard:
            self._line = None

    def give_up(self) -> bool:
        """The caller waits no longer. True when the job had not begun, so it never will."""
        if self.outcome.cancel():
            return True
        with self._guard:
            self.given_up = True
            if self._line is not None:
                break_off(self._line)
        return False


class Lane:
    """``threads`` connections and at most ``waiting_max`` jobs that wait for one."""

    def __init__(self, name: str, *, threads: int, waiting_max: int) -> None:
        self._name = name
        self._threads_max = threads
        self._waiting_max = waiting_max
        self._jobs: deque[Job[Any]] = deque()
        self._running: set[Job[Any]] = set()
        self._turn = threading.Condition()
        self._closing = False
        self._threads: list[threading.Thread] = []
        self.ended: list[Future[None]] = []
        """One per thread, done when it has closed its connection."""
        self._here = threading.local()

    def open(self, engine: Engine) -> None:
        """Start the threads. Daemons, so that one stuck in a dead server cannot keep the process from ending."""
        for number in range(self._threads_max):
            ended: Future[None] = Future()
            thread = threading.Thread(
                target=self._serve, args=(engine, ended), name=f"sql-{self._name}-{number}", daemon=True
            )
            self.ended.append(ended)
            self._threads.append(thread)
            thread.start()

    def opened(self, line: DBAPIConnection) -> None:
        """A raw connection was made in this thread: the job that needed it can be broken off from now on."""
        job: Job[Any] | None = getattr(self._here, "job", None)
        if job is not None:
            try:
                job.attach(line)
            except DatabaseUnreachable:
                line.close()
                raise

    def put(self, job: Job[Any]) -> None:
        """Queue ``job``. Raises :class:`DatabaseBusy` when that is pointless."""
        with self._turn:
            if self._closing:
                raise DatabaseBusy("this node is stopping and asks its database nothing more")
            if len(self._running) == self._threads_max and all(running.given_up for running in self._running):
                raise DatabaseBusy(
                    f"each of the {self._threads_max} database connections for {self._name} work is stuck in a call "
                    "that got no answer; check the database"
                )
            if len(self._jobs) >= self._waiting_max:
                raise DatabaseBusy(f"{len(self._jobs)} calls already wait for a database connection")
            self._jobs.append(job)
            self._turn.notify()

    def close(self) -> None:
        """Take no more jobs, drop those that wait, let those that run end."""
        with self._turn:
            self._closing = True
            waiting, self._jobs = self._jobs, deque()
            self._turn.notify_all()
        for job in waiting:
            job.outcome.cancel()

    def abandon(self) -> None:
        """Break off what still runs."""
        with self._turn:
            running = tuple(self._running)
        for job in running:
            job.give_up()

    def _serve(self, engine: Engine, ended: Future[None]) -> None:
        held: Connection | None = None
        while (job := self._next()) is not None:
            held = self._run(engine, held, job)
        if held is not None:
            held.close()
        ended.set_result(None)

    def _next(self) -> Job[Any] | None:
        with self._turn:
            while True:
                while self._jobs:
                    job = self._jobs.popleft()
                    if job.outcome.set_running_or_notify_cancel():
                        self._running.add(job)
                        return job
                if self._closing:
                    return None
                self._turn.wait()

    def _run(self, engine: Engine, held: Connection | None, job: Job[Any]) -> Connection | None:
        """Run one job; the connection to keep for the next one, or ``None`` when it is better thrown away."""
        self._here.job = job
        begun = False
        try:
            if held is None:
                held = engine.connect()
            else:
                job.attach(held.connection.dbapi_connection)  # type: ignore[arg-type]
                held = _still_there(engine, held)
            held.execution_options(**{WRITES: job.writes})
            with held.begin():
                begun = True
                result = job.context.run(job.work, held)
        except BaseException as error:  # noqa: BLE001 - a thread's error belongs to the caller, whatever it is
            if not isinstance(error, RppamError):
                error = translate(error, begun=begun, writes=job.writes)
                _throw_away(held)
                held = None
            elif job.given_up:
                _throw_away(held)
                held = None
            self._done(job)
            job.outcome.set_exception(error)
        else:
            self._done(job)
            job.outcome.set_result(result)
        return held

    def _done(self, job: Job[Any]) -> None:
        self._here.job = None
        job.detach()
        with self._turn:
            self._running.discard(job)


def _still_there(engine: Engine, held: Connection) -> Connection:
    """``held``, or a new connection when the server dropped it while it was idle (a restart, a failover)."""
    if engine.dialect.name == "sqlite":
        return held
    try:
        alive = engine.dialect.do_ping(held.connection.dbapi_connection)  # type: ignore[arg-type]
    except engine.dialect.loaded_dbapi.Error:
        alive = False
    if alive:
        return held
    _throw_away(held)
    return engine.connect()


def _throw_away(held: Connection | None) -> None:
    if held is not None and not held.closed:
        held.invalidate()
        held.close()
