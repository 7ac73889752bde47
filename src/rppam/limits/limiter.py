"""Smooth limits on requests, cheap enough to stand before every one of them.

Decides by tokens that were taken from the store *before* they are spent, several at a time: the first request of a
subject costs one round trip for all that it is charged for together; who comes again is served from a batch in this
process, which doubles while it does not last for :data:`BATCH_MS`, up to a thousandth of the limit. So no node lets
more through than the store has counted, and a small limit is exact to the request. What is left of a batch lapses, to
the caller's disadvantage, and by no more than that thousandth a second and process. A large batch is filled up while
the last of it is spent, so that a request in a flow of many waits for the store as rarely as the first.

A refusal is remembered until the wait is over: a flood of refused requests costs the store nothing. While the store is
away, and without one, a process grants its share of each limit: the limit divided by the processes of the cluster,
at least one event. Everything that is remembered is bounded in number (:data:`HELD_MAX`).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS, Instant, after
from rppam.kernel.limit import Charge, Decision, Limit
from rppam.limits.arithmetic import merged, take
from rppam.redis.errors import StoreError

log = logging.getLogger("rppam.limits")

BATCH_MS: Final = 1_000
BATCH_PART: Final = 1_000
BATCH_MAX: Final = 100
AHEAD_MIN: Final = 8
"""Batches of this size on are filled up before they are used up, when a quarter of them is left."""
HELD_MAX: Final = 10_000
COUNTERS_MAX: Final = 10_000
AWAY_MS: Final = 1_000
"""How long the store is not asked after an error: one that hangs would make every request wait."""


class LimitStore(Protocol):
    async def take(self, charges: Sequence[Charge]) -> Decision:
        """Charge all of them, or none when one limit refuses.

        Raises a ``StoreError``: unknown whether it was charged.
        """
        ...


class MemoryLimits:
    """Limits counted by one process alone, by this host's own clock. When there are too many counters, the one that was
    not charged for longest is forgotten: a flood of new subjects costs those, not a subject that is charged all the
    time."""

    def __init__(self, clock: Clock, counters_max: int = COUNTERS_MAX) -> None:
        self._clock, self._max = clock, counters_max
        self._texts: dict[tuple[Limit, str], str] = {}
        # A host's clock may stand anywhere; a counter's text has room for a wall clock.
        self._origin = clock.now()

    def __len__(self) -> int:
        return len(self._texts)

    async def take(self, charges: Sequence[Charge]) -> Decision:
        """See :class:`LimitStore`. Raises ``ValueError`` as :func:`merged` does."""
        charges = merged(charges)
        keys = [(one.limit, one.subject) for one in charges]
        taken = take(charges, [self._texts.get(key) for key in keys], self._clock.now() - self._origin)
        for key, text in zip(keys, taken.texts, strict=True):
            if text:  # also of a refused subject: it is the one that a flood must not make us forget
                self._texts.pop(key, None)
                if len(self._texts) >= self._max:
                    del self._texts[next(iter(self._texts))]
                self._texts[key] = text
        return taken.decision


class _Held:
    """What this process holds of one subject and limit."""

    __slots__ = ("asking", "decision", "left", "refused_until", "size", "until", "waiting")

    def __init__(self) -> None:
        self.left = 0
        self.until = Instant(0)
        self.size = 1
        self.refused_until = Instant(0)
        self.decision: Decision | None = None
        self.asking: asyncio.Future[None] | None = None
        """Done when the batch that is being fetched is there, or not."""
        self.waiting = 0


Key = tuple[Limit, str]


class Limiter:
    """See the module. One for each process; made for one event loop."""

    def __init__(
        self,
        store: LimitStore | None,
        local: LimitStore,
        clock: Clock,
        processes: Callable[[], int],
        held_max: int = HELD_MAX,
    ) -> None:
        """``local`` counts in this process; ``processes`` says how many share a limit while ``store`` is away."""
        self._store, self._local, self._clock, self._processes = store, local, clock, processes
        self._held: dict[Key, _Held] = {}
        self._max = held_max
        self._filling: set[asyncio.Task[None]] = set()
        self._away_until: Instant | None = None
        """When an absent store is asked again; ``None`` while it answers."""

    def __len__(self) -> int:
        return len(self._held)

    def near(self, charges: Sequence[Charge]) -> Decision | None:
        """Decide from what is held here, without waiting; ``None``: :meth:`take` has to. Costs are 1."""
        now = self._clock.now()
        helds: list[_Held] = []
        shown: Decision | None = None
        for limit, subject, _ in charges:
            held = self._held.get((limit, subject))
            if held is None:
                return None
            if now < held.refused_until:
                # A subject that is refused all the time is not forgotten for others that come once.
                self._held[limit, subject] = self._held.pop((limit, subject))
                return _refusal(limit, subject, held, now)
            one = held.decision
            if not held.left or now >= held.until or one is None:
                return None
            if shown is None or one.remaining < shown.remaining:
                shown = one
            helds.append(held)
        for held, one_of in zip(helds, charges, strict=True):
            held.left -= 1
            if held.size >= AHEAD_MIN and held.left * 4 <= held.size and held.asking is None:
                self._fill(one_of, held)
        return shown

    async def take(self, charges: Sequence[Charge]) -> Decision:
        """Decide; asks the store for what is not held here. All of ``charges`` are taken, or none. Costs are 1."""
        while True:
            found = self.near(charges)
            if found is not None:
                return found
            helds = [self._of((one.limit, one.subject)) for one in charges]
            busy = next((held for held in helds if held.asking is not None), None)
            if busy is None or busy.asking is None:
                return await self._fetch(charges, helds)
            # Somebody fetches a batch of it already, and will fetch for all who wait.
            busy.waiting += 1
            try:
                await asyncio.wait({busy.asking})
            finally:
                busy.waiting -= 1

    def _fill(self, one: Charge, held: _Held) -> None:
        loop = asyncio.get_running_loop()
        held.asking = loop.create_future()
        task = loop.create_task(self._fill_up(one, held, held.asking))
        self._filling.add(task)
        task.add_done_callback(self._filling.discard)

    async def _fill_up(self, one: Charge, held: _Held, filled: asyncio.Future[None]) -> None:
        """Have a whole batch again, and never more. Where that fails, whoever finds nothing left asks for itself."""
        try:
            now = self._clock.now()
            size = _batch(one.limit, held, now)
            lacking = size - held.left
            if lacking < 1:
                return
            decision = await self._ask_store([one._replace(cost=lacking)])
            if decision is None or not decision.allowed:
                held.size = 1  # so that it is not asked for at each request
            else:
                now = self._clock.now()
                held.left = (held.left if now < held.until else 0) + lacking
                held.size, held.until, held.decision = size, after(now, BATCH_MS * US_PER_MS), decision
        finally:
            held.asking = None
            filled.set_result(None)

    async def _fetch(self, charges: Sequence[Charge], helds: Sequence[_Held]) -> Decision:
        now = self._clock.now()
        spent: list[_Held] = []
        lacking: list[tuple[Charge, _Held]] = []
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for one, held in zip(charges, helds, strict=True):
            if held.left and now < held.until:
                # Spent before anything is waited for, so that nobody else spends it meanwhile.
                held.left -= 1
                spent.append(held)
            else:
                held.asking = answered
                lacking.append((one, held))
        try:
            # Who waits is counted when the others had a chance to come.
            await asyncio.sleep(0)
            batches = [one._replace(cost=_batch(one.limit, held, now)) for one, held in lacking]
            decision = await self._ask(batches)
            if not decision.allowed and any(one.cost > 1 for one in batches):
                batches = [one for one, _ in lacking]
                decision = await self._ask(batches)
            self._note(decision, [(one, held) for one, (_, held) in zip(batches, lacking, strict=True)])
        except BaseException:
            _unspend(spent)
            raise
        finally:
            for _, held in lacking:
                held.asking = None
            answered.set_result(None)
        if not decision.allowed:
            _unspend(spent)
        return decision

    def _note(self, decision: Decision, lacking: Sequence[tuple[Charge, _Held]]) -> None:
        now = self._clock.now()
        if not decision.allowed:
            for one, held in lacking:
                if (one.limit.name, one.subject) == (decision.limit.name, decision.subject):
                    held.decision = decision
                    held.refused_until = after(now, decision.retry_after_ms * US_PER_MS)
            return
        for one, held in lacking:
            held.left = (held.left if now < held.until else 0) + one.cost - 1
            held.size = one.cost
            held.until = after(now, BATCH_MS * US_PER_MS)
            held.decision = decision

    async def _ask(self, charges: Sequence[Charge]) -> Decision:
        shared = await self._ask_store(charges)
        if shared is not None:
            return shared
        share = max(1, self._processes())
        limits = {one.limit: one.limit._replace(events=max(1, one.limit.events // share)) for one in charges}
        decision = await self._local.take(
            [Charge(limits[limit], subject, min(cost, limits[limit].events)) for limit, subject, cost in charges]
        )
        whole = next(limit for limit, part in limits.items() if part == decision.limit)
        return decision._replace(limit=whole, is_local=True)

    async def _ask_store(self, charges: Sequence[Charge]) -> Decision | None:
        """What the store decides; ``None`` while it is away, and without one. That it goes and comes is said once."""
        if self._store is None or (self._away_until is not None and self._clock.now() < self._away_until):
            return None
        try:
            decision = await self._store.take(charges)
        except StoreError as error:
            if self._away_until is None:
                log.info("Requests are limited by each process alone for now: %s", error)
            self._away_until = after(self._clock.now(), AWAY_MS * US_PER_MS)
            return None
        if self._away_until is not None:
            log.info("Requests are limited by all processes together again.")
            self._away_until = None
        return decision

    def _of(self, key: Key) -> _Held:
        held = self._held.pop(key, None) or _Held()
        if len(self._held) >= self._max:
            del self._held[next(iter(self._held))]
        self._held[key] = held
        return held


def _batch(limit: Limit, held: _Held, now: Instant) -> int:
    """How many to fetch: twice as many as last time when those did not last, and at least for all who wait."""
    grown = min(held.size * 2, limit.events // BATCH_PART) if now < held.until else 1
    return min(max(1, grown, held.waiting + 1), BATCH_MAX, limit.events)


def _refusal(limit: Limit, subject: str, held: _Held, now: Instant) -> Decision:
    left_ms = -(-(held.refused_until - now) // US_PER_MS)
    reset_ms = held.decision.reset_after_ms if held.decision else left_ms
    return Decision(False, limit, subject, 0, left_ms, reset_ms, is_local=True)


def _unspend(spent: Sequence[_Held]) -> None:
    for held in spent:
        held.left += 1
