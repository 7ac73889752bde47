"""Accounts: the first administrator, login, what administrators do with accounts, and everybody with their own.

Login tells nothing: an unknown name, a name that cannot exist, a wrong password and a disabled account give the same
error after about the same time, because a password is hashed in each case. What it does not promise: that time to the
microsecond, nor a limit on guesses; a rate limit belongs in front of :meth:`Accounts.login`, keyed by the same
``client`` and name.

Every change is one transaction in SQL and is published to the cache after it: a role that is taken away is gone on all
nodes at once, and a new password, a disabled or a deleted account ends all its sessions. The API decides who may ask
for which.
"""

import logging
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection

from rppam.access.accounts.errors import (
    AccountUnknown,
    CurrentPasswordWrong,
    InvalidCredentials,
    NameInvalid,
    Overloaded,
    UserUnknown,
)
from rppam.access.accounts.first_password import FirstPasswordFile
from rppam.access.accounts.model import (
    FIRST_ADMIN,
    Account,
    AccountRole,
    FirstAdmin,
    StoredAccount,
    UserChange,
    UserPage,
    UserQuery,
    check_display_name,
    normalise_name,
)
from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.policy import PasswordRule, PasswordRules
from rppam.access.accounts.store import NO_SETTINGS, SqlAccounts, account_of_name, facts_of
from rppam.access.lockouts.guard import Guard
from rppam.access.sessions.model import fact_bytes
from rppam.cache.model import LIFE_MS_MAX, CacheKey, Copy, Kind
from rppam.cache.ports import SharedCache
from rppam.db.errors import DatabaseError
from rppam.kernel.clock import Clock
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret

log: Final = logging.getLogger("rppam.accounts")
audit: Final = logging.getLogger("rppam.audit")

PASSWORD_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # noqa: S105 - an alphabet
"""Letters and digits without those that are mistaken for each other (0 O o 1 l I)."""
PASSWORD_GROUPS: Final = 4
PASSWORD_GROUP_CHARS: Final = 6


def random_password() -> Secret:
    """A password to be shown once: 24 random characters (139 bits) in four groups, for reading aloud."""
    groups = (
        "".join(secrets.choice(PASSWORD_ALPHABET) for _ in range(PASSWORD_GROUP_CHARS)) for _ in range(PASSWORD_GROUPS)
    )
    return Secret("-".join(groups))


