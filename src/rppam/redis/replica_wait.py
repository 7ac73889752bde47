"""A primary that was promoted a moment ago, and refuses writes until a replica has found it.

``min-replicas-to-write`` makes it answer NOREPLICAS meanwhile: some ten milliseconds, more with TLS between the
servers. The link then comes back at once, without the pause that it makes after other refusals, and waits on the new
connection until ROLE shows a replica. Decides nothing about who is the primary. A primary that is short of replicas at
any other time is left alone, and looked for again, as the source says.
"""

import asyncio
from typing import Final

from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS, Instant, after
from rppam.redis.connection import Connection
from rppam.redis.errors import StoreError

FRESH_MS: Final = 2_000
"""So long after it was made a primary."""
ATTACH_MS: Final = 300
"""A replica is waited for so long on one connection."""
LOOK_MS: Final = 4


class ReplicaWait:
    """What one link knows of it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fresh_until = Instant(0)
        self._is_told = False

    def moved(self) -> None:
        """The sentinels have made another one the primary."""
        self._fresh_until = after(self._clock.now(), FRESH_MS * US_PER_MS)

    def refused(self) -> bool:
        """It answered NOREPLICAS. Whether to come back at once: it was made the primary a moment ago."""
        self._is_told = self._clock.now() < self._fresh_until
        return self._is_told

    async def end(self, connection: Connection, timeout_ms: int) -> None:
        """After a refusal: until a replica is there, or for :data:`ATTACH_MS`. Raises ``StoreError``."""
        if not self._is_told:
            return
        self._is_told = False
        until = after(self._clock.now(), ATTACH_MS * US_PER_MS)
        while self._clock.now() < until:
            try:
                if _replicas(await connection.command("ROLE", timeout_ms=timeout_ms)):
                    return
            except StoreError:
                if connection.lost is not None:
                    raise
                return  # ROLE is denied there: nothing to wait for
            await asyncio.sleep(LOOK_MS / 1000)


def _replicas(role: object) -> int:
    """How many replicas a primary's ROLE lists."""
    if not isinstance(role, list) or len(role) < 3 or role[0] != b"master" or not isinstance(role[2], list):
        return 0
    return len(role[2])
