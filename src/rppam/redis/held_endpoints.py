"""A provider of addresses that can be held back for a while: a rehearsed loss of Redis.

Decides only that there is no address before a moment of this process's clock, so that nothing has to happen for the
loss to be over. What it does not promise: that Redis does not hear of this node; what it wrote before stays there.
"""

from rppam.kernel.clock import Clock
from rppam.kernel.instant import Instant
from rppam.redis.endpoint_provider import EndpointProvider, Follower
from rppam.redis.errors import StoreDown, StoreReplyError
from rppam.redis.options import Target

WHY = "a failover test keeps this node from Redis for a while; it ends by itself"


class HeldEndpoints:
    """An :class:`~rppam.redis.endpoint_provider.EndpointProvider` around another one."""

    def __init__(self, source: EndpointProvider, clock: Clock) -> None:
        self._source, self._clock = source, clock
        self._follower: Follower | None = None
        self._until: Instant | None = None

    @property
    def moved_words(self) -> tuple[type[StoreReplyError], ...]:
        """See the protocol."""
        return self._source.moved_words

    def hold(self, until: Instant) -> None:
        """Drop the connection, and name no address before ``until``."""
        self._until = until
        if self._follower is not None:
            self._follower.moved(WHY)

    async def start(self, follower: Follower) -> None:
        """See the protocol."""
        self._follower = follower
        await self._source.start(follower)

    async def stop(self) -> None:
        """See the protocol."""
        await self._source.stop()

    async def targets(self) -> tuple[Target, ...]:
        """See the protocol. Raises StoreDown while it is held."""
        if self._until is not None and self._clock.now() < self._until:
            raise StoreDown(WHY)
        self._until = None
        return await self._source.targets()
