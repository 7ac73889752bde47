"""What one process shares with all other nodes: the cache, the counters of limits, and the settings in force.

One link to Redis for all, beside leadership's own. It is made before the processes are copied and started in each.
"""

import asyncio
from typing import NamedTuple

from rppam.access.lockouts.guard import Guard
from rppam.app.cache import CacheParts, cache_parts
from rppam.app.limits import guard_of, limits_of
from rppam.app.node import Surface
from rppam.app.redis import RedisParts, cache_redis_parts
from rppam.app.slices import SETTINGS
from rppam.cache.ports import SharedCache
from rppam.config.settings import Settings
from rppam.db.clock import DatabaseClock
from rppam.db.database import Database
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.limits.limiter import LimitStore
from rppam.settings.hot import LiveSettings
from rppam.settings.store import SqlSettingsStore


class Shared(NamedTuple):
    """See the module."""

    redis: RedisParts | None
    cache: SharedCache
    limits: LimitStore | None
    """``None`` without Redis: then each process counts for itself."""
    settings: LiveSettings
    cache_parts: CacheParts
    """What :attr:`cache` is made of, and what runs for it."""
    guard: Guard
    """Stands before every sign-in."""
    session_clock: DatabaseClock
    """The one clock of all nodes."""

    async def start(self) -> None:
        """Begin to connect, in the background: nobody waits for the cache in order to start."""
        if self.redis is not None:
            _started.add(task := asyncio.create_task(self.redis.link.start(), name="cache link"))
            task.add_done_callback(_started.discard)
        self.cache_parts.start()
        self.settings.start()

    async def catch_up(self) -> None:
        """Read what a process should know before it answers: what time it is for the database, what was changed, and
        the settings. Raises nothing; what does not answer is asked again in the background."""
        await self.cache_parts.look()
        await self.settings.refresh()

    async def stop(self) -> None:
        """Hang up."""
        await self.settings.stop()
        await self.cache_parts.stop()
        if self.redis is not None:
            await self.redis.link.stop()


class SharingSurface:
    """The surface of a node that is a single process: with it comes and goes what it shares."""

    def __init__(self, surface: Surface, shared: Shared) -> None:
        self._surface, self._shared = surface, shared

    async def start(self) -> None:
        """See :class:`rppam.app.node.Surface`."""
        await self._shared.start()
        await self._surface.start()

    async def wait(self) -> None:
        """See :class:`rppam.app.node.Surface`."""
        await self._surface.wait()

    async def stop(self, drain_ms: int) -> None:
        """Requests end before what they use is gone."""
        await self._surface.stop(drain_ms)
        await self._shared.stop()


_started: set[asyncio.Task[None]] = set()


def shared_of(settings: Settings, database: Database, clock: Clock, entropy: Entropy) -> Shared:
    """The parts. Starts no thread and needs no event loop."""
    redis = cache_redis_parts(settings, clock, entropy)
    session_clock = DatabaseClock(clock)
    limits = limits_of(settings, redis)
    cached = cache_parts(settings, redis, database, clock, session_clock.learn, limits)
    live = LiveSettings(SqlSettingsStore(database), cached.cache, SETTINGS)
    guard = guard_of(database, limits, live, cached.cache, clock, entropy)
    return Shared(redis, cached.cache, limits, live, cached, guard, session_clock)
