"""One-time tokens for the gateway: who may have one for which target, and how long it counts.

A token opens no door that its user does not have: the target is looked up with the user's own rights when it is made,
and again by the gateway when it is used. What it does not do is log anybody in.
"""

from typing import Final

from rppam.access.accounts.errors import NoAccount
from rppam.access.accounts.model import Account
from rppam.access.accounts.store import SqlAccounts
from rppam.access.sessions.model import Identity
from rppam.gateway.ports import Routes
from rppam.gateway.ssh_tokens_store import MINUTES_MAX, SqlSshTokens, SshToken
from rppam.kernel.secret import Secret

MINUTES: Final = 5
"""Unless more are asked for."""


class SshTokens:
    """See the module."""

    def __init__(self, store: SqlSshTokens, accounts: SqlAccounts, routes: Routes) -> None:
        self._store, self._accounts, self._routes = store, accounts, routes

    async def make(self, caller: Identity, target: str, account: str, minutes: int) -> tuple[SshToken, Secret]:
        """A new one, and what to type. Raises RouteUnknown, AccountUnclear, TooManyTokens, NoAccount."""
        user = await self._account(caller)
        route = await self._routes.find(caller, target, account)
        bound = account and route.account
        return await self._store.make(user, route.target, bound, min(minutes, MINUTES_MAX), mfa=caller.mfa)

    async def of(self, caller: Identity) -> list[SshToken]:
        """Those that the caller can still use. Raises NoAccount."""
        return await self._store.of(await self._account(caller))

    async def revoke(self, caller: Identity, ident: str) -> None:
        """It counts no more. Raises NoAccount, TokenUnknown."""
        await self._store.revoke(await self._account(caller), ident)

    async def _account(self, caller: Identity) -> Account:
        if caller.user_id is None:
            raise NoAccount
        return (await self._accounts.get(caller.user_id)).account
