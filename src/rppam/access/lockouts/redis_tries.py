"""Tries to sign in, counted in Redis for all nodes (``TryStore``): one script call each.

The script and the names of keys are those of limits (:mod:`rppam.limits.redis_store`), so a key that changes changes
for both. A window of wrong tries is named as every counter is; the leases of those under way have a key beside it.

What it does not promise: that a count survives Redis, or others that may write there.
"""

from collections.abc import Sequence
from typing import Final

from rppam.access.lockouts.tries import LEASE_MS, Entry, Standing, Watched
from rppam.limits.arithmetic import step_us
from rppam.limits.redis_store import RedisLimits
from rppam.redis.connection import whole
from rppam.redis.errors import StoreProtocol
from rppam.redis.pipeline import Word

_NUMBERS: Final = 3
_NOBODY: Final = "0" * 16


class RedisTries:
    def __init__(self, limits: RedisLimits) -> None:
        self._limits = limits

    async def enter(self, watched: Sequence[Watched], name: str) -> Entry:
        return await self._run("enter", watched, name)

    async def renew(self, watched: Sequence[Watched], name: str) -> None:
        await self._run("renew", watched, name)

    async def leave(self, watched: Sequence[Watched], name: str) -> None:
        await self._run("leave", watched, name)

    async def fail(self, watched: Sequence[Watched], name: str) -> Sequence[Standing]:
        return (await self._run("fail", watched, name)).standings

    async def look(self, watched: Sequence[Watched]) -> Sequence[Standing]:
        return (await self._run("look", watched, _NOBODY)).standings

    async def forget(self, watched: Sequence[Watched]) -> None:
        for limit, subject in watched:
            await self._limits.reset([limit], subject)

    async def _run(self, verb: str, watched: Sequence[Watched], name: str) -> Entry:
        words: list[Word] = [verb, name, LEASE_MS]
        keys: list[Word] = []
        for limit, subject in watched:
            words += [limit.events, step_us(limit)]
            keys += [self._limits.key_of(limit, subject), self.leases_key(subject)]
        reply = await self._limits.run(keys, words)
        try:
            allowed, *numbers = (whole(one, "a part of how tries stand") for one in reply)
            if len(numbers) != _NUMBERS * len(watched):
                raise ValueError(f"expected {_NUMBERS * len(watched)} numbers, found {len(numbers)}")
        except (TypeError, ValueError) as error:
            raise StoreProtocol(f"the script of tries answered something that is not its answer: {error}") from error
        parts = (numbers[at : at + _NUMBERS] for at in range(0, len(numbers), _NUMBERS))
        return Entry(allowed == 1, tuple(Standing(*part) for part in parts))

    def leases_key(self, subject: str) -> str:
        return self._limits.name_of(f"login-running\0{subject}")
