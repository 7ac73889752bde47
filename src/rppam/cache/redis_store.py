"""Sealed copies in Redis: read one, put one, with what stands there checked and counted.

It decides what counts as a copy: what opens under the cluster's key, at its own place, within its time, and has an end
in Redis. Whatever else stands there is a miss, is counted, is logged (once a minute at most, however often it is
written) and gives way to the next copy that SQL gives.

What it does not promise: an answer. Errors of Redis go to the caller.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from rppam.cache.coherence import COMPLAIN_EVERY_NS, NS_PER_MS
from rppam.cache.model import LIFE_MS_MAX, CacheKey, Copy
from rppam.cache.sealing import SEALED_BYTES_MAX, Place, Sealer, with_key, without_key
from rppam.kernel.clock import Clock
from rppam.redis.connection import Script
from rppam.redis.errors import StoreError
from rppam.redis.link import Link

log: Final = logging.getLogger("rppam.cache")

READ: Final = Script.load("cache_read")
PUT: Final = Script.load("cache_put")
GUARD_MS: Final = 60_000
"""How long a copy stands in Redis after its end, for its revision alone: a reader that was slow must not put back
what it read before. Far longer than any reader takes."""
CONFIRM_MS: Final = 200
"""Everybody on this link waits while Redis waits for a replica: three quarters of this at most."""
CONFIRM_AGAIN_NS: Final = 1_000 * NS_PER_MS
"""How long no confirmation is waited for after one that did not come."""


@dataclass(slots=True)
class CacheCounts:
    """What happened since the process started. Hits in memory are not counted: it would cost what they save."""

    found: int = 0
    """Answered by Redis."""
    missing: int = 0
    """Redis had nothing."""
    unusable: int = 0
    """Redis had something that is no copy of this cluster's."""
    outdated: int = 0
    """Redis had a copy below a revision that is known here."""
    failed: int = 0
    """Redis did not answer, or refused."""
    asked_sql: int = 0
    """Answered by SQL."""
    crossed: int = 0
    """Answers that were not kept since an invalidation crossed them."""
    invalidated: int = 0
    """Copies that went because another has changed them."""
    dropped: int = 0
    """How often all copies went at once: the link was lost, Redis was flushed."""


class Found(NamedTuple):
    """What a read brought: a copy, nothing, or something that is none."""

    copy: Copy | None
    life_ms: int
    unusable: bytes
    """What stands there and is no copy; empty otherwise."""


NOTHING: Final = Found(None, 0, b"")


class CacheStore:
    def __init__(
        self, link: Link, sealers: tuple[Sealer, ...], clock: Clock, now_ns: Callable[[], int], *, replicas: int
    ) -> None:
        """``sealers``: the first is this node's own; changes are put with all of them. ``replicas``: how many have to
        confirm where that is asked for."""
        self.sealers = sealers
        self.counts = CacheCounts()
        self._link, self._clock, self._now_ns, self._replicas = link, clock, now_ns, replicas
        self._confirm_from = 0
        self._complained_at: int | None = None
        self._untold = 0

    @property
    def is_there(self) -> bool:
        """Whether it makes sense to ask."""
        return self._link.connection is not None

    def place(self, key: CacheKey) -> Place:
        """Where this node reads ``key``."""
        return self.sealers[0].place(key)

    async def read(self, key: CacheKey, place: Place) -> Found:
        """What stands at the place of ``key``. Raises a StoreError."""
        found = await self._read(self.sealers[0], place)
        if found.copy is None:
            return found
        try:
            whose, copy = without_key(found.copy) if place.is_told else (key, found.copy)
            if whose != key:
                raise ValueError("it is of another fact")
        except ValueError as error:
            return self._strange(place, str(error))
        return Found(copy, found.life_ms, b"")

    async def read_told(self, name: bytes) -> tuple[CacheKey, Copy] | None:
        """What stands under that name, if everybody is to be told of it. Raises a StoreError."""
        for sealer in self.sealers:
            place = sealer.told_place(name)
            found = await self._read(sealer, place, also_ended=True) if place is not None else NOTHING
            if place is None or found.copy is None:
                continue
            try:
                key, copy = without_key(found.copy)
            except ValueError as error:
                self._strange(place, str(error))
                continue
            if sealer.place(key).name == name:
                return key, copy
        return None

    async def put(
        self, key: CacheKey, copy: Copy, life_ms: int, *, unusable: bytes = b"", confirm: bool = False
    ) -> tuple[bool, bool]:
        """Put a copy: whether it stands there now (else a later one does), and whether a replica has it, if asked.

        Raises a StoreError, and ValueError for what is no copy.
        """
        results = [await self._put(sealer, key, copy, life_ms, unusable, confirm) for sealer in self.sealers]
        return results[0][0], all(confirmed for _, confirmed in results)

    async def _put(
        self, sealer: Sealer, key: CacheKey, copy: Copy, life_ms: int, unusable: bytes, confirm: bool
    ) -> tuple[bool, bool]:
        life_ms = max(0, min(life_ms, LIFE_MS_MAX))
        place = sealer.place(key)
        sealed = sealer.seal(place, with_key(key, copy), life_ms, self._clock.wall_ms())
        words: list[bytes | str | int] = [sealed, life_ms + GUARD_MS, SEALED_BYTES_MAX, unusable, GUARD_MS]
        if not confirm or not self._replicas:
            return await self._link.run_script(PUT, [place.name], words) == 1, True
        if self._now_ns() < self._confirm_from:
            return await self._link.run_script(PUT, [place.name], words) == 1, False
        reply, confirmed = await self._link.run_script_replicated(
            PUT, [place.name], words, replicas=self._replicas, timeout_ms=CONFIRM_MS
        )
        if confirmed < self._replicas:
            self._confirm_from = self._now_ns() + CONFIRM_AGAIN_NS
        return reply == 1, confirmed >= self._replicas

    async def _read(self, sealer: Sealer, place: Place, *, also_ended: bool = False) -> Found:
        counts = self.counts
        try:
            reply: Any = await self._link.run_script(READ, [place.name], [SEALED_BYTES_MAX])
        except StoreError:
            counts.failed += 1
            raise
        if reply is None:
            counts.missing += 1
            return NOTHING
        if reply in (b"type", b"size"):
            return self._strange(place, "it is of another type" if reply == b"type" else "it is too long")
        sealed, stands_ms = reply if isinstance(reply, list) and len(reply) == 2 else (None, None)
        if type(sealed) is not bytes or type(stands_ms) is not int:
            return self._strange(place, "the script that reads it answered something that is not its answer")
        if stands_ms < 0:
            return self._strange(place, "it has no end", sealed)
        try:
            copy = sealer.open(place, sealed, self._clock.wall_ms())
        except ValueError as error:
            return self._strange(place, str(error), sealed)
        if stands_ms <= GUARD_MS and not also_ended:
            counts.missing += 1
            return NOTHING
        return Found(copy, stands_ms - GUARD_MS, b"")

    def _strange(self, place: Place, why: str, sealed: bytes = b"") -> Found:
        """Count it, and say it once in a while."""
        self.counts.unusable += 1
        self._untold += 1
        now = self._now_ns()
        if self._complained_at is None or now - self._complained_at >= COMPLAIN_EVERY_NS:
            log.warning(
                "what stands at %s in Redis is not used: %s (%d such since the last line). Somebody else writes below "
                "redis.keyPrefix, or a node has another cluster key",
                place.name.decode("ascii", "replace"),
                why,
                self._untold,
            )
            self._complained_at, self._untold = now, 0
        return Found(None, 0, sealed)
