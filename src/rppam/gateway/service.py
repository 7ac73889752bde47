"""Sessions with targets for administrators: who is on which target, and ending a session from any node.

An order stands in SQL before anybody is told of it; the gateway that holds the session hears of it
by the cache at once, and by SQL within a second, on whatever node it is.
"""

import logging
from typing import Final

from rppam.cache.model import Copy
from rppam.cache.ports import SharedCache
from rppam.gateway.model import Access
from rppam.gateway.store import SqlAccess

log: Final = logging.getLogger("rppam.gateway")
ORDER_MS: Final = 60_000


class AccessSessions:
    """See the module. Every call raises a ``DatabaseError`` when the database does not answer."""

    def __init__(self, store: SqlAccess, cache: SharedCache) -> None:
        self._store, self._cache = store, cache

    async def page(
        self, user_id: str | None, active: bool | None, after: str | None, count: int
    ) -> tuple[list[Access], str | None]:
        """Sessions, the newest first, and where the next page begins."""
        found = await self._store.page(user_id, active, after, count + 1)
        return (found, None) if len(found) <= count else (found[:count], found[count - 1].id)

    async def find(self, ident: str) -> Access | None:
        """One session, live or past."""
        return await self._store.find(ident)

    async def kill(self, ident: str, reason: str, by: str) -> None:
        """Have a session ended. Raises :class:`~rppam.gateway.errors.AccessUnknown`."""
        change = await self._store.kill(ident, reason, by)
        log.warning("%s ordered the session %s to end: %s", by, ident, reason or "no reason was given")
        await self._cache.publish(change.key, Copy(change.revision, b"-"), ORDER_MS)
