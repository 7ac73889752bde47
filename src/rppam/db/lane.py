"""A few threads that talk to the database, each over one connection of its own, with a bounded queue before them.

A black-holed server costs at most these threads: a caller waits for its own timeout and gives up; the thread's call is
then broken off. While every thread is still stuck in calls that were given up, a new call is refused at once.

SQLite has one writer at a time, and each commit waits for the disk. So there one thread writes for all, and what waits
meanwhile is written together (*group commit*): each job in a savepoint of its own, undone alone when it fails, and all
of them answered after the one commit that they share.

The thread that worked last works next: its connection and all that it remembers are the warmest. One connection of
SQLite reads anew what another has written; the ledger's words are known to the connection that wrote them.

What it does not promise: that a call given up did nothing. Only one that no thread had begun is known not to have run.
A job of a group is not broken off when its caller gives up: that would undo the others'.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from selectors import EVENT_READ, DefaultSelector
from typing import Any, Final, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection

from rppam.db.engine import FILE, WRITES, break_off, file_at
from rppam.db.errors import DatabaseBusy, DatabaseUnreachable, NotRecorded
from rppam.db.refusal import translate
from rppam.kernel.errors import RppamError

T = TypeVar("T")

GROUP_MAX: Final = 32
"""So many jobs share a commit at most: the first has to wait for the last."""


class Job(Generic[T]):
    """One transaction to run."""

    def __init__(self, work: Callable[[Connection], T], *, writes: bool, is_alone: bool = False) -> None:
        """``is_alone``: it shares its transaction with nobody, such as a step of a migration."""
        self.work: Final = work
        self.writes: Final = writes
        self.is_alone: Final = is_alone
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
        self._running: dict[int, tuple[Job[Any], ...]] = {}
        """By thread."""
        self._one_writes = False
        self._writer: int | None = None
        """The thread that writes, where only one may."""
        self._turn = threading.RLock()
        self._idle: list[threading.Condition] = []
        """One for each thread that waits, on that same lock; the last one worked last."""
        self._coming = 0
        """Threads that look for a job in a moment without being woken."""
        self._closing = False
        self._threads: list[threading.Thread] = []
        self.ended: list[Future[None]] = []
        """One per thread, done when it has closed its connection."""
        self._here = threading.local()

    def open(self, engine: Engine) -> None:
        """Start the threads. Daemons, so that one stuck in a dead server cannot keep the process from ending."""
        self._one_writes = engine.dialect.name == "sqlite"
        for number in range(self._threads_max):
            ended: Future[None] = Future()
            thread = threading.Thread(
                target=self._serve, args=(engine, ended), name=f"sql-{self._name}-{number}", daemon=True
            )
            self.ended.append(ended)
            self._threads.append(thread)
            with self._turn:
                self._coming += 1
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
            stuck = all(job.given_up for jobs in self._running.values() for job in jobs)
            if len(self._running) == self._threads_max and stuck:
                raise DatabaseBusy(
                    f"each of the {self._threads_max} database connections for {self._name} work is stuck in a call "
                    "that got no answer; check the database"
                )
            if len(self._jobs) >= self._waiting_max:
                raise DatabaseBusy(f"{len(self._jobs)} calls already wait for a database connection")
            self._jobs.append(job)
            self._wake_enough()

    def close(self) -> None:
        """Take no more jobs, drop those that wait, let those that run end."""
        with self._turn:
            self._closing = True
            waiting, self._jobs = self._jobs, deque()
            self._wake(len(self._idle))
        for job in waiting:
            job.outcome.cancel()

    def abandon(self) -> None:
        """Break off what still runs."""
        with self._turn:
            running = [job for jobs in self._running.values() for job in jobs]
        for job in running:
            job.give_up()

    def _serve(self, engine: Engine, ended: Future[None]) -> None:
        held: Connection | None = None
        woken = threading.Condition(self._turn)
        while jobs := self._next(woken):
            held = self._run(engine, held, jobs[0]) if len(jobs) == 1 else self._run_group(engine, held, jobs)
        if held is not None:
            held.close()
        ended.set_result(None)

    def _wake_enough(self) -> None:
        """Have a thread look for each job that may run now, with the lock held."""
        if not self._idle:
            return
        wanted = len(self._jobs)
        if self._one_writes:
            reads = sum(not job.writes for job in self._jobs)
            wanted = reads + (reads < wanted and self._writer is None)
        self._wake(wanted - self._coming)

    def _wake(self, count: int) -> None:
        for woken in [self._idle.pop() for _ in range(min(count, len(self._idle)))]:
            self._coming += 1
            woken.notify()

    def _next(self, woken: threading.Condition) -> tuple[Job[Any], ...]:
        """Wait for a job, or for a group of them; empty at the end."""
        me = threading.get_ident()
        with self._turn:
            while True:
                self._coming -= 1
                if jobs := self._taken():
                    self._running[me] = jobs
                    if self._one_writes and jobs[0].writes:
                        self._writer = me
                    return jobs
                if self._closing:
                    return ()
                self._idle.append(woken)
                woken.wait()

    def _taken(self) -> tuple[Job[Any], ...]:
        """Take the first job that may run now, with those that may share its transaction."""
        taken: list[Job[Any]] = []
        left: deque[Job[Any]] = deque()
        while self._jobs and len(taken) < GROUP_MAX:
            job = self._jobs.popleft()
            if self._fits(job, taken):
                if job.outcome.set_running_or_notify_cancel():
                    taken.append(job)
            else:
                left.append(job)
            if taken and not (self._one_writes and taken[0].writes):
                break
        self._jobs.extendleft(reversed(left))
        return tuple(taken)

    def _fits(self, job: Job[Any], taken: list[Job[Any]]) -> bool:
        if not taken:
            return not (self._one_writes and job.writes and self._writer is not None)
        return job.writes and not job.is_alone and not taken[0].is_alone

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
            held.info[WRITES] = job.writes
            with held.begin():
                begun = True
                result = job.context.run(job.work, held)
        except BaseException as error:  # noqa: BLE001 - a thread's error belongs to the caller, whatever it is
            if not isinstance(error, RppamError):
                error = translate(error, begun=begun, writes=job.writes)
                _throw_away(held)
                held = None
            elif job.given_up or isinstance(error, NotRecorded):  # whose transaction broke as it was to be committed
                _throw_away(held)
                held = None
            self._done(job)
            job.outcome.set_exception(error)
        else:
            self._done(job)
            job.outcome.set_result(result)
        return held

    def _run_group(self, engine: Engine, held: Connection | None, jobs: tuple[Job[Any], ...]) -> Connection | None:
        """Run jobs in one transaction; the connection to keep for the next, or ``None``."""
        answers: list[_Answer] = []
        begun = False
        try:
            held = engine.connect() if held is None else _still_there(engine, held)
            held.info[WRITES] = True
            with held.begin():
                begun = True
                answers = [_answer(held, job) for job in jobs]
        except BaseException as error:  # noqa: BLE001 - a thread's error belongs to the callers, whatever it is
            told = translate(error, begun=begun, writes=True)
            answers = [_Answer(None, told)] * len(jobs)
            _throw_away(held)
            held = None
        self._done(*jobs)
        for job, (result, why_not) in zip(jobs, answers, strict=True):
            if why_not is None:
                job.outcome.set_result(result)
            else:
                job.outcome.set_exception(why_not)
        return held

    def _done(self, *jobs: Job[Any]) -> None:
        self._here.job = None
        for job in jobs:
            job.detach()
        me = threading.get_ident()
        with self._turn:
            self._running.pop(me, None)
            self._coming += 1
            if self._writer == me:
                self._writer = None
                self._wake_enough()  # whoever looked meanwhile found only what had to wait


class _Answer(NamedTuple):
    """What one job of a group ended with."""

    result: Any
    why_not: BaseException | None = None


def _answer(held: Connection, job: Job[Any]) -> _Answer:
    """Run one job of a group. Raises what concerns the transaction of all of them."""
    if job.given_up:
        return _Answer(None, DatabaseUnreachable("the caller gave up before its turn came"))
    try:
        with held.begin_nested():
            return _Answer(job.context.run(job.work, held))
    except BaseException as error:
        if held.invalidated or not held.in_transaction() or not held.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
            raise
        return _Answer(None, translate(error, begun=True, writes=True))


def _still_there(engine: Engine, held: Connection) -> Connection:
    """``held``, or a new connection when the server dropped it while it was idle (a restart, a failover).

    For SQLite, when another file stands at its path, such as one from a backup. Raises what a new connection does, such
    as where there is none: what is written to a removed file is lost.
    """
    line = held.connection.dbapi_connection
    if engine.dialect.name == "sqlite":
        if file_at(engine.url) == held.info[FILE]:
            return held
        newer = engine.connect()  # first: where that fails, the next job looks again
        _throw_away(held)
        return newer
    if line is None or _has_said_nothing(line):
        return held
    try:
        alive = engine.dialect.do_ping(line)
    except engine.dialect.loaded_dbapi.Error:
        alive = False
    if alive:
        return held
    _throw_away(held)
    return engine.connect()


def _has_said_nothing(line: DBAPIConnection) -> bool:
    """Whether nothing waits to be read. A server that ended the connection has said so, which costs no round trip."""
    with DefaultSelector() as selector:
        selector.register(line.fileno(), EVENT_READ)
        return not selector.select(0)


def _throw_away(held: Connection | None) -> None:
    if held is not None and not held.closed:
        held.invalidate()
        held.close()
