"""The lease of one try that is being checked: renewed while it is, so that a process that dies leaves it to lapse.

Decides when to renew, and whether it may have lapsed by this process's own clock. What it does not promise: that it
holds while the process is frozen or the store away; what a process itself checks at once is bounded all the same
(:mod:`rppam.access.lockouts.tally`).
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from rppam.access.lockouts.tries import LEASE_MS, RENEW_MS, Watched
from rppam.access.lockouts.tries_port import TryStore
from rppam.db.errors import DatabaseError
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS, after
from rppam.redis.errors import StoreError

log = logging.getLogger("rppam.guard")


class Lease:
    """See the module. It is asked for when this is made."""

    def __init__(self, store: TryStore, watched: Sequence[Watched], name: str, clock: Clock) -> None:
        self.store: Final = store
        self.watched: Final = watched
        self.name: Final = name
        self._clock = clock
        self._until = after(clock.now(), LEASE_MS * US_PER_MS)
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(RENEW_MS / 1000, self._renew_soon)

    @property
    def may_have_lapsed(self) -> bool:
        """Whether others may have been let in in its place."""
        return self._clock.now() >= self._until

    async def end(self) -> None:
        """Renew it no more; whatever is sent after this comes after every renewal."""
        self._timer.cancel()
        if self._task is not None:
            await asyncio.wait({self._task})

    def _renew_soon(self) -> None:
        self._task = asyncio.create_task(self._renew(), name="a log-in under way")
        self._timer = asyncio.get_running_loop().call_later(RENEW_MS / 1000, self._again)

    def _again(self) -> None:
        if self._task is None or self._task.done():
            self._renew_soon()
        else:
            self._timer = asyncio.get_running_loop().call_later(RENEW_MS / 1000, self._again)

    async def _renew(self) -> None:
        until = after(self._clock.now(), LEASE_MS * US_PER_MS)
        try:
            await self.store.renew(self.watched, self.name)
        except (StoreError, DatabaseError) as error:
            log.debug("A log-in under way could not be renewed: %s", error)
        else:
            self._until = until