class Accounts:
    """What a node does with accounts. Every call raises a ``DatabaseError`` when the database does not answer."""

    def __init__(
        self,
        store: SqlAccounts,
        passwords: Passwords,
        clock: Clock,
        *,
        rules: PasswordRules | None = None,
        new_password: Callable[[], Secret] = random_password,
    ) -> None:
        """``rules`` for passwords that are given; where there are none, none is."""
        self._store, self._passwords, self._clock, self._new_password = store, passwords, clock, new_password
        self._rules = rules
        self._first: Secret | None = None
        """The password of the first administrator while it is being made."""

    async def ensure_first_admin(
        self, place: FirstPasswordFile | None = None, settings: Mapping[str, str] = NO_SETTINGS
    ) -> FirstAdmin | None:
        """Make ``admin`` if no account exists at all; ``None`` when one does, or when another node was faster.

        With the account come the ``settings`` of the new cluster, by name as JSON: one log-in without them would do.

        The password stands at ``place`` before the account is made, and stays there until it was shown. One
        that was made earlier and could not be shown is returned again. Raises what ``place`` raises, and has made
        nothing then.
        """
        if not await self._store.is_empty():
            return await self._not_shown_yet(place)
        # The same with the next try: this one may be made after all, where the database answered too late.
        password = self._first = self._first or self._new_password()
        account = _new(FIRST_ADMIN, "Administrator", frozenset({AccountRole.ADMIN}), self._clock.wall_ms())
        stored = StoredAccount(account, await self._passwords.hash(password))
        if place is not None:
            place.keep(password)
        if not await self._store.create_first(stored, settings):
            return await self._not_shown_yet(place)
        log.warning("Made the first administrator %r.", FIRST_ADMIN)
        return FirstAdmin(FIRST_ADMIN, password)

    async def _not_shown_yet(self, place: FirstPasswordFile | None) -> FirstAdmin | None:
        """What waits at ``place``, when it is the administrator's password; else it is of another node's time, or has
        been changed since, and goes."""
        password = None if place is None else place.kept()
        if place is None or password is None:
            return None
        stored = await self._store.find(FIRST_ADMIN)
        verdict = await self._passwords.verify(password, stored.password_hash if stored else None)
        if verdict.matches:
            log.warning("The first administrator %r was made before its password was shown.", FIRST_ADMIN)
            return FirstAdmin(FIRST_ADMIN, password)
        place.drop()
        return None

    async def login(self, username: str, password: Secret, client: str) -> Account:
        """The account that these belong to. ``client`` is the caller's address, for the log.

        Raises :class:`InvalidCredentials`; :class:`Overloaded` when too many checks wait already.
        """
        return await self.check(await self._find(username), password, client)

    def looking_for(self, username: str) -> Callable[[Connection], StoredAccount | None]:
        """What finds the account of that name in a transaction of somebody else's, for :meth:`check`."""
        name = _normalised(username)
        return lambda connection: None if name is None else account_of_name(connection, name)

    async def check(self, stored: StoredAccount | None, password: Secret, client: str) -> Account:
        """As :meth:`login`, of an account that was read just now; ``None``: there is none of that name."""
        verdict = await self._passwords.verify(password, stored.password_hash if stored else None)
        if stored is None:
            # The name is not logged: people type passwords into the wrong field.
            log.warning("Login refused for an unknown user name, from %s.", client)
            await self._record_refusal(None, "unknown user name")
            raise InvalidCredentials
        why = _why_refused(stored.account, client) if verdict.matches else "wrong password"
        await self._refuse_if(why, stored.account, client)
        if verdict.stale:
            await self._renew_hash(stored, password)
        log.info("Login of %s from %s.", stored.account.name, client)
        return stored.account

    async def check_address(self, account: Account, client: str) -> None:
        """Let an account pass that may log in from there, having proved itself by a key or the like.

        Raises :class:`InvalidCredentials`.
        """
        await self._refuse_if(_why_refused(account, client), account, client)

    async def _refuse_if(self, why: str, account: Account, client: str) -> None:
        if why:
            log.warning("Login refused for %s from %s: %s.", account.name, client, why)
            await self._record_refusal(account, why)
            raise InvalidCredentials

    async def _record_refusal(self, account: Account | None, why: str) -> None:
        """A wrong guess stays one where it cannot be recorded: it is refused and counted all the same."""
        try:
            await self._store.record_refusal(account, why)
        except DatabaseError as error:
            log.error("A refused login could not be recorded: %s", error)  # noqa: TRY400 - the cause is in the sentence

    async def find(self, username: str) -> Account | None:
        stored = await self._find(username)
        return stored.account if stored else None

    async def all(self) -> tuple[Account, ...]:
        return await self._store.all()

    async def create(
        self, username: str, display_name: str, roles: frozenset[AccountRole], password: Secret | None = None
    ) -> tuple[Account, Secret | None]:
        """Make an account; its password when it is a random one, to be shown once.

        Raises as :meth:`UserAdministration.create`.
        """
        name, shown = normalise_name(username), None
        new = _new(name, check_display_name(display_name), roles, self._clock.wall_ms())
        rule = await self._rule(new, password)
        if password is None:
            password = shown = self._new_password()
        account = await self._store.create(StoredAccount(new, await self._passwords.hash(password, rule)))
        log.warning("The account %s was made on the host with the roles %s.", name, _said(roles))
        return account, shown

    async def reset_password(self, username: str, password: Secret | None = None) -> Secret:
        """Give the account a password, a random one where none is given, and return it.

        Raises :class:`AccountUnknown`, :class:`NameInvalid`, :class:`PasswordUnfit`.
        """
        name = normalise_name(username)
        stored = await self._store.find(name)
        if stored is None or stored.account.deleted_at is not None:
            raise AccountUnknown(f"no account is named {name!r}; list them with `rppam user list`")
        rule = await self._rule(stored.account, password)
        if password is None:
            password = self._new_password()
        hashed = await self._passwords.hash(password, rule)
        try:
            await self._store.set_password(stored.account.id, hashed, self._clock.wall_ms())
        except UserUnknown:
            raise AccountUnknown(f"the account {name!r} was removed while its password was being reset") from None
        log.warning("The password of %s was reset on the host.", name)
        return password

    async def _rule(self, account: Account, password: Secret | None) -> PasswordRule | None:
        """What holds for ``password``, which is given; a random one needs no rule."""
        if password is None or self._rules is None:
            return None
        return await self._rules.for_account(account.name, account.roles, has_mfa=account.has_mfa)

    async def _find(self, username: str) -> StoredAccount | None:
        name = _normalised(username)
        return None if name is None else await self._store.find(name)

    async def _renew_hash(self, stored: StoredAccount, password: Secret) -> None:
        # A login that is right must not fail because the better hash could not be stored: the next one tries again.
        try:
            better = await self._passwords.rehash(password)
            if better is not None:
                await self._store.replace_hash(stored.account.id, stored.password_hash, better)
        except (DatabaseError, Overloaded) as error:
            log.info("The password hash of %s stays on its old parameters for now: %s", stored.account.name, error)


