"""Terminals in the browser and of ``rppam ssh``: what a worker does before a gateway has one.

Opening one enters it in the register, where any gateway of the cluster takes it up when its WebSocket comes; one that
nobody comes for is closed there within minutes.
"""

from typing import Final

from rppam.access.accounts.errors import NoAccount
from rppam.access.accounts.store import SqlAccounts
from rppam.access.sessions.model import Identity
from rppam.access.sessions.service import session_id
from rppam.foundation import Foundation
from rppam.gateway.errors import AccessUnknown, ChannelRefused, NoGateway, TooManyKept
from rppam.gateway.held_store import KEPT_MAX, NOT_BEGUN, Kept, SqlHeld
from rppam.gateway.model import Kind, NewAccess
from rppam.gateway.policy import ACCESS
from rppam.gateway.ports import Route, Routes
from rppam.kernel.actor import current_actor

WAITS_MS: Final = 60_000
"""How long an opened terminal waits for its WebSocket."""


class TerminalOpening:
    """See the module."""

    def __init__(self, base: Foundation, held: SqlHeld, accounts: SqlAccounts, routes: Routes) -> None:
        self._base, self._held, self._accounts, self._routes = base, held, accounts, routes

    async def open(self, identity: Identity, target: str, account: str) -> NewAccess:
        """A terminal that waits for its WebSocket. Raises what keeps ``identity`` from having one."""
        if not self._base.config.access.enabled:
            raise NoGateway("this node has no gateway")
        if not self._base.hot.current(ACCESS).shell:
            raise ChannelRefused("shell is not allowed here; the right that is missing is 'shell'")
        if identity.user_id is None:
            raise NoAccount
        if await self._held.count(identity.user_id) >= KEPT_MAX:
            raise TooManyKept(f"{KEPT_MAX} terminals and kept sessions of yours are open")
        route = await self._routes.find(identity, target, account)
        if Kind.SHELL not in route.kinds:
            raise ChannelRefused("shell is not allowed to you here; the right that is missing is 'use-shell'")
        user = (await self._accounts.get(identity.user_id)).account
        actor = current_actor()
        new = NewAccess(
            session_id(self._base.clock.wall_ms()),
            user.id,
            user.name,
            user.auth_epoch,
            route.target_id,
            route.target,
            route.account_id,
            route.account,
            "terminal",
            actor.address,
            self._base.node,
            "",
        )
        facts = {"account": route.account, "host": route.host, "port": route.port, "secondFactor": identity.mfa}
        most = self._base.hot.current(ACCESS).sessions_per_user
        await self._held.open(new, NOT_BEGUN, WAITS_MS, actor, facts, most)
        return new

    async def targets(self, identity: Identity) -> list[Route]:
        """Everything that ``identity`` may connect to."""
        return await self._routes.all(identity)

    async def find(self, identity: Identity, ident: str) -> Kept:
        """A terminal of ``identity``. Raises :class:`AccessUnknown`."""
        kept = await self._held.find(ident)
        if kept is None or kept.kind != "terminal" or kept.user_id != (identity.user_id or ""):
            raise AccessUnknown("no terminal of yours has this id, or it is over")
        return kept
