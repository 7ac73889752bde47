"""The shared cache as services need it: a near copy in this process, Redis behind it, and word of every change.

Three answers, never two: a copy; ``None``, which means that surely nothing usable is cached and SQL has to be asked;
and an error (:class:`~rppam.redis.errors.StoreError`), which means *unknown*: SQL has to be asked, too.
Nothing is retried behind the caller's back, and no answer takes longer than the cache's own time limit.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from rppam.cache.model import CacheKey, Change, Copy
from rppam.kernel.listeners import tell

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class NearReader(Protocol[T_co]):
    """Facts of one kind, decoded once and kept near. Made by :meth:`SharedCache.reader`."""

    def hit(self, ident: str) -> T_co | None:
        """The decoded fact, if it may be served from this process's memory right now. Never waits; costs a dict look-up
        and two comparisons."""
        ...

    async def get(self, ident: str) -> T_co | None:
        """The decoded fact: near, else from Redis, else from SQL by the reader's own ``load``; ``None``: SQL has none.

        One load per fact at a time, however many ask. A Redis error costs only the way to SQL. What SQL answers is put
        into the cache unless something newer stands there. Raises a
        :class:`~rppam.db.errors.DatabaseError` when only SQL could tell and it does not answer.
        """
        ...


class SharedCache(ABC):
    """One process's view of the cluster's cache."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[CacheKey | None], object]] = []

    @abstractmethod
    def reader(
        self,
        kind: str,
        decode: Callable[[Copy], T],
        load: Callable[[str], Awaitable[tuple[Copy, int] | None]],
    ) -> NearReader[T]:
        """A reader of one kind of facts. ``load`` asks SQL for ``ident``: a copy and for how many ms it holds, or
        ``None`` when there is no such fact. ``decode`` raises ``ValueError`` for a value that is none.

        A copy of revision 0 says that there is no such fact as well, and may be kept near until there is one: for kinds
        of which there are few, and whose first revision is told like every other."""

    @abstractmethod
    async def publish(self, key: CacheKey, copy: Copy, life_ms: int, *, confirm: bool = False) -> bool:
        """Put a newer copy for all nodes; their near copies are gone within milliseconds.

        Call it after the SQL commit, which has also written the change to the log of changes. ``confirm``: behind
        Sentinel wait for a replica. False when Redis did not (or not surely) take it: then the other nodes hear of it
        by the log of changes, within seconds. Never raises for Redis; an older near copy here is gone in any case.
        """

    @abstractmethod
    def forget(self, changes: Sequence[Change]) -> None:
        """The log of changes says that these facts have these revisions: no older copy is served here from now on."""

    def on_change(self, listener: Callable[[CacheKey | None], object]) -> None:
        """Call ``listener`` with each key that is invalidated here; ``None``: anything may have changed."""
        self._listeners.append(listener)

    def _tell(self, key: CacheKey | None) -> None:
        for listener in self._listeners:
            tell(listener, key)
