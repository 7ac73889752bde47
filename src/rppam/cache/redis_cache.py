"""The shared cache on Redis: near copies, sealed copies behind them, SQL last.

It plugs together what decides: :mod:`rppam.cache.coherence` (what may be kept and served here),
:mod:`~rppam.cache.tracking` (what Redis says has changed), :mod:`~rppam.cache.redis_store` (what
stands in Redis). One load of a fact runs at a time; a question after a change starts a new one, whether the old has
ended or not. A load is nobody's: it runs on when its caller goes.

Of what is put here Redis tells this process, too, and the near copy goes with it: one read more for each change, and
no way to take another's change for our own.

What it does not promise: that a change is heard of at once. ``publish`` says whether Redis took it.
Tests: ``tests/cache/test_contract.py``.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from rppam.cache.coherence import NS_PER_MS, Coherence, Load, Shelf
from rppam.cache.model import CacheKey, Change, Copy, Kind
from rppam.cache.ports import SharedCache
from rppam.cache.redis_store import NOTHING, CacheCounts, CacheStore, Found
from rppam.cache.sealing import Place, Sealer
from rppam.cache.tracking import Tracking
from rppam.kernel.clock import Clock
from rppam.redis.errors import StoreError
from rppam.redis.link import Link

log: Final = logging.getLogger("rppam.cache")

LEARNING_MAX: Final = 256
"""How many names are asked about at once; the log of changes has what is passed over."""

T = TypeVar("T")
FromSql = Callable[[str], Awaitable[tuple[Copy, int] | None]]


class RedisReader(Generic[T]):
    """See :class:`rppam.cache.ports.NearReader`."""

    def __init__(
        self,
        kind: Kind,
        shelf: Shelf[T],
        store: CacheStore,
        coherence: Coherence,
        decode: Callable[[Copy], T],
        load: FromSql,
        want: Callable[[], None],
    ) -> None:
        """``want`` is called at each read that misses."""
        self.hit = shelf.hit
        """See the port."""
        self._kind, self._shelf, self._store, self._coherence = kind, shelf, store, coherence
        self._decode, self._from_sql, self._want = decode, load, want
        self._running: dict[str, tuple[Load, asyncio.Task[T | None]]] = {}

    async def get(self, ident: str) -> T | None:
        fact = self.hit(ident)
        if fact is not None:
            return fact
        self._want()
        running = self._running.get(ident)
        if running is not None and running[0] is self._shelf.load_of(ident):
            return await asyncio.shield(running[1])
        key = CacheKey(self._kind, ident)
        place = self._store.place(key)
        mark = self._shelf.begin(ident, place.name)
        task = asyncio.create_task(self._load(key, place, mark))
        self._running[ident] = mark, task
        task.add_done_callback(lambda done: self._done(ident, done))
        return await asyncio.shield(task)

    def _done(self, ident: str, task: "asyncio.Task[T | None]") -> None:
        running = self._running.get(ident)
        if running is not None and running[1] is task:
            del self._running[ident]
        if not task.cancelled():
            task.exception()  # who waited has got it; who went does not care

    async def _load(self, key: CacheKey, place: Place, mark: Load) -> T | None:
        try:
            is_there, found = self._store.is_there, NOTHING
            if is_there:
                asked = self._coherence.now()
                try:
                    found = await self._store.read(key, place)
                except StoreError:
                    is_there = False
                fact = self._believed(key, found)
                if fact is not None and found.copy is not None:
                    self._keep(mark, found.copy, fact, found.life_ms, asked)
                    return fact
            return await self._ask_sql(key, mark, found, fill=is_there)
        finally:
            self._shelf.end(mark)

    def _believed(self, key: CacheKey, found: Found) -> T | None:
        if found.copy is None:
            return None
        if not self._coherence.believes(key, found.copy.revision):
            self._store.counts.outdated += 1
            return None
        try:
            fact = self._decode(found.copy)
        except ValueError as error:
            log.info("a cached %s is of another release and is not used: %s", key.kind.value, error)
            self._store.counts.unusable += 1
            return None
        self._store.counts.found += 1
        return fact

    async def _ask_sql(self, key: CacheKey, mark: Load, found: Found, *, fill: bool) -> T | None:
        asked = self._coherence.now()
        self._store.counts.asked_sql += 1
        answer = await self._from_sql(key.ident)
        if answer is None:
            return None
        copy, life_ms = answer
        fact = self._decode(copy)
        if not copy.revision:
            # There is nothing of that name yet, which is known near by until somebody tells of its first revision.
            if fill:
                self._keep(mark, copy, fact, life_ms, asked)
            return fact
        left_ms = life_ms - (self._coherence.now() - asked) // NS_PER_MS
        if fill and left_ms > 0 and mark.counts:
            try:
                stands, _ = await self._store.put(key, copy, left_ms, unusable=found.unusable)
            except StoreError:
                return fact
            # Where a later copy stands, or the same with another end, the next reader takes it from there.
            if stands:
                self._keep(mark, copy, fact, life_ms, asked)
        return fact

    def _keep(self, mark: Load, copy: Copy, fact: T, life_ms: int, asked: int) -> None:
        if not self._shelf.keep(mark, copy.revision, fact, life_ms, len(copy.value), asked=asked):
            self._store.counts.crossed += not mark.counts


class RedisCache(SharedCache):
    def __init__(
        self,
        link: Link,
        sealers: tuple[Sealer, ...],
        prefix: str,
        *,
        clock: Clock,
        now_ns: Callable[[], int],
        replicas: int = 0,
        coherence: Coherence | None = None,
    ) -> None:
        """``prefix``: what all names begin with; ``now_ns``: a clock that counts through suspend;
        ``replicas``: how many confirm a change where that is asked for."""
        super().__init__()
        self.coherence = coherence or Coherence(now_ns)
        self.store = CacheStore(link, sealers, clock, now_ns, replicas=replicas)
        self.tracking = Tracking(
            link, prefix, self.coherence, now_ns, on_name=self._name_changed, on_all=self._all_changed
        )
        self._learning: dict[bytes, asyncio.Task[None]] = {}
        self._changed_again: set[bytes] = set()

    @property
    def counts(self) -> CacheCounts:
        return self.store.counts

    def reader(self, kind: str, decode: Callable[[Copy], T], load: FromSql) -> RedisReader[T]:
        known = Kind(kind)
        return RedisReader(
            known, self.coherence.shelf(known), self.store, self.coherence, decode, load, self.tracking.want
        )

    async def publish(self, key: CacheKey, copy: Copy, life_ms: int, *, confirm: bool = False) -> bool:
        self.coherence.changed(Change(key, copy.revision))
        self._tell(key)
        if not self.store.is_there:
            return False
        try:
            _, confirmed = await self.store.put(key, copy, life_ms, confirm=confirm)
        except StoreError:
            self.counts.failed += 1
            return False
        # Where a later copy stands, its change has been told already.
        return confirmed

    def forget(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if self.coherence.changed(change):
                self._tell(change.key)

    def informed(self) -> None:
        """The log of changes was read to its end: what Redis holds may be believed from now on."""
        self.coherence.informed()

    def use(self, sealers: tuple[Sealer, ...]) -> None:
        """The cluster key has changed: go on with these."""
        self.store.sealers = sealers
        self.coherence.flushed()
        self._all_changed()

    def stop(self) -> None:
        self.tracking.stop()
        self._changed_again.clear()
        for task in self._learning.values():
            task.cancel()

    # --- what Redis says ----------------------------------------------------------------------------------------------

    def _name_changed(self, name: bytes) -> None:
        key = self.coherence.invalidated(name)
        if key is not None:
            self.counts.invalidated += 1
            self._tell(key)
        elif name in self._learning:
            self._changed_again.add(name)
        elif len(self._learning) < LEARNING_MAX and self.store.sealers[0].told_place(name) is not None:
            task = self._learning[name] = asyncio.create_task(self._learn(name))
            task.add_done_callback(lambda _: self._learned(name))

    def _learned(self, name: bytes) -> None:
        del self._learning[name]
        if name in self._changed_again:
            self._changed_again.discard(name)
            self._name_changed(name)

    async def _learn(self, name: bytes) -> None:
        """Something changed that nothing is kept of here, and that everybody is told of: which is it?"""
        try:
            found = await self.store.read_told(name)
        except StoreError:
            return  # the log of changes tells
        if found is not None:
            key, copy = found
            self.coherence.changed(Change(key, copy.revision))
            self._tell(key)

    def _all_changed(self) -> None:
        self.counts.dropped += 1
        self._tell(None)
