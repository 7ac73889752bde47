"""Accounts: the first administrator, login, and the way back in after a lost password.

Login tells nothing: an unknown name, a name that cannot exist, a wrong password and a disabled account give the same
error after about the same time, because a password is hashed in each case. What it does not promise: that time to the
microsecond, nor a limit on guesses; a rate limit belongs in front of :meth:`Accounts.login`, keyed by the same
``client`` and name.
"""

import logging
import secrets
import uuid
from collections.abc import Callable
from typing import Final

from rppam.access.accounts.errors import AccountUnknown, InvalidCredentials, NameInvalid, Overloaded
from rppam.access.accounts.model import FIRST_ADMIN, Account, AccountRole, FirstAdmin, StoredAccount, normalise_name
from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.ports import AccountStore, FirstPassword
from rppam.db.errors import DatabaseError
from rppam.kernel.clock import Clock
from rppam.kernel.secret import Secret

log = logging.getLogger("rppam.accounts")

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
        store: AccountStore,
        passwords: Passwords,
        clock: Clock,
        *,
        new_password: Callable[[], Secret] = random_password,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._clock = clock
        self._new_password = new_password
        self._first: Secret | None = None
        """The password of the first administrator while it is being made."""

    async def ensure_first_admin(self, place: FirstPassword | None = None) -> FirstAdmin | None:
        """Make ``admin`` if no account exists at all; ``None`` when one does, or when another node was faster.

        The password stands at ``place`` before the account is made, and stays there: whoever has shown it drops it. One
        that was made earlier and could not be shown is returned again. Raises what ``place`` raises, and has made
        nothing then.
        """
        if not await self._store.is_empty():
            return await self._not_shown_yet(place)
        # The same with the next try: this one may be made after all, where the database answered too late.
        password = self._first = self._first or self._new_password()
        now = self._clock.wall_ms()
        account = Account(
            id=str(uuid.uuid4()),
            name=FIRST_ADMIN,
            display_name="Administrator",
            roles=frozenset({AccountRole.ADMIN}),
            disabled=False,
            created_at=now,
            password_changed_at=now,
        )
        stored = StoredAccount(account, await self._passwords.hash(password))
        if place is not None:
            place.keep(password)
        if not await self._store.create_first(stored):
            return await self._not_shown_yet(place)
        log.warning("Made the first administrator %r; its password is shown once, now.", FIRST_ADMIN)
        return FirstAdmin(FIRST_ADMIN, password)

    async def _not_shown_yet(self, place: FirstPassword | None) -> FirstAdmin | None:
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
        stored = await self._find(username)
        verdict = await self._passwords.verify(password, stored.password_hash if stored else None)
        if stored is None:
            # The name is not logged: people type passwords into the wrong field.
            log.warning("Login refused for an unknown user name, from %s.", client)
            await self._record_refusal(None, "unknown user name")
            raise InvalidCredentials
        why = "wrong password" if not verdict.matches else "the account is disabled" if stored.account.disabled else ""
        if why:
            log.warning("Login refused for %s from %s: %s.", stored.account.name, client, why)
            await self._record_refusal(stored.account, why)
            raise InvalidCredentials
        if verdict.stale:
            await self._renew_hash(stored, password)
        log.info("Login of %s from %s.", stored.account.name, client)
        return stored.account

    async def _record_refusal(self, account: Account | None, why: str) -> None:
        """A wrong guess stays one where it cannot be recorded: it is refused and counted all the same."""
        try:
            await self._store.record_refusal(account, why)
        except DatabaseError as error:
            log.error("A refused login could not be recorded: %s", error)  # noqa: TRY400 - the cause is in the sentence

    async def find(self, username: str) -> Account | None:
        """The account of this name, or ``None``."""
        stored = await self._find(username)
        return stored.account if stored else None

    async def all(self) -> tuple[Account, ...]:
        """Every account, by name."""
        return await self._store.all()

    async def reset_password(self, username: str) -> Secret:
        """Give the account a new random password and return it, to be shown once.

        Raises :class:`AccountUnknown`, :class:`NameInvalid`.
        """
        name = normalise_name(username)
        stored = await self._store.find(name)
        if stored is None or stored.account.deleted_at is not None:
            raise AccountUnknown(f"no account is named {name!r}; list them with `rppam user list`")
        password = self._new_password()
        hashed = await self._passwords.hash(password)
        if not await self._store.set_password(name, hashed, self._clock.wall_ms()):
            raise AccountUnknown(f"the account {name!r} was removed while its password was being reset")
        log.warning("The password of %s was reset on the host.", name)
        return password

    async def _find(self, username: str) -> StoredAccount | None:
        try:
            name = normalise_name(username)
        except NameInvalid:
            return None
        return await self._store.find(name)

    async def _renew_hash(self, stored: StoredAccount, password: Secret) -> None:
        # A login that is right must not fail because the better hash could not be stored: the next one tries again.
        try:
            better = await self._passwords.rehash(password)
            if better is not None:
                await self._store.replace_hash(stored.account.id, stored.password_hash, better)
        except (DatabaseError, Overloaded) as error:
            log.info("The password hash of %s stays on its old parameters for now: %s", stored.account.name, error)
