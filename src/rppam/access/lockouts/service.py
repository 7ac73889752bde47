"""Lockouts for administrators: who is locked, and letting them in again on all nodes at once.

An unlock is one SQL transaction that also writes the log of changes; then counters are reset and all nodes hear of it.
A node that hears nothing asks SQL within two seconds anyway (:data:`rppam.access.lockouts.guard.KNOWN_MS`).
"""

import logging
from typing import Final

from rppam.access.accounts.store import SqlAccounts
from rppam.access.lockouts.guard import KNOWN_MS, Guard
from rppam.access.lockouts.model import LockKind, Lockout, Suspect, address_suspect, user_suspect
from rppam.access.lockouts.store import SqlLockouts
from rppam.access.lockouts.tries import Standing
from rppam.cache.model import Copy
from rppam.cache.ports import SharedCache
from rppam.kernel.limit import Limit

log = logging.getLogger("rppam.guard")

SHOWN_MAX: Final = 1_000


class Lockouts:
    """See the module. Every call raises a ``DatabaseError`` when nobody can tell."""

    def __init__(self, store: SqlLockouts, users: SqlAccounts, guard: Guard, cache: SharedCache) -> None:
        self._store, self._users, self._guard, self._cache = store, users, guard, cache

    async def all(self) -> list[Lockout]:
        """Who is locked now, the newest first; at most :data:`SHOWN_MAX`."""
        return await self._store.all(SHOWN_MAX)

    async def tries(self, username: str | None, client: str | None) -> list[tuple[Suspect, Limit, Standing]]:
        """How it stands with a user name and an address: wrong tries, and those under way."""
        named = (user_suspect(username),) if username is not None else ()
        from_there = (address_suspect(client),) if client is not None else ()
        suspects = (*named, *from_there)
        found = await self._guard.look(suspects)
        return [(suspect, *now) for suspect, now in zip(suspects, found, strict=True)]

    async def unlock_user(self, user_id: str, by: str) -> Lockout | None:
        """Let the user of this id try again; the lockout that stood, if one did.

        Raises ``UserUnknown``.
        """
        name = (await self._users.get(user_id)).account.name
        stood = await self._unlock(LockKind.USER, user_suspect(name).subject)
        log.warning("%s unlocked the user %s%s.", by, name, "" if stood else ", who was not locked")
        return stood

    async def unlock(self, subject: str, by: str) -> Lockout | None:
        """Let the user or address that :meth:`all` shows under this subject try again; the lockout that was."""
        kind = next((one.kind for one in await self._store.held([subject])), None)
        if kind is None:
            return None
        stood = await self._unlock(kind, subject)
        if stood is not None:
            log.warning("%s unlocked the %s %s.", by, kind.value, stood.shown or "of a name that no account has")
        return stood

    async def _unlock(self, kind: LockKind, subject: str) -> Lockout | None:
        stood, change = await self._store.unlock(subject)
        await self._guard.reset(kind, subject)
        self._guard.forget(subject)
        await self._cache.publish(change.key, Copy(change.revision, b"-"), KNOWN_MS)
        return stood
