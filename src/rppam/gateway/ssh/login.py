"""Logging in at the gateway: the same accounts, lockouts and second factor as everywhere.

Every guess passes the guard of log-ins, whatever name was typed, so that guesses over SSH and over REST count together
and on all nodes. It decides which reading of a user name is meant; what it does not do is open a log-in session.
"""

from typing import Final, NamedTuple

from rppam.access.accounts.errors import InvalidCredentials, NameInvalid
from rppam.access.accounts.model import Account, normalise_name
from rppam.access.accounts.store import SqlAccounts
from rppam.access.mfa.model import SecondStep
from rppam.access.mfa.service import SecondFactors
from rppam.access.sessions.service import Caller, SignIn
from rppam.gateway.browser_logins_store import SqlBrowserLogins
from rppam.gateway.names import Wanted
from rppam.gateway.ssh_tokens_store import SqlSshTokens
from rppam.gateway.user_keys_store import SqlUserKeys
from rppam.kernel.actor import Actor, ActorKind
from rppam.kernel.secret import Secret

NOBODY: Final = Wanted("")


class Once(NamedTuple):
    """What a one-time token stood for."""

    found: Account | SecondStep
    wanted: Wanted
    """With the account that it was made for."""
    mfa: bool
    """A second factor was shown when it was made."""


class GatewayLogin:
    """See the module. Raises what :class:`~rppam.access.sessions.service.SignIn` raises."""

    def __init__(
        self,
        sign_in: SignIn,
        factors: SecondFactors,
        accounts: SqlAccounts,
        keys: SqlUserKeys,
        tokens: SqlSshTokens,
        browser: SqlBrowserLogins,
    ) -> None:
        self._sign_in, self._factors, self._accounts, self._keys = sign_in, factors, accounts, keys
        self._tokens, self.browser = tokens, browser

    async def meant(self, found: list[Wanted]) -> Wanted:
        """The reading whose user exists; else the shortest one, which nobody can tell from the others."""
        for one in found:
            try:
                name = normalise_name(one.user)
            except NameInvalid:
                continue
            if await self._accounts.find(name) is not None:
                return one
        return found[-1] if found else NOBODY

    async def roles(self, user_id: str) -> frozenset[str]:
        """The roles that an account has now; none where it may not log in any more."""
        account = (await self._accounts.get(user_id)).account
        return frozenset() if account.disabled else frozenset(str(role) for role in account.roles)

    async def password(self, user: str, password: Secret, client: str) -> Account | SecondStep:
        """The account, or what its second factor needs."""
        return await self._sign_in.prove(user, password, Caller(client, "ssh"))

    async def by_key(self, user: str, type_: str, key: str) -> Account | None:
        """The account that ``user`` names, where the key is one of its own; nothing is proved by that."""
        account = await self.named(user)
        return account if account is not None and await self._keys.knows(account.id, type_, key) else None

    async def named(self, user: str) -> Account | None:
        """The account of that name, where it may log in; nothing is proved by that."""
        try:
            found = await self._accounts.find(normalise_name(user))
        except NameInvalid:
            return None
        return None if found is None or found.account.disabled else found.account

    async def unchanged(self, account: Account) -> Account:
        """The account as it is now. Raises InvalidCredentials where it may not log in any more, or its log-ins were
        ended since it was read."""
        now = await self.named(account.name)
        if now is None or (now.id, now.auth_epoch) != (account.id, account.auth_epoch):
            raise InvalidCredentials
        return now

    async def admit(self, account: Account, client: str) -> Account | SecondStep:
        """The account that has signed with its key, or what its second factor needs."""
        return await self._sign_in.admit(account, Caller(client, "ssh"))

    async def once(self, wanted: Wanted, secret: Secret, client: str) -> Once | None:
        """What a one-time token lets in, which is then used up; ``None``: it is none, for this user and target.

        Whoever is locked stays so, and keeps the token.
        """
        account = await self.named(wanted.user)
        if account is None or not wanted.target:
            return None
        found = await self.admit(account, client)
        actor = Actor(ActorKind.USER, account.id, account.name, address=client)
        redeemed = await self._tokens.redeem(secret, account, wanted.target, wanted.account, actor)
        if redeemed is None:
            return None
        meant = wanted._replace(account=redeemed.account or wanted.account)
        return Once(account if redeemed.mfa else found, meant, mfa=redeemed.mfa)

    async def code(self, token: Secret, code: str, client: str) -> Account:
        """The account whose second factor ``code`` is."""
        return await self._factors.challenge(token, code, client)
