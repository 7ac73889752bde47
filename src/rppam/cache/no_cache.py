"""No cache at all: every question goes to SQL.

For a node without Redis, or without a key to seal copies with. Several processes may answer there, and nothing would
tell one of them what another has changed; so nothing is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from rppam.cache.model import CacheKey, Change, Copy
from rppam.cache.ports import SharedCache

T = TypeVar("T")
Load = Callable[[str], Awaitable[tuple[Copy, int] | None]]


class PlainReader(Generic[T]):
    """Asks SQL; at most one question per fact at a time."""

    def __init__(self, decode: Callable[[Copy], T], load: Load) -> None:
        self._decode, self._load = decode, load
        self._asking: dict[str, asyncio.Task[tuple[Copy, int] | None]] = {}

    def hit(self, ident: str) -> T | None:  # noqa: ARG002  # the port's
        """Never: nothing is kept."""
        return None

    async def get(self, ident: str) -> T | None:
        task = self._asking.get(ident)
        if task is None:
            task = self._asking[ident] = asyncio.ensure_future(self._load(ident))
            task.add_done_callback(lambda _: self._asking.pop(ident, None))
        found = await asyncio.shield(task)
        return None if found is None else self._decode(found[0])


class NoCache(SharedCache):
    def reader(self, kind: str, decode: Callable[[Copy], T], load: Load) -> PlainReader[T]:  # noqa: ARG002
        """A reader that asks SQL each time."""
        return PlainReader(decode, load)

    async def publish(self, key: CacheKey, copy: Copy, life_ms: int, *, confirm: bool = False) -> bool:  # noqa: ARG002
        """Nobody else keeps anything; listeners here are told."""
        self._tell(key)
        return False

    def forget(self, changes: Sequence[Change]) -> None:
        """Listeners are told; nothing is kept here."""
        for change in changes:
            self._tell(change.key)
