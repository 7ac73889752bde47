"""What all connections of one gateway process share: the sessions it holds, and the loop that hears of orders.

Every half second it asks SQL what was ordered of its sessions and whether their users may still go on; the cache tells
of orders sooner. Every two seconds it says that its sessions live.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

from rppam.access.sessions.model import Identity
from rppam.cache.model import CacheKey, Kind as Cached
from rppam.cache.ports import SharedCache
from rppam.db.errors import DatabaseError
from rppam.gateway.authority import Authority
from rppam.gateway.certificates import AGENT, FORWARDING, Certified, Judged, is_key_revoked, problem, shown
from rppam.gateway.errors import RouteUnknown
from rppam.gateway.model import (
    ORDERED,
    ORDERS_EVERY_S,
    RIGHTS_AT_ONCE,
    RIGHTS_EVERY_S,
    SEEN_EVERY_S,
    Alive,
    Tick,
)
from rppam.gateway.policy import ACCESS, CERTIFICATES, AccessPolicy
from rppam.gateway.ports import KnownHosts, Recordings, Route, Routes
from rppam.gateway.ssh import deadline, jumps
from rppam.gateway.ssh.holding import Holding
from rppam.gateway.ssh.live import TAKEN, LiveAccess
from rppam.gateway.ssh.login import GatewayLogin
from rppam.gateway.ssh.target import Reached
from rppam.gateway.store import SqlAccess
from rppam.kernel.actor import Actor, acting
from rppam.ledger.model import Entity
from rppam.settings.hot import LiveSettings

SECONDS_A_MINUTE: Final = 60
_LESS: Final = "you may do less here than when it began"
log: Final = logging.getLogger("rppam.gateway")


class Said(NamedTuple):
    """What the register was told last of the sessions here."""

    at: float
    of: Mapping[str, Alive]


class Gate:
    """See the module."""

    def __init__(
        self,
        store: SqlAccess,
        known_hosts: KnownHosts,
        routes: Routes,
        login: GatewayLogin,
        recordings: Recordings,
        settings: LiveSettings,
        cache: SharedCache,
        holding: Holding,
        authority: Authority,
        *,
        node: str,
        boot_id: str,
        sources: Sequence[str] = (),
    ) -> None:
        """``sources``: see :func:`rppam.gateway.ssh.target.reach`."""
        self.store, self.known_hosts, self.routes = store, known_hosts, routes
        self.login, self.recordings, self.holding = login, recordings, holding
        self.node, self.boot_id = node, boot_id
        self._settings, self._authority, self.sources = settings, authority, sources
        self._live: dict[str, LiveAccess] = {}
        self._wake = asyncio.Event()
        self._cache = cache
        self._draining = ""

    @property
    def policy(self) -> AccessPolicy:
        """As it is in force now."""
        return self._settings.current(ACCESS)

    @property
    def sessions(self) -> int:
        """How many are held here."""
        return len(self._live)

    @property
    def live(self) -> list[LiveAccess]:
        """The sessions that are held here."""
        return list(self._live.values())

    @property
    def draining(self) -> str:
        """Why no new session is taken; empty while they are."""
        return self._draining

    async def still_may(self, identity: Identity, route: Route) -> float | None:
        """Raise RouteUnknown, unless the user may still go there, with the roles of today, for all that ``route`` was
        for. How long that lasts; ``None``: nothing ends it by itself."""
        today = identity._replace(roles=await self.login.roles(identity.user_id or ""))
        found = await self.route_of(today, route.target_id, route.account_id)
        if not route.kinds <= found.kinds:
            raise RouteUnknown(_LESS)
        return await self.routes.left_s(today, found)

    async def route_of(self, identity: Identity, target_id: str, account_id: str) -> Route:
        """The way to what was gone to before, whatever it is called now. Raises :class:`RouteUnknown` where it is not
        there any more, or not for ``identity``."""
        known = await self.routes.known(target_id, account_id)
        found = await self.routes.find(identity, known.target, known.account)
        if (found.target_id, found.account_id) != (target_id, account_id):
            raise RouteUnknown("another target has this name")
        return found

    def add(self, access: LiveAccess) -> None:
        """Hold a session. Whoever has had it here before has it no more."""
        before = self._live.get(access.new.id)
        self._live[access.new.id] = access
        if before is not None:
            before.let_go(*TAKEN, is_taken=True)

    def remove(self, access: LiveAccess) -> None:
        """Hold it no more; one that was taken up here meanwhile stays."""
        if self.holds(access):
            del self._live[access.new.id]

    def holds(self, access: LiveAccess) -> bool:
        """Whether orders, rights and idleness of this one are looked after here; of any other nobody does."""
        return self._live.get(access.new.id) is access

    async def use(self, route: Route, identity: Identity, actor: Actor, ident: str) -> None:
        """Have the vault record that a way that is open already serves the session ``ident``."""
        with acting(actor):
            await self.routes.open(identity, route, ident)

    async def reach(self, route: Route, identity: Identity | None, actor: Actor, ident: str) -> Reached:
        """The target, by a credential that is dropped again once it has let us in; its key is pinned by then.

        Without an ``identity`` it is reached in the node's own name, to end what is there.
        """
        return await jumps.reached(self, route, identity, actor, ident)

    async def run(self) -> None:
        """Never returns."""
        self._cache.on_change(self._heard)
        said = Said(0.0, {})
        while True:
            self._wake.clear()
            try:
                if self._live:
                    said = await self._look(said)
            except Exception:  # whatever is wrong with one session ends no gateway
                log.exception("the sessions of this gateway cannot be looked after now")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), ORDERS_EVERY_S)

    async def _look(self, said: Said) -> Said:
        """Do once what :meth:`run` does; what was last said of the sessions."""
        now, asked = asyncio.get_running_loop().time(), dict(self._live)
        live = {ident: Alive(one.generation, one.up, one.down) for ident, one in asked.items()}
        with contextlib.suppress(DatabaseError):
            if now - said.at < SEEN_EVERY_S:
                self._obey(await self.store.look(live), asked)
            else:
                tell = {ident: one._replace(moved=one != said.of.get(ident)) for ident, one in live.items()}
                self._obey(await self.store.tick(tell), asked)
                said = Said(now, live)
        self._end_idle()
        with contextlib.suppress(DatabaseError):
            await self._ask_rights()
        return said

    def _obey(self, tick: Tick, asked: Mapping[str, LiveAccess]) -> None:
        """Do what the register says. Orders are for whoever has the session now; what was said of a generation is for
        the one that was ``asked`` about: meanwhile its successor may be here."""
        for order in tick.orders:
            if (one := self._live.get(order.session)) is not None:
                reason = f": {order.reason}" if order.reason else ""
                one.kill(f"{ORDERED}{reason}", f"this session was ended by {order.by}{reason}")
        for ident, why in tick.gone.items():
            if (one := self._live.get(ident)) is not None:
                one.kill(why, f"this session is ended: {why}")
        for ident in tick.lost:
            if self.holds(one := asked[ident]) and not one.why:
                one.kill("closed in the register", "this session is ended: this node was away for too long")
        for ident in tick.taken:
            if self.holds(one := asked[ident]):
                one.let_go(*TAKEN, is_taken=True)

    def _end_idle(self) -> None:
        minutes = self.policy.idle_minutes
        for one in list(self._live.values()):
            if minutes and one.idle_s > minutes * SECONDS_A_MINUTE:
                why = f"nothing was typed for {minutes} min"
                one.kill(why, f"this session is ended: {why}")

    async def _ask_rights(self) -> None:
        now = asyncio.get_running_loop().time()
        due = [one for one in self._live.values() if now - one.asked_at >= RIGHTS_EVERY_S and not one.why]
        for one in sorted(due, key=lambda one: one.asked_at)[:RIGHTS_AT_ONCE]:
            one.asked_at = now
            try:
                left = await one.still_may()
            except RouteUnknown as error:
                why = _LESS if str(error) == _LESS else "the access to this account has ended"
                one.kill(why, f"this session is ended: {why}")
                continue
            deadline.warn(one, left)
            if left is not None and left < RIGHTS_EVERY_S:  # it is asked again as soon as that is over
                one.asked_at += max(left, 0.0) - RIGHTS_EVERY_S

    async def certifier(
        self, route: Route, actor: Actor, ident: str, *, is_last: bool = True
    ) -> Callable[[str], Awaitable[Certified]] | None:
        """What signs a certificate for the session ``ident``; ``None``: the target trusts none of ours. ``is_last``:
        the session is with this target, and does not only go through it."""
        policy, access = self._settings.current(CERTIFICATES), self.policy
        more = {FORWARDING} if access.local_forward or access.remote_forward or not is_last else set()
        more |= {AGENT} if access.agent_forward and is_last else set()
        key = await self._authority.active() if policy.target_tag in route.tags else None
        if key is None:
            return None
        name = actor.name or str(actor.kind)

        async def certify(source: str) -> Certified:
            source = source if policy.source_address else ""
            made = await self._authority.for_session(key, ident, name, route.username, policy.minutes, source, more)
            facts = {"serial": made.serial, "account": route.username, "authority": made.authority}
            target = Entity("access-session", ident, route.target)
            await self.store.note("certificate.issue", target, actor, {**facts, "minutes": policy.minutes})
            return made

        return certify

    async def judge(self, line: bytes, user: str, client: str) -> Judged:
        """A certificate that a user shows. Raises :class:`~rppam.gateway.errors.CertificateInvalid`."""
        one = shown(line)
        trust = await self._authority.trust(self._settings.current(CERTIFICATES))
        if is_trusted := one.authority in trust.own | trust.others:
            trust = await self._authority.with_revoked(trust, *one.words)
        return Judged(one, problem(one, user, trust, client, self._authority.now_s), is_trusted)

    async def is_revoked(self, fingerprint: str) -> bool:
        """Whether a key of a user counts no more."""
        trust = await self._authority.trust(self._settings.current(CERTIFICATES))
        return is_key_revoked(fingerprint, await self._authority.with_revoked(trust, fingerprint))

    def _heard(self, key: CacheKey | None) -> None:
        if self._live and (key is None or key.kind is Cached.USER or key.ident in self._live):
            self._wake.set()

    async def drain(self, why: str, wait_s: float) -> None:
        """Take no new sessions, give those that are held ``wait_s``, then end them with ``why``."""
        self._draining = why
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty(), wait_s)
        held = list(self._live.values())
        for one in held:
            end = "its shell is kept for you: connect again to go on" if one.is_kept else "it is over"
            one.let_go(why, f"this session is ended: {why}; {end}")
        if held:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await asyncio.gather(*(one.ended.wait() for one in held))

    async def _empty(self) -> None:
        while self._live:
            await next(iter(self._live.values())).ended.wait()
            await asyncio.sleep(0)
