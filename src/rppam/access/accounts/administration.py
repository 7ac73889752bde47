"""What administrators do with accounts, and what everybody may do with their own.

Every change is one transaction in SQL, told to the cache after it: a role that is taken away is gone on all nodes at
once, and a new password, a disabled or a deleted account ends all sessions of it. What it does not decide: who may ask
for which of these; the API does.
"""

import logging
import uuid
from collections.abc import Callable
from typing import Final, NamedTuple

from rppam.access.accounts.changes import UserChange, UserPage, UserQuery
from rppam.access.accounts.errors import CurrentPasswordWrong, UserUnknown
from rppam.access.accounts.model import Account, AccountRole, StoredAccount, check_display_name, normalise_name
from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.service import random_password
from rppam.access.accounts.user_ports import UserStore
from rppam.access.lockouts import LoginGuard
from rppam.cache.model import LIFE_MS_MAX, CacheKey, Copy, Kind
from rppam.cache.ports import SharedCache
from rppam.kernel.clock import Clock
from rppam.kernel.secret import Secret

log: Final = logging.getLogger("rppam.accounts")
audit: Final = logging.getLogger("rppam.audit")


class NewUser(NamedTuple):
    """An account to be made."""

    name: str
    """As typed."""
    display_name: str
    roles: frozenset[AccountRole]
    password: Secret | None = None
    """``None``: a random one."""


async def publish_user(cache: SharedCache, user_id: str, copy: Copy) -> None:
    """Tell all nodes the new facts of an account, after the commit that made them."""
    await cache.publish(CacheKey(Kind.USER, user_id), copy, LIFE_MS_MAX, confirm=True)


class UserAdministration:
    """See the module. Every call raises a ``DatabaseError`` when the database does not answer, and each that names an
    account :class:`~rppam.access.accounts.errors.UserUnknown`. ``by`` is who orders it, for the log."""

    def __init__(
        self,
        store: UserStore,
        passwords: Passwords,
        cache: SharedCache,
        guard: LoginGuard,
        clock: Clock,
        *,
        new_password: Callable[[], Secret] = random_password,
    ) -> None:
        self._store, self._passwords, self._cache, self._guard, self._clock = store, passwords, cache, guard, clock
        self._new_password = new_password

    async def page(self, query: UserQuery) -> UserPage:
        """One page of accounts, by name."""
        return await self._store.page(query)

    async def get(self, user_id: str) -> Account:
        """One account, deleted or not."""
        return (await self._store.get(user_id)).account

    async def create(self, new: NewUser, by: str) -> tuple[Account, Secret | None]:
        """Make an account; its password when it is a random one, to be shown once.

        Raises ``NameInvalid``, ``NameTaken``, ``NameLooksTaken``, ``DisplayNameInvalid``, ``PasswordUnfit``,
        ``Overloaded``.
        """
        name, display_name = normalise_name(new.name), check_display_name(new.display_name)
        password, shown = self._chosen(new.password)
        hashed, now = await self._passwords.hash(password), self._clock.wall_ms()
        account = Account(
            id=str(uuid.uuid4()),
            name=name,
            display_name=display_name,
            roles=new.roles,
            disabled=False,
            created_at=now,
            password_changed_at=now,
        )
        written = await self._store.create(StoredAccount(account, hashed))
        await publish_user(self._cache, account.id, written.copy)
        log.warning("%s made the account %s with the roles %s.", by, name, _said(new.roles))
        return written.account, shown

    async def change(self, user_id: str, change: UserChange, by: str) -> Account:
        """Make ``change``; what is so already is no change. Raises ``LastAdmin``, ``DisplayNameInvalid``."""
        if change.display_name is not None:
            change = change._replace(display_name=check_display_name(change.display_name))
        written = await self._store.change(user_id, change)
        account, made = written.account, written.made
        if made == UserChange():
            return account
        await publish_user(self._cache, user_id, written.copy)
        if made.display_name is not None:
            audit.info("%s changed the display name of the account %s.", by, account.name)
        if made.disabled is not None:
            log.warning("%s %s the account %s.", by, "disabled" if made.disabled else "enabled", account.name)
        if made.roles is not None:
            log.warning("%s gave the account %s the roles %s.", by, account.name, _said(made.roles))
        return account

    async def delete(self, user_id: str, by: str) -> None:
        """Delete the account for good, and end its sessions; its name stays taken. Raises ``LastAdmin``."""
        written = await self._store.delete(user_id)
        await publish_user(self._cache, user_id, written.copy)
        log.warning("%s deleted the account %s.", by, written.account.name)

    async def reset_password(self, user_id: str, password: Secret | None, by: str) -> Secret | None:
        """Give the account another password and end its sessions; the password when it is a random one.

        Raises ``PasswordUnfit``, ``Overloaded``.
        """
        chosen, shown = self._chosen(password)
        hashed = await self._passwords.hash(chosen)
        written = await self._store.set_password(user_id, hashed, self._clock.wall_ms())
        assert written is not None
        await publish_user(self._cache, user_id, written.copy)
        log.warning("%s reset the password of %s.", by, written.account.name)
        return shown

    async def check_password(self, user_id: str, current: Secret, client: str) -> StoredAccount:
        """The account, if ``current`` is its password; ``client`` is the caller's address.

        Raises ``CurrentPasswordWrong``, ``Overloaded``; ``RateLimitedError`` after too many wrong guesses, for whoever
        took a session must not be able to try passwords with it.
        """
        stored = await self._store.get(user_id)
        if stored.account.deleted_at is not None:
            raise UserUnknown("this account was deleted")
        attempt = await self._guard.enter(stored.account.name, client)
        try:
            matches = (await self._passwords.verify(current, stored.password_hash)).matches
        except BaseException:
            await attempt.abandoned()
            raise
        if not matches:
            await attempt.failed()
            raise CurrentPasswordWrong
        await attempt.succeeded()
        return stored

    async def change_own_password(self, user_id: str, current: Secret, new: Secret, client: str) -> None:
        """Change a password by whoever knows the present one; all sessions end, the caller's as well.

        Raises as :meth:`check_password`, and ``PasswordUnfit``.
        """
        stored = await self.check_password(user_id, current, client)
        hashed = await self._passwords.hash(new)
        written = await self._store.set_password(
            user_id, hashed, self._clock.wall_ms(), instead_of=stored.password_hash
        )
        if written is None:  # changed by somebody else in between: what was typed is not the current one any more
            raise CurrentPasswordWrong
        await publish_user(self._cache, user_id, written.copy)
        log.info("%s changed the password of the own account from %s.", stored.account.name, client)

    def _chosen(self, password: Secret | None) -> tuple[Secret, Secret | None]:
        if password is not None:
            return password, None
        made = self._new_password()
        return made, made


def _said(roles: frozenset[AccountRole]) -> str:
    return ", ".join(sorted(roles)) or "none"
