"""One process with a near cache: the production core, and around it the steps that its adapter takes.

It asks, changes, publishes, proves its link and reads the log of changes as :mod:`rppam.cache.redis_cache`,
:mod:`rppam.cache.tracking` and :mod:`rppam.cache.change_log` do, in virtual time.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

from rppam.cache.coherence import PROVE_EVERY_NS, Coherence, Load, Shelf
from rppam.cache.model import POLL_MS, CacheKey, Change, Kind
from rppam_sim.coherence_judge import Asked, Row
from rppam_sim.coherence_store import MS, Channel

if TYPE_CHECKING:
    from rppam_sim.coherence_world import World

TIMEOUT_MS: Final = 500


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