def _normalised(username: str) -> str | None:
    """``None``: no account can have that name."""
    try:
        return normalise_name(username)
    except NameInvalid:
        return None


class NewUser(NamedTuple):
    name: str
    """As typed."""
    display_name: str
    roles: frozenset[AccountRole]
    password: Secret | None = None
    """``None``: a random one."""


async def publish_user(cache: SharedCache, account: Account) -> None:
    """Publish the new facts of an account to all nodes, after the commit that made them."""
    facts, revision = facts_of(account)
    await cache.publish(CacheKey(Kind.USER, account.id), Copy(revision, fact_bytes(facts)), LIFE_MS_MAX, confirm=True)


class UserAdministration:
    """What is done with accounts over the API. Every call raises a ``DatabaseError`` when the database does not answer,
    and each that names an account :class:`UserUnknown`. ``by`` is who orders it, for the log."""

    def __init__(
        self,
        store: SqlAccounts,
        passwords: Passwords,
        rules: PasswordRules,
        cache: SharedCache,
        guard: Guard,
        clock: Clock,
        *,
        new_password: Callable[[], Secret] = random_password,
    ) -> None:
        self._store, self._passwords, self._rules = store, passwords, rules
        self._cache, self._guard, self._clock = cache, guard, clock
        self._new_password = new_password

    async def page(self, query: UserQuery) -> UserPage:
        return await self._store.page(query)

    async def get(self, user_id: str) -> Account:
        return (await self._store.get(user_id)).account

    async def create(self, new: NewUser, by: str) -> tuple[Account, Secret | None]:
        """Make an account; its password when it is a random one, to be shown once.

        Raises ``NameInvalid``, ``NameTaken``, ``NameLooksTaken``, ``DisplayNameInvalid``, ``PasswordUnfit``,
        ``Overloaded``.
        """
        name, display_name = normalise_name(new.name), check_display_name(new.display_name)
        password, shown = self._chosen(new.password)
        rule = await self._rules.for_account(name, new.roles, has_mfa=False) if shown is None else None
        hashed, now = await self._passwords.hash(password, rule), self._clock.wall_ms()
        account = await self._store.create(StoredAccount(_new(name, display_name, new.roles, now), hashed))
        await publish_user(self._cache, account)
        log.warning("%s made the account %s with the roles %s.", by, name, _said(new.roles))
        return account, shown

    async def change(self, user_id: str, change: UserChange, by: str, expected: Sequence[int] | None = None) -> Account:
        """Make ``change``; what is so already is no change. ``expected``: revisions that it may replace.

        Raises ``LastAdmin``, ``DisplayNameInvalid``, ``UserChanged``.
        """
        if change.display_name is not None:
            change = change._replace(display_name=check_display_name(change.display_name))
        account, made = await self._store.change(user_id, change, expected)
        if made == UserChange():
            return account
        await publish_user(self._cache, account)
        if made.display_name is not None:
            audit.info("%s changed the display name of the account %s.", by, account.name)
        if made.disabled is not None:
            log.warning("%s %s the account %s.", by, "disabled" if made.disabled else "enabled", account.name)
        if made.allowed_from is not None:
            networks = ", ".join(made.allowed_from) or "anywhere"
            log.warning("%s lets the account %s log in from %s.", by, account.name, networks)
        if made.roles is not None:
            log.warning("%s gave the account %s the roles %s.", by, account.name, _said(made.roles))
        return account

    async def delete(self, user_id: str, by: str, expected: Sequence[int] | None = None) -> None:
        """Delete the account for good, and end its sessions; its name stays taken. Raises ``LastAdmin``,
        ``UserChanged``."""
        account = await self._store.delete(user_id, expected)
        await publish_user(self._cache, account)
        log.warning("%s deleted the account %s.", by, account.name)

    async def reset_password(self, user_id: str, password: Secret | None, by: str) -> Secret | None:
        """Give the account another password and end its sessions; the password when it is a random one.

        Raises ``PasswordUnfit``, ``Overloaded``.
        """
        chosen, shown = self._chosen(password)
        rule = await self._rule(await self.get(user_id)) if shown is None else None
        hashed = await self._passwords.hash(chosen, rule)
        account = await self._store.set_password(user_id, hashed, self._clock.wall_ms())
        assert account is not None  # in place of whichever there was
        await publish_user(self._cache, account)
        log.warning("%s reset the password of %s.", by, account.name)
        return shown

    async def check_password(self, user_id: str, current: Secret, client: str) -> StoredAccount:
        """The account, if ``current`` is its password; ``client`` is the caller's address.

        Raises ``CurrentPasswordWrong``, ``Overloaded``; ``RateLimitedError`` after too many wrong guesses, since a
        stolen session must not serve to try passwords.
        """
        stored = await self._store.get(user_id)
        if stored.account.deleted_at is not None:
            raise UserUnknown("this account was deleted")
        async with self._guard.trying(stored.account.name, client, CurrentPasswordWrong):
            if not (await self._passwords.verify(current, stored.password_hash)).matches:
                raise CurrentPasswordWrong
        return stored

    async def change_own_password(self, user_id: str, current: Secret, new: Secret, client: str) -> None:
        """Change a password for one who knows the present one; all sessions end, the caller's as well.

        Raises as :meth:`check_password`, and ``PasswordUnfit``.
        """
        stored = await self.check_password(user_id, current, client)
        hashed = await self._passwords.hash(new, await self._rule(stored.account))
        account = await self._store.set_password(
            user_id, hashed, self._clock.wall_ms(), instead_of=stored.password_hash
        )
        if account is None:  # changed by somebody else in between: what was typed is not the current one any more
            raise CurrentPasswordWrong
        await publish_user(self._cache, account)
        log.info("%s changed the password of the own account from %s.", stored.account.name, client)

    async def _rule(self, account: Account) -> PasswordRule:
        return await self._rules.for_account(account.name, account.roles, has_mfa=account.has_mfa)

    def _chosen(self, password: Secret | None) -> tuple[Secret, Secret | None]:
        if password is not None:
            return password, None
        made = self._new_password()
        return made, made


NOT_FROM_HERE: Final = "the account may not log in from this address"


def _why_refused(account: Account, client: str) -> str:
    """Why an account that has proved itself is not let in; the caller is told no more than of a wrong password."""
    if account.disabled:
        return "the account is disabled"
    return "" if account.may_log_in_from(client) else NOT_FROM_HERE


def _new(name: str, display_name: str, roles: frozenset[AccountRole], now: WallMs) -> Account:
    return Account(
        id=str(uuid.uuid4()),
        name=name,
        display_name=display_name,
        roles=roles,
        disabled=False,
        created_at=now,
        password_changed_at=now,
    )


def _said(roles: frozenset[AccountRole]) -> str:
    return ", ".join(sorted(roles)) or "none"
