"""When a process may answer from its own memory: the near cache, and all that takes an answer out of it.

It decides four things.

1. **What may be kept.** A load leaves a mark before its question leaves the process. Whatever says that the fact may
   have changed (an invalidation, a change made here, the log of changes, a lost link) takes the mark away, and an
   answer whose mark is gone is given to those who asked for it and is not kept. So an answer that crossed an
   invalidation is never kept, and a later question starts a load of its own.
2. **For how long.** To the end that the store or SQL set, counted from before the question left, and for
   :data:`~rppam.cache.model.LIFE_MS_MAX` at most.
3. **When it may be served.** While the push channel is *proven*: :data:`PROVEN_NS` from the moment a question left
   whose answer said that invalidations are on. Everything is dropped when the link is lost or tracking begins again.
4. **What may be believed** of what Redis holds: nothing before the log of changes was read once, and nothing below a
   known revision (:class:`MinimumRevisions`).

Memory is bounded per kind in entries and bytes; entries that were not used since the last round go first (CLOCK).

What it does not promise: that others hear of a change at once. Without the push channel they hear of it by the log of
changes. Pure: it reads the clock that it is given, and does nothing else. All times are nanoseconds on that clock,
since :attr:`Shelf.hit` is on the way of every request and a division would be felt there.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from rppam.cache.model import LIFE_MS_MAX, CacheKey, Change, Kind

NS_PER_MS: Final = 1_000_000
PROVE_EVERY_NS: Final = 1_000 * NS_PER_MS
PROVEN_NS: Final = 3_000 * NS_PER_MS
"""Two proofs may fail to come. Less than the five seconds within which everybody knows of a change in any case."""
COMPLAIN_EVERY_NS: Final = 60_000 * NS_PER_MS
"""The log says no more often that Redis is not what it should be."""
ENTRY_OVERHEAD: Final = 512
"""Bytes that an entry takes beside its name and its value, roughly: they are what the bound is for, not a measure."""
_CHANCES: Final = 64
"""Used copies that one new copy passes over: what bounds the time that making room takes."""

FLOOR_NS: Final = 60 * 60 * 1_000 * NS_PER_MS
"""As long as the log of changes is kept (:data:`rppam.cache.change_log.KEPT_MS`)."""
FLOORS_MAX: Final = 65_536
"""Some 20 MB when full."""

T = TypeVar("T")


class Room(NamedTuple):
    """How much of one kind is kept at most."""

    entries: int = 50_000
    size: int = 64 * 1024 * 1024
    """Bytes, as :data:`ENTRY_OVERHEAD` counts them."""


class Trust:
    """Until when the push channel is proven. One for all kinds."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = 0


class Load:
    """The mark of one load: its question left before anything changed, as long as :attr:`counts`."""

    __slots__ = ("began", "counts", "ident", "name")

    def __init__(self, ident: str, name: bytes, began: int) -> None:
        self.ident, self.name, self.began = ident, name, began
        self.counts = True
        """Nothing has said since that the fact may have changed."""


class _Entry(Generic[T]):
    __slots__ = ("fact", "name", "revision", "size", "until", "used")

    def __init__(self, fact: T, until: int, revision: int, name: bytes, size: int) -> None:
        self.fact, self.until, self.revision, self.name, self.size = fact, until, revision, name, size
        self.used = False


def _hit_of(entries: OrderedDict[str, _Entry[T]], now: Callable[[], int], trust: Trust) -> "Callable[[str], T | None]":
    """:attr:`Shelf.hit`. A closure, as looking its parts up on an object would cost a quarter more at each request."""
    find = entries.get

    def hit(ident: str) -> T | None:
        entry = find(ident)
        if entry is not None and trust.until > now() < entry.until:
            entry.used = True
            return entry.fact
        return None

    return hit


