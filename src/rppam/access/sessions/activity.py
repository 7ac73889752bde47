"""Writing down that sessions are in use: seldom, in batches, and beside the requests.

The first use after ``touch_every_ms`` is written within moments, the uses until then are not.
While the database is away the uses wait here, with the time at which they were made, so that an outage signs nobody
out who went on working. What it does not promise: to write anything before this process dies.
"""

import asyncio
import logging
from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple

from rppam.access.sessions.model import Use, touch_every_ms
from rppam.access.sessions.store import SqlSessions
from rppam.db.errors import DatabaseError
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS, Instant, after

log = logging.getLogger("rppam.sessions")

GATHER_S: Final = 0.2
RETRY_S: Final = 1.0
BATCH: Final = 200
NOTED_MAX: Final = 100_000
"""Sessions of which is known when they were written down; the oldest gives way, and is then written down once more."""


class _Uses(NamedTuple):
    """Of one session, not written down yet, with no gap of idle time between them."""

    first: Instant
    last: Instant


class SessionActivity:
    def __init__(self, store: SqlSessions, clock: Clock, idle_ms: Callable[[], int]) -> None:
        self._store, self._clock, self._idle_ms = store, clock, idle_ms
        self._due: dict[str, Instant] = {}
        self._pending: dict[str, _Uses] = {}
        self._writing: asyncio.Task[None] | None = None

    def fresh(self, ident: str) -> None:
        """The session has just been written, its last use included."""
        self._due.pop(ident, None)
        if len(self._due) >= NOTED_MAX:
            del self._due[next(iter(self._due))]
        self._due[ident] = after(self._clock.now(), touch_every_ms(self._idle_ms()) * US_PER_MS)

    def note(self, ident: str) -> None:
        """The session was used now."""
        now = self._clock.now()
        due = self._due.get(ident)
        if due is not None and now < due:
            return
        self.fresh(ident)
        known = self._pending.get(ident)
        if known is not None and now - known.last < self._idle_ms() * US_PER_MS:
            self._pending[ident] = _Uses(known.first, now)
        else:
            if len(self._pending) >= NOTED_MAX:
                del self._pending[next(iter(self._pending))]
            self._pending[ident] = _Uses(now, now)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write(), name="uses of sessions")

    async def settle(self, ident: str) -> None:
        """Write a use that still waits: SQL is about to be asked whether the session lay idle. Raises a
        ``DatabaseError``."""
        uses = self._pending.get(ident)
        if uses is not None:
            await self._write_down({ident: uses})

    async def _write(self) -> None:
        await asyncio.sleep(GATHER_S)
        while self._pending:
            try:
                await self._write_down(dict(islice(self._pending.items(), BATCH)))
            except DatabaseError as error:
                log.debug("uses of %d sessions wait to be written: %s", len(self._pending), error)
                await asyncio.sleep(RETRY_S)

    async def _write_down(self, pending: dict[str, "_Uses"]) -> None:
        now = self._clock.now()
        await self._store.touch(
            [
                Use(ident, (now - uses.first) // US_PER_MS, (now - uses.last) // US_PER_MS)
                for ident, uses in pending.items()
            ]
        )
        for ident, uses in pending.items():
            if self._pending.get(ident) == uses:
                del self._pending[ident]
