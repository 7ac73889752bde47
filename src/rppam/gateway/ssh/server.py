"""One user's connection once somebody has logged in: which target it is for, and what it may open.

The target is connected to by the first channel that needs it, and once: a client's channels overtake whatever is done
after its log-in, which is the affair of :mod:`~rppam.gateway.ssh.logging_in`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from rppam.access.accounts.errors import InvalidCredentials
from rppam.access.accounts.model import Account
from rppam.access.sessions.model import Identity, SessionKind
from rppam.access.sessions.service import session_id
from rppam.db.errors import DatabaseError
from rppam.gateway.errors import RouteUnknown, TooManyChannels
from rppam.gateway.holder.shell import HeldShell, NotHeldError
from rppam.gateway.model import Kind
from rppam.gateway.ports import Route
from rppam.gateway.ssh import beginning
from rppam.gateway.ssh.byte_channel import ByteChannel, new_channel
from rppam.gateway.ssh.certified import counts_still
from rppam.gateway.ssh.channel import Front
from rppam.gateway.ssh.gate import SECONDS_A_MINUTE, Gate
from rppam.gateway.ssh.holding import Environment, resumed_access, terminal_of
from rppam.gateway.ssh.in_browser import let_go
from rppam.gateway.ssh.live import ELSEWHERE, LiveAccess
from rppam.gateway.ssh.logging_in import LoggingIn
from rppam.kernel.actor import Actor, ActorKind
from rppam.kernel.errors import RppamError
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity

if TYPE_CHECKING:
    from collections.abc import Callable

log: Final = logging.getLogger("rppam.gateway")

_RETRY_S: Final = 1.0
_LOOK_S: Final = 30.0
"""How often a connection without a session is looked at."""
_ENDED: Final = "this log-in has ended meanwhile: connect anew"


class GatewayServer(LoggingIn):
    """See the module."""

    def __init__(self, gate: Gate, now: "Callable[[], WallMs]", client: str) -> None:
        """``client``: the user's address."""
        super().__init__(gate, client)
        self._now = now
        self.route: Route | None = None
        self._lock = asyncio.Lock()
        self._access: LiveAccess | None = None
        self._closing: set[asyncio.Task[Any]] = set()

    def auth_completed(self) -> None:
        self._end_unused(asyncio.get_running_loop().time())

    def _end_unused(self, since: float) -> None:
        """End a connection over which no session was begun for as long as one may be idle: no list has it, and nobody
        could end it otherwise."""
        minutes, loop = self.gate.policy.idle_minutes, asyncio.get_running_loop()
        if self._gone or self._access is not None:
            return
        if minutes and loop.time() - since > minutes * SECONDS_A_MINUTE and not self._lock.locked():
            self.hang_up(f"RP-PAM: no session was begun for {minutes} min")
            return
        loop.call_later(_LOOK_S, self._end_unused, since)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        if self._browser is not None:
            self._spawn(let_go(self._browser))
        if self._access is not None:
            self._close(self._access, "the user left" if exc is None else "the user's connection was lost")

    def _close(self, access: LiveAccess, why: str) -> None:
        self._access = None
        self._spawn(self._closed(access, why))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _closed(self, access: LiveAccess, why: str) -> None:
        try:
            await access.close(why, lambda: asyncio.sleep(_RETRY_S))
        finally:
            self.gate.remove(access)

    # ---- the target --------------------------------------------------------------------------------------------------

    @property
    def has_target(self) -> bool:
        """Whether one was named or chosen."""
        return bool(self._wanted.target) or self.route is not None

    def choose(self, route: Route) -> None:
        """Take this one from the menu."""
        self.route = route

    async def routes(self) -> list[Route]:
        """What the user may choose from. Raises :class:`~rppam.gateway.errors.RouteUnknown` where that is nothing."""
        await self._look_again()
        found = await self.gate.routes.all(self._identity(""))
        if not found:
            raise RouteUnknown("there is no target that you may connect to")
        return found

    async def _look_again(self) -> Account:
        """The account as it is now: a connection may stand for days before anything is asked of it.

        Raises :class:`RouteUnknown` where it may not log in any more, its log-ins were ended, or what let it in does
        not count any more.
        """
        if self._account is None:
            raise RouteUnknown("nobody has logged in")
        try:
            account = self._account = await self.gate.login.unchanged(self._account)
        except InvalidCredentials:
            raise RouteUnknown(_ENDED) from None
        if self._how.line and not await counts_still(self.gate, account, self._how.line, self._client):
            raise RouteUnknown(_ENDED)
        return account

    def _identity(self, access_id: str) -> Identity:
        account = self._account
        if account is None:
            raise RouteUnknown("nobody has logged in")
        roles = frozenset(str(role) for role in account.roles)
        return Identity(account.name, account.id, roles, access_id, SessionKind.LOGIN, self._has_mfa)

    def _actor(self, access_id: str) -> Actor:
        account = self._account
        if account is None:
            return Actor(ActorKind.ANONYMOUS, address=self._client)
        return Actor(ActorKind.USER, account.id, account.name, access_id, self._client)

    async def access(self, front: Front | None, *kinds: Kind) -> LiveAccess:
        """The session with the target, begun if it was not. ``front`` is the channel that needs it, for ``kinds``.

        Raises what keeps it from beginning.
        """
        async with self._lock:
            if self._access is None:
                self._access = await self._begin(front, kinds)
            access = self._access
        self.check(*kinds)
        if access.why:
            raise RouteUnknown(f"this session is ended: {access.why}")
        if not self.gate.holds(access):
            raise RouteUnknown(f"{ELSEWHERE}: connect anew")
        if front is not None:
            if (count := len(access.fronts)) >= self.gate.policy.channels_per_connection:
                raise TooManyChannels(f"this connection has {count} sessions already")
            access.joined(front)
        return access

    async def _way(self) -> Route:
        """Where the user wants to, by the rights of now. Raises :class:`RouteUnknown`, ``AccountUnclear``."""
        identity, known = self._identity(""), self.route
        if known is not None:  # it was chosen, or had before
            return await self.gate.route_of(identity, known.target_id, known.account_id)
        return await self.gate.routes.find(identity, self._wanted.target, self._wanted.account)

    async def _begin(self, front: Front | None, kinds: Sequence[Kind]) -> LiveAccess:
        gate = self.gate
        if gate.draining:
            raise RouteUnknown(f"no new session is taken: {gate.draining}")
        account = await self._look_again()
        route = self.route = await self._way()
        self.check(*kinds)
        found = await beginning.kept(gate, front, route, account.id)
        ident = found[0].id if found else session_id(self._now())
        identity, actor = self._identity(ident), self._actor(ident)
        since = await gate.store.moment()
        reached = await gate.reach(route, identity, actor, ident)
        try:
            resumed = await beginning.resumed(gate, front, found, reached, actor, self._client, route)
            if found and (resumed is None or resumed.kept.id != ident):
                ident = session_id(self._now()) if resumed is None else resumed.kept.id
                identity, actor = self._identity(ident), self._actor(ident)
                await gate.use(route, identity, actor, ident)
            if resumed is not None:
                new = resumed_access(resumed.kept, self._client, gate.node, gate.boot_id)
            else:
                new = beginning.new_access(gate, ident, route, account, self._client)
                program = str(self._conn.get_extra_info("client_version") or "")
                facts = beginning.begun_with(route, reached, program, has_mfa=self._has_mfa)
                await gate.store.begin(new, actor, facts, gate.policy.sessions_per_user, since)
        except BaseException:
            reached.connection.close()
            raise

        async def still_may() -> float | None:
            return await gate.still_may(identity, route)

        held = gate.holding.held
        access = LiveAccess(new, actor, reached.connection, gate.store, held, self.hang_up, still_may, resumed)
        beginning.watched(gate, access, route, resumed)
        if front is not None and front.term is not None:
            for line in beginning.told_of(route, reached):
                front.say(line)
        gate.add(access)
        if self._gone:
            self._close(access, "the user left")
            raise RouteUnknown("the user left")
        self._spawn(self._watch(access))
        return access

    async def hold(self, access: LiveAccess, front: Front, environment: Environment) -> HeldShell | None:
        """A shell that outlives its connection; ``None``, and its user is told why, where there cannot be one."""
        if front.term is None or access.is_kept or self.gate.policy.resume == "never":
            return None
        try:
            if self.route is not None and not self.route.is_host:
                raise NotHeldError("it is no host that could run what would keep it")
            return await self.gate.holding.begin(access, front.tape, terminal_of(front.term), environment)
        except NotHeldError as error:
            front.say(f"this session ends when its connection does: {access.new.target} cannot keep it, as {error}")
            return None

    async def _watch(self, access: LiveAccess) -> None:
        """Notice that the target has gone."""
        await access.connection.wait_closed()
        if self._access is access and not self._gone:
            await asyncio.sleep(_RETRY_S)  # channels say first how they ended
            if self._access is access and not self._gone:
                self._close(access, "the target closed the connection")
                self.hang_up("RP-PAM: the target closed the connection")

    async def refused(self, error: RppamError, kind: Kind) -> None:
        """Record that a channel was refused."""
        log.info("a %s of %s was refused: %s", kind.value, self._actor("").name, error.row.code)
        if isinstance(error, DatabaseError):
            return
        wanted = self.route.target if self.route else self._wanted.target
        facts = {"kind": kind.value, "account": self._wanted.account[:128], "code": error.row.code}
        target = Entity("access-session", self._access.new.id if self._access else "", wanted[:128])
        with contextlib.suppress(DatabaseError):
            await self.gate.store.note("access.refuse", target, self._actor(""), facts, str(error)[:300] or "refused")

    # ---- what may be opened ------------------------------------------------------------------------------------------

    def check(self, *kinds: Kind) -> None:
        """Raise :class:`~rppam.gateway.errors.ChannelRefused` for what the policy does not allow, or, once it is known
        where the user wants to, what the user's right there is not for."""
        policy = self.gate.policy
        allowed = {
            Kind.SHELL: policy.shell,
            Kind.EXEC: policy.exec,
            Kind.SFTP: policy.sftp,
            Kind.SUBSYSTEM: False,
            Kind.LOCAL_FORWARD: policy.local_forward,
            Kind.REMOTE_FORWARD: policy.remote_forward,
            Kind.AGENT: policy.agent_forward,
        }
        for kind in kinds:
            if not allowed[kind]:
                raise beginning.refused_kind(kind)
        if self.route is not None:
            beginning.check_right(self.route, *kinds)

    def allows_subsystem(self, name: str) -> bool:
        """Whether a subsystem is known at all; an unknown one fails at once, and does not hang."""
        return name == "sftp"

    def session_requested(self) -> tuple[ByteChannel, Front]:
        return new_channel(self._conn, lambda: self.gate.policy.agent_forward), Front(self)