class Shelf(Generic[T]):
    """The near copies of one kind. Made by :meth:`Coherence.shelf`."""

    def __init__(self, kind: Kind, trust: Trust, now: Callable[[], int], room: Room) -> None:
        self.kind = kind
        self.evicted = 0
        """How many copies went for want of room."""
        self._now, self._room = now, room
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()
        hit = _hit_of(self._entries, now, trust)
        self.hit: Callable[[str], T | None] = hit
        """The fact of that identifier, if it may be served from here right now; ``None`` otherwise."""
        self._names: dict[bytes, str] = {}
        self._loads: dict[str, Load] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes kept, as :data:`ENTRY_OVERHEAD` counts them."""
        return self._size

    def load_of(self, ident: str) -> Load | None:
        """The load of this fact that runs now and still counts."""
        return self._loads.get(ident)

    def begin(self, ident: str, name: bytes) -> Load:
        """Leave the mark of a load, before its question leaves. ``name`` is what an invalidation will call the fact.

        Call it only when :meth:`load_of` has none.
        """
        assert ident not in self._loads, "one load of a fact at a time"
        load = self._loads[ident] = Load(ident, name, self._now())
        self._names[name] = ident
        return load

    def keep(self, load: Load, revision: int, fact: T, life_ms: int, value_size: int, *, asked: int) -> bool:
        """Keep what was loaded, if its mark still stands. ``asked``: when the question left that brought ``life_ms``.

        Whether it was kept. The load is over in any case.
        """
        if not self.end(load):
            return False
        life_ms = min(life_ms, LIFE_MS_MAX)
        size = ENTRY_OVERHEAD + len(load.ident) + len(load.name) + value_size
        if life_ms <= 0 or size > self._room.size:
            self._unname(load.ident, load.name)
            return False
        self.drop(load.ident)
        self._names[load.name] = load.ident
        self._entries[load.ident] = _Entry(fact, asked + life_ms * NS_PER_MS, revision, load.name, size)
        self._size += size
        self._evict()
        return True

    def end(self, load: Load) -> bool:
        """The load is over, with nothing to keep. Whether its mark still stood."""
        if self._loads.get(load.ident) is not load:
            return False
        del self._loads[load.ident]
        self._unname(load.ident, load.name)
        return True

    def drop(self, ident: str, *, below: int | None = None) -> bool:
        """Forget the copy, and take the mark of a load away: the fact may have changed.

        A copy of revision ``below`` or higher stays. Whether anything was there to go.
        """
        load = self._loads.pop(ident, None)
        if load is not None:
            load.counts = False
            self._unname(ident, load.name)
        entry = self._entries.get(ident)
        if entry is None or (below is not None and entry.revision >= below):
            return load is not None
        self._remove(ident, entry)
        return True

    def invalidated(self, name: bytes) -> str | None:
        """What Redis calls ``name`` may have changed. Which fact that is, when a copy or a load of it was here."""
        ident = self._names.get(name)
        if ident is not None:
            self.drop(ident)
        return ident

    def clear(self) -> None:
        """Forget all copies and take all marks away."""
        for load in self._loads.values():
            load.counts = False
        self._loads.clear()
        self._entries.clear()
        self._names.clear()
        self._size = 0

    def _remove(self, ident: str, entry: _Entry[T]) -> None:
        del self._entries[ident]
        self._size -= entry.size
        self._unname(ident, entry.name)

    def _unname(self, ident: str, name: bytes) -> None:
        """Nobody has to hear of ``name`` any more, unless a copy or a load under it is left."""
        entry, load = self._entries.get(ident), self._loads.get(ident)
        if (entry is None or entry.name != name) and (load is None or load.name != name):
            self._names.pop(name, None)

    def _evict(self) -> None:
        entries, room, now = self._entries, self._room, self._now()
        chances = _CHANCES
        while len(entries) > room.entries or self._size > room.size:
            ident, entry = next(iter(entries.items()))
            if entry.used and now < entry.until and chances:
                chances -= 1
                entry.used = False
                entries.move_to_end(ident)
            else:
                self._remove(ident, entry)
                self.evicted += 1


class MinimumRevisions:
    """The revisions below which no copy is believed any more, one for each fact that is known to have changed.

    A floor is learned from a change made here and from the log of changes. It is what keeps an old copy away that a
    failed over, restored or replayed Redis hands out again. Each is kept for :data:`FLOOR_NS`, longer than any copy can
    be shown after its time. Memory is bounded: where there are more, the oldest go, and until those would have ended no
    copy of their kind is believed at all, so that what was forgotten cannot do harm: those facts are asked of SQL.
    """

    def __init__(self, most: int = FLOORS_MAX) -> None:
        self._most = most
        self._floors: OrderedDict[CacheKey, tuple[int, int]] = OrderedDict()
        self._blind_until: dict[Kind, int] = {}

    def __len__(self) -> int:
        return len(self._floors)

    def raise_to(self, key: CacheKey, revision: int, now: int) -> bool:
        """Nothing below ``revision`` counts from now on. Whether that is news."""
        if revision <= 1:
            return True  # nothing can be below the first
        known = self._floors.get(key)
        if known is not None and known[0] >= revision:
            return False
        self._floors[key] = (revision, now + FLOOR_NS)
        self._floors.move_to_end(key)
        self._sweep(now)
        return True

    def allows(self, key: CacheKey, revision: int, now: int) -> bool:
        """Whether a copy of that revision, from wherever, may be believed."""
        known = self._floors.get(key)
        if known is not None and revision < known[0]:
            return False
        return now >= self._blind_until.get(key.kind, now)

    def _sweep(self, now: int) -> None:
        floors = self._floors
        while floors:
            key, (_, until) = next(iter(floors.items()))
            if until > now and len(floors) <= self._most:
                return
            del floors[key]
            if until > now:
                self._blind_until[key.kind] = max(until, self._blind_until.get(key.kind, until))


class Coherence:
    """The near cache of one process."""

    def __init__(
        self, now: Callable[[], int], room: Room | None = None, floors: MinimumRevisions | None = None
    ) -> None:
        """``now`` reads a clock that never goes back and counts through suspend, in nanoseconds."""
        self.now = now
        """The clock."""
        self._room = room or Room()
        self._trust = Trust()
        self._floors = MinimumRevisions() if floors is None else floors
        self._shelves: list[Shelf[Any]] = []
        self._informed = False

    # --- what is kept -------------------------------------------------------------------------------------------------

    def shelf(self, kind: Kind) -> Shelf[Any]:
        """A new shelf for facts of one kind, as one reader decodes them."""
        shelf: Shelf[Any] = Shelf(kind, self._trust, self.now, self._room)
        self._shelves.append(shelf)
        return shelf

    @property
    def shelves(self) -> tuple[Shelf[Any], ...]:
        return tuple(self._shelves)

    def believes(self, key: CacheKey, revision: int) -> bool:
        """Whether a copy of that revision, found in Redis, may be used at all."""
        return self._informed and self._floors.allows(key, revision, self.now())

    # --- the push channel ---------------------------------------------------------------------------------------------

    @property
    def is_proven(self) -> bool:
        """Whether near copies may be served now."""
        return self.now() < self._trust.until

    def link_up(self, asked: int) -> None:
        """Invalidations are on, as the answer to what left at ``asked`` says. What was loaded before does not count."""
        self._clear()
        self._trust.until = asked + PROVEN_NS

    def proven(self, asked: int) -> None:
        """They are still on, over the same connection."""
        self._trust.until = max(self._trust.until, asked + PROVEN_NS)

    def link_down(self) -> None:
        """The link is lost, or invalidations are off: anything may change unheard."""
        self._trust.until = 0
        self._clear()

    def flushed(self) -> None:
        """Redis says that everything may have changed."""
        self._clear()

    def invalidated(self, name: bytes) -> CacheKey | None:
        """Redis says that ``name`` has changed. Which fact that is, when a copy or a load of it was here."""
        key = None
        for shelf in self._shelves:
            ident = shelf.invalidated(name)
            if ident is not None:
                key = CacheKey(shelf.kind, ident)
        return key

    # --- what is known ------------------------------------------------------------------------------------------------

    def changed(self, change: Change) -> bool:
        """The fact has this revision, by a change made here or by the log of changes. Whether that was news.

        No older copy is served from now on, nor believed when Redis shows one. A load that runs may have asked before
        the change, so its mark goes, unless all of this was known already.
        """
        news = self._floors.raise_to(change.key, change.revision, self.now())
        if news:
            for shelf in self._shelves:
                if shelf.kind is change.key.kind:
                    shelf.drop(change.key.ident, below=change.revision)
        return news

    def informed(self) -> None:
        """The log of changes has been read to its end once."""
        self._informed = True

    def _clear(self) -> None:
        for shelf in self._shelves:
            shelf.clear()
