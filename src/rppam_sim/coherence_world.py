"""A world in which near caches go wrong: the production :mod:`rppam.cache.coherence` in virtual time.

Links fall silent, break and lose pushes, Redis is flushed and fails over to a replica that lags, SQL answers late,
processes die; every answer is judged. Seeded: the same seed is the same run.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final

from rppam.cache.coherence import MinimumRevisions
from rppam_sim.coherence_judge import Asked, Judge, Row, ServedWrongly
from rppam_sim.coherence_process import Process
from rppam_sim.coherence_store import MS, Channel, SimRedis

SECONDS: Final = 30
PROCESSES: Final = 3
IDENTS: Final = ("s0", "s1", "s2")


class World:
    """See the module."""

    process_type: type[Process] = Process
    redis_type: type[SimRedis] = SimRedis
    floors_type: type[MinimumRevisions] = MinimumRevisions
    reads_ms: tuple[int, ...] = (15, 15, 500)
    """How long a process waits from one question to the next; one of them for all of a run."""
    sqls_ms: tuple[int, ...] = (10, 10, 900)
    """How long half a question to SQL may take."""
    lags: tuple[float, ...] = (0.02, 0.3)
    """How often something is long on its way to or from Redis."""
    lives_ms: tuple[int, ...] = (400, 3_000, 600_000)
    """How long a revision holds."""
    few_floors = 0.3
    """How often there is too little room for what is known."""
    lost_publish = 0.1
    """How often a change is not published."""
    harms: tuple[str, ...] = (
        "silence", "silence", "break_off", "swallow", "untrack", "flush", "fail_over", "slow_sql", "restart"
    )  # fmt: skip

    def __init__(self, seed: int) -> None:
        self.now = 0
        self.chance = Random(seed)  # noqa: S311 - it has to be the same again
        self.judge = Judge()
        self.transcript: deque[str] = deque(maxlen=40)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._slow_sql_until = 0
        self._read_ms = self.chance.choice(self.reads_ms)
        self._sql_ms = self.chance.choice(self.sqls_ms)
        self.lag_chance = self.chance.choice(self.lags)
        self._few_floors = self.chance.random() < self.few_floors
        self.redis = self.redis_type(self.chance, lambda: self.now, self.later)
        self.redis.on_change = self._redis_changed
        for ident in IDENTS:
            self.commit(ident)
        self.processes = [self.process_type(self, number) for number in range(PROCESSES)]

    def run(self, seconds: int = SECONDS) -> int:
        """Until the end: how many answers were judged. Raises :class:`ServedWrongly`."""
        for process in self.processes:
            self._ask_on(process)
        self._change_on()
        self._harm_on()
        end = seconds * 1_000 * MS
        while self._events and self._events[0][0] <= end:
            self.now, _, work = heapq.heappop(self._events)
            work()
        return self.judge.served

    # --- what processes use -------------------------------------------------------------------------------------------

    def later(self, ns: int, work: Callable[[], None]) -> None:
        """Do ``work`` in so many nanoseconds."""
        heapq.heappush(self._events, (self.now + ns, next(self._numbers), work))

    def floors(self) -> MinimumRevisions:
        """Room for all floors, or in some worlds for too few."""
        return self.floors_type(most=2) if self._few_floors else self.floors_type()

    def sql_ns(self) -> int:
        """How long half a question to SQL takes."""
        most_ms = 900 if self.now < self._slow_sql_until else self._sql_ms
        return int(self.chance.random() * most_ms * MS)

    @staticmethod
    def name(ident: str) -> bytes:
        """What Redis calls a fact."""
        return b"name of " + ident.encode()

    def row(self, ident: str) -> Row | None:
        """The fact in SQL, unless it has ended."""
        row = self.judge.rows[ident][-1]
        return row if row.end > self.now else None

    def commit(self, ident: str) -> Row:
        """A new revision."""
        rows = self.judge.rows.setdefault(ident, [])
        life_ms = self.chance.choice(self.lives_ms)
        row = Row(self.now, len(rows) + 1, self.now + life_ms * MS)
        rows.append(row)
        self.say(f"{ident} has revision {row.revision}")
        return row

    def served(self, process: Process, ident: str, revision: int, asked: Asked, *, near: bool) -> None:
        """Somebody got an answer."""
        self.judge.serve(process.number, ident, revision, asked, self.now, near=near)

    def say(self, sentence: str) -> None:
        """A line of the transcript."""
        self.transcript.append(f"{self.now / 1000 / MS:9.4f} s  {sentence}")

    # --- what happens -------------------------------------------------------------------------------------------------

    def _redis_changed(self, name: bytes, revision: int) -> None:
        ident = name.removeprefix(b"name of ").decode()
        for process in self.processes:
            channel = process.channel
            if channel is None or not channel.loses_pushes:
                self.judge.taken(process.number, ident, revision, self.now)
            if channel is not None:
                channel.push(self._push_of(process, channel, name, ident, revision))

    @staticmethod
    def _push_of(process: Process, channel: Channel, name: bytes, ident: str, revision: int) -> Callable[[], None]:
        return lambda: process.invalidated(name, ident, revision) if process.channel is channel else None

    def _ask_on(self, process: Process) -> None:
        process.get(self.chance.choice(IDENTS))
        self.later(int(self.chance.expovariate(1) * self._read_ms * MS), lambda: self._ask_on(process))

    def _change_on(self) -> None:
        self.chance.choice(self.processes).change(self.chance.choice(IDENTS))
        self.later(int(self.chance.expovariate(1) * 500 * MS), self._change_on)

    def _harm_on(self) -> None:
        name, process = self.chance.choice(self.harms), self.chance.choice(self.processes)
        self.say(f"{name} {process.number}")
        getattr(self, name)(process)
        self.later(int(self.chance.expovariate(1) * 1_000 * MS), self._harm_on)

    def silence(self, process: Process) -> None:
        """Nothing arrives there for a while."""
        channel = process.channel
        if channel is not None:
            channel.is_silent = True
            self.later(self.chance.randrange(200, 7_000) * MS, channel.speak)

    def break_off(self, process: Process) -> None:
        """Its connection breaks."""
        process.lose(self.chance.randrange(1, 1_000))

    def swallow(self, process: Process) -> None:
        """Something in between swallows pushes to it, until its connection is made anew."""
        if process.channel is not None:
            process.channel.loses_pushes = True
            self.later(self.chance.randrange(500, 5_000) * MS, lambda: process.lose(5))

    @staticmethod
    def untrack(process: Process) -> None:
        """Redis does not push to it any more."""
        if process.channel is not None:
            process.channel.tracks = False

    def flush(self, _: Process) -> None:
        """Redis loses everything."""
        self.redis.flush()
        self.judge.lost_data()
        for process in self.processes:
            channel = process.channel
            if channel is not None:
                channel.push(process.coherence.flushed)

    def fail_over(self, _: Process) -> None:
        """A replica takes over that lags behind."""
        self.redis.fail_over()
        self.judge.lost_data()
        for process in self.processes:
            process.lose(self.chance.randrange(1, 500))

    def slow_sql(self, _: Process) -> None:
        """SQL is slow for a while."""
        self._slow_sql_until = self.now + 3_000 * MS

    def restart(self, process: Process) -> None:
        """It dies and comes again."""
        process.restart()
        for ident in IDENTS:  # people were waiting
            self.later(self.chance.randrange(400) * MS, lambda ident=ident: process.get(ident))  # type: ignore[misc]


def run_seed(seed: int, world: type[World] = World) -> tuple[int, ServedWrongly | None, tuple[str, ...]]:
    """One run: how many answers were judged, what was wrong, and the last lines of what happened."""
    one = world(seed)
    try:
        one.run()
    except ServedWrongly as wrong:
        return one.judge.served, wrong, tuple(one.transcript)
    return one.judge.served, None, ()
