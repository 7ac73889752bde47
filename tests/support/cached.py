"""Processes that share a cache on a real Redis, and a table in place of SQL that they all ask."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from rppam.cache.model import CacheKey, Change, Copy, Kind
from rppam.cache.redis_cache import RedisCache, RedisReader
from rppam.cache.sealing import Sealer
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock, boot_ns
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions
from tests.support.redis_servers import PASSWORD

PREFIX: Final = "rppam:cache:"
CLUSTER_KEY: Final = Secret("5e" * 32)
LIFE_MS: Final = 60_000


class Table:
    """The truth: revision and value of each fact. Slow when told to be."""

    def __init__(self) -> None:
        self.rows: dict[str, Copy] = {}
        self.log: list[Change] = []
        self.asked = 0
        self.life_ms = LIFE_MS
        self.on_read: Callable[[str], Awaitable[None]] | None = None

    def write(self, ident: str, value: bytes = b"v", kind: Kind = Kind.SESSION) -> Copy:
        """A new revision, with its line in the log of changes."""
        before = self.rows.get(ident)
        copy = self.rows[ident] = Copy(1 if before is None else before.revision + 1, value)
        self.log.append(Change(CacheKey(kind, ident), copy.revision))
        return copy

    async def read(self, ident: str) -> tuple[Copy, int] | None:
        """What a reader's ``load`` gets. It sees the row as it is when it is asked, and may answer later."""
        self.asked += 1
        copy = self.rows.get(ident)
        if self.on_read is not None:
            await self.on_read(ident)
        return None if copy is None else (copy, self.life_ms)


class Process:
    """One process with a cache of its own."""

    def __init__(
        self,
        port: int,
        table: Table,
        *,
        key: Secret = CLUSTER_KEY,
        prefix: str = PREFIX,
        password: str = PASSWORD,
        user: str | None = None,
        replicas: int = 0,
    ) -> None:
        options = LinkOptions(
            endpoints=(("127.0.0.1", port),),
            user=user,
            password=Secret(password),
            connect_timeout_ms=2_000,
            command_timeout_ms=2_000,
            reconnect_cap_ms=100,
            abort_connect=False,
        )
        self.table = table
        self.link = Link(options, clock=SystemClock(), entropy=SystemEntropy())
        self.cache = RedisCache(
            self.link,
            (Sealer(key, "lab", prefix),),
            prefix,
            clock=SystemClock(),
            now_ns=boot_ns,
            replicas=replicas,
        )
        self.told: list[CacheKey | None] = []
        self.cache.on_change(self.told.append)
        self.sessions: RedisReader[Copy] = self.cache.reader(Kind.SESSION, lambda copy: copy, table.read)

    async def start(self, *, proven: bool = True) -> "Process":
        """Connect, read the log once, and wait until invalidations are on."""
        await self.link.start()
        self.cache.forget(self.table.log)
        self.cache.informed()
        if proven:
            await until(lambda: self.cache.coherence.is_proven)
        return self

    async def stop(self) -> None:
        """Hang up."""
        self.cache.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await self.link.stop()

    async def warm(self, ident: str) -> Copy:
        """Have the fact near."""
        for _ in range(200):
            found = await self.sessions.get(ident)
            assert found is not None
            await asyncio.sleep(0.005)
            if self.sessions.hit(ident) is not None:
                return found
        raise AssertionError("it does not stay near")

    def key(self, ident: str, kind: Kind = Kind.SESSION) -> str:
        """What the fact is called in Redis."""
        return self.cache.store.place(CacheKey(kind, ident)).name.decode()


async def until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait until ``holds()``."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)


Join = Callable[..., Awaitable[Process]]
"""What the fixture ``join`` gives."""


def key(ident: str) -> CacheKey:
    return CacheKey(Kind.SESSION, ident)
