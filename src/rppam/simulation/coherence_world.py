"""Processes with near caches in a world that goes wrong: the production :mod:`rppam.core.coherence` in virtual time.

Each process asks, changes, publishes, proves its link and reads the log of changes, in the steps that
:mod:`rppam.adapters.redis.cache` takes; every answer is judged. Seeded: the same seed is the same run.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from rppam.core.coherence import PROVE_EVERY_NS, Coherence, Load, Shelf
from rppam.core.floors import Floors
from rppam.domain.cached import CacheKey, Change, Kind
from rppam.ports.changes import POLL_MS
from rppam.simulation.coherence_judge import Asked, Judge, Row, ServedWrongly
from rppam.simulation.coherence_store import MS, Channel, SimRedis

SECONDS: Final = 30
PROCESSES: Final = 3
IDENTS: Final = ("s0", "s1", "s2")
TIMEOUT_MS: Final = 500
NEVER: Final = 1 << 62


class Fact(NamedTuple):
    """What is kept near."""

    revision: int


class Running:
    """A load and those who wait for it."""

    def __init__(self, mark: Load, asked: Asked) -> None:
        self.mark, self.waiting = mark, [asked]


class Process:
    """One process: the core, and the steps of its adapter."""

    coherence_type: type[Coherence] = Coherence

    def __init__(self, world: "World", number: int) -> None:
        self.world, self.number = world, number
        self.channel: Channel | None = None
        self._start()

    def _start(self) -> None:
        self.life = object()
        clock_start = self.world.chance.randrange(10**18)
        self.coherence = self.coherence_type(lambda: clock_start + self.world.now, floors=self.world.floors())
        self.shelf: Shelf[Fact] = self.coherence.shelf(Kind.SESSION)
        self.running: dict[str, Running] = {}
        self._seen: frozenset[Change] = frozenset()
        self.connect()
        self._poll()

    def restart(self) -> None:
        """It dies and comes again with nothing in memory."""
        if self.channel is not None:
            self.channel.is_open = False
        self.world.judge.restarted(self.number)
        self._start()

    # --- the link -----------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """A new connection; invalidations are switched on over it."""
        channel = self.channel = Channel(
            self.world.chance, lambda: self.world.now, self.world.later, self.world.lag_chance
        )
        asked = self.coherence.now()

        def switch_on() -> object:
            channel.tracks = True
            return self.world.now

        def is_on(since: object) -> None:
            if self.channel is channel and isinstance(since, int):
                self.coherence.link_up(asked)
                self.world.judge.caught_up(self.number, since)
                self._prove(channel)

        channel.ask(switch_on, is_on)

    def lose(self, away_ms: int) -> None:
        """The connection breaks, which is noticed now; another is made later."""
        channel, self.channel = self.channel, None
        if channel is None:
            return
        channel.is_open = False
        self.coherence.link_down()
        life = self.life
        self.world.later(away_ms * MS, lambda: self.connect() if self.life is life and self.channel is None else None)

    def _prove(self, channel: Channel) -> None:
        if self.channel is not channel:
            return
        asked, sent = self.coherence.now(), self.world.now

        def answered(tracks: object) -> None:
            if self.channel is not channel or self.world.now - sent > TIMEOUT_MS * MS:
                return
            if tracks:
                self.proven(asked)
            else:
                self.coherence.link_down()
                self.lose(1)  # the real one switches on again over the same connection

        channel.ask(lambda: channel.tracks, answered)
        self.world.later(PROVE_EVERY_NS, lambda: self._prove(channel))

    def proven(self, asked: int) -> None:
        """The answer to what was asked then says that invalidations are on."""
        self.coherence.proven(asked)

    def invalidated(self, name: bytes, ident: str, revision: int) -> None:
        """A push arrives."""
        self.coherence.invalidated(name)
        self.world.judge.pushed(self.number, ident, revision)

    # --- the log of changes -------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        life = self.life

        def answered(found: list[Change]) -> None:
            if self.life is not life:
                return
            for change in found:
                if change not in self._seen:
                    self.coherence.changed(change)
                    self.world.judge.knows(self.number, change.key.ident, change.revision)
            self._seen = frozenset(found)
            self.coherence.informed()
            self.world.later(POLL_MS * MS, self._poll if self.life is life else lambda: None)

        def look() -> None:
            found = [
                Change(CacheKey(Kind.SESSION, ident), row.revision)
                for ident, rows in self.world.judge.rows.items()
                for row in rows
            ]
            self.world.later(self.world.sql_ns(), lambda: answered(found))

        self.world.later(self.world.sql_ns(), look)

    # --- asking -------------------------------------------------------------------------------------------------------

    def get(self, ident: str) -> None:
        """As the adapter's reader does."""
        asked = Asked(self.world.now, self.world.judge.told(self.number, ident))
        near = self.shelf.hit(ident)
        if near is not None:
            self.world.served(self, ident, near.revision, asked, near=True)
            return
        running = self.running.get(ident)
        if running is not None and self.may_join(running, ident):
            running.waiting.append(asked)
            return
        mark = self.shelf.begin(ident, self.world.name(ident))
        running = self.running[ident] = Running(mark, asked)
        self._ask_redis(running)

    def may_join(self, running: Running, ident: str) -> bool:
        """Whether somebody who asks now may wait for that load."""
        return running.mark is self.shelf.load_of(ident)

    def _ask_redis(self, running: Running) -> None:
        channel, mark, life = self.channel, running.mark, self.life
        if channel is None:
            self._ask_sql(running, fill=False)
            return
        asked = self.coherence.now()
        is_over = False

        def late() -> None:
            nonlocal is_over
            if not is_over and self.life is life:
                is_over = True
                self._ask_sql(running, fill=False)

        def answered(found: object) -> None:
            nonlocal is_over
            if is_over or self.life is not life:
                return
            is_over = True
            if isinstance(found, tuple):
                revision, left_ms = found
                if self.coherence.believes(CacheKey(Kind.SESSION, mark.ident), revision):
                    self.keep(mark, revision, left_ms, asked)
                    self._end(running, revision)
                    return
            self._ask_sql(running, fill=True)

        name = self.world.name(mark.ident)
        channel.ask(lambda: self.world.redis.read(name), answered)
        self.world.later(TIMEOUT_MS * MS, late)

    def _ask_sql(self, running: Running, *, fill: bool) -> None:
        asked, mark, life = self.coherence.now(), running.mark, self.life

        def answered(row: Row | None, life_ms: int) -> None:
            if self.life is not life:
                return
            if row is None:
                self._end(running, None)
                return
            left_ms = life_ms - (self.coherence.now() - asked) // MS
            if fill and left_ms > 0 and mark.counts and self.channel is not None:
                self._put(self.channel, running, row, life_ms, left_ms, asked)
            else:
                self._end(running, row.revision)

        def look() -> None:
            row = self.world.row(mark.ident)
            life_ms = 0 if row is None else max(1, (row.end - self.world.now) // MS)
            self.world.later(self.world.sql_ns(), lambda: answered(row, life_ms))

        self.world.later(self.world.sql_ns(), look)

    def _put(self, channel: Channel, running: Running, row: Row, life_ms: int, left_ms: int, asked: int) -> None:
        mark, life = running.mark, self.life
        is_over = False

        def end(stands: object) -> None:
            nonlocal is_over
            if is_over or self.life is not life:
                return
            is_over = True
            if stands is True:
                self.keep(mark, row.revision, life_ms, asked)
            self._end(running, row.revision)

        name = self.world.name(mark.ident)
        channel.ask(lambda: self.world.redis.put(name, row.revision, left_ms), end)
        self.world.later(TIMEOUT_MS * MS, lambda: end(None))

    def keep(self, mark: Load, revision: int, life_ms: int, asked: int) -> None:
        """Have it near, if nothing came in between."""
        self.shelf.keep(mark, revision, Fact(revision), life_ms, 100, asked=asked)

    def _end(self, running: Running, revision: int | None) -> None:
        self.shelf.end(running.mark)
        if self.running.get(running.mark.ident) is running:
            del self.running[running.mark.ident]
        if revision is not None:
            for asked in running.waiting:
                self.world.served(self, running.mark.ident, revision, asked, near=False)

    # --- changing -----------------------------------------------------------------------------------------------------

    def change(self, ident: str) -> None:
        """Commit a new revision and publish it, which may fail."""
        row = self.world.commit(ident)
        self.coherence.changed(Change(CacheKey(Kind.SESSION, ident), row.revision))
        self.world.judge.knows(self.number, ident, row.revision)
        name, life_ms = self.world.name(ident), max(1, (row.end - self.world.now) // MS)
        if self.channel is not None and self.world.chance.random() >= self.world.lost_publish:
            self.channel.ask(lambda: self.world.redis.put(name, row.revision, life_ms), lambda _: None)


class World:
    """See the module."""

    process_type: type[Process] = Process
    redis_type: type[SimRedis] = SimRedis
    floors_type: type[Floors] = Floors
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

    def floors(self) -> Floors:
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
