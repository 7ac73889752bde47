"""One user's connection: who it is, which target it is for, and what it may open.

The target is connected to by the first channel that needs it, and once: a client's channels overtake whatever is done
after its log-in. Guesses and key probes are counted; after :data:`TRIES_MAX` the connection is closed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import asyncssh

from rppam.access.accounts.errors import InvalidCredentials
from rppam.access.accounts.model import Account
from rppam.access.mfa.errors import CodeWrong, MfaTokenInvalid
from rppam.access.mfa.model import SecondStep
from rppam.access.sessions.model import Identity, SessionKind
from rppam.access.sessions.service import session_id
from rppam.db.errors import DatabaseError
from rppam.gateway.errors import NameUnfit, RouteUnknown, SecondFactorNotEnrolled, TooManyChannels
from rppam.gateway.holder.shell import HeldShell, NotHeldError
from rppam.gateway.model import Kind
from rppam.gateway.names import Wanted, checked
from rppam.gateway.ports import Route
from rppam.gateway.ssh import beginning, forwards
from rppam.gateway.ssh.byte_channel import ByteChannel, new_channel
from rppam.gateway.ssh.certified import certified, keyed
from rppam.gateway.ssh.channel import Front, one_line
from rppam.gateway.ssh.gate import Gate
from rppam.gateway.ssh.holding import Environment, resumed_access, terminal_of
from rppam.gateway.ssh.live import LiveAccess
from rppam.gateway.ssh_tokens_store import PREFIX
from rppam.kernel.actor import Actor, ActorKind
from rppam.kernel.errors import RppamError
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity

if TYPE_CHECKING:
    from collections.abc import Callable

log: Final = logging.getLogger("rppam.gateway")

TRIES_MAX: Final = 6
PROBES_MAX: Final = 20
"""Keys that are shown, each once to ask and once signed; an agent may hold several."""
_PASSWORD, _CODE = "Password: ", "Code: "
_PASSWORD_FACTS: Final[Mapping[str, str]] = {"how": "password"}
"""How somebody logged in, for the ledger."""
_SUBSYSTEM_CHARS: Final = 64
_RETRY_S: Final = 1.0


class GatewayServer(forwards.Forwarding):
    """See the module."""

    def __init__(self, gate: Gate, now: "Callable[[], WallMs]", client: str) -> None:
        """``client``: the user's address."""
        self.gate, self._now, self._client = gate, now, client
        self._conn: asyncssh.SSHServerConnection
        self._wanted = Wanted("")
        self.route: Route | None = None
        self._account: Account | None = None
        self._pending: Secret | None = None
        """The password was right; this stands for the code that has to follow."""
        self._candidate: tuple[Account, Mapping[str, str]] | None = None
        """Whose key or certificate was shown last, and which of the two; it may be anybody who shows it."""
        self._how = _PASSWORD_FACTS
        self._tries = self._probes = 0
        self._has_mfa = False
        self._lock = asyncio.Lock()
        self._access: LiveAccess | None = None
        self._gone = False
        self._closing: set[asyncio.Task[Any]] = set()

    # ---- the connection ----------------------------------------------------------------------------------------------

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        if self._access is not None:
            self._close(self._access, "the user left" if exc is None else "the user's connection was lost")

    def _close(self, access: LiveAccess, why: str) -> None:
        self._access = None
        task = asyncio.get_running_loop().create_task(self._closed(access, why))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _closed(self, access: LiveAccess, why: str) -> None:
        try:
            await access.close(why, lambda: asyncio.sleep(_RETRY_S))
        finally:
            self.gate.remove(access)

    def hang_up(self, text: str) -> None:
        """Close the connection with a reason that the user's client shows."""
        if not self._gone:
            with contextlib.suppress(OSError):
                self._conn.disconnect(asyncssh.DISC_BY_APPLICATION, text[:250])

    # ---- logging in --------------------------------------------------------------------------------------------------

    async def begin_auth(self, username: str) -> bool:
        # A client may name another user after a first factor: nothing that was proved for the one before counts.
        self._account = self._pending = self._candidate = None
        self._how, self._has_mfa = _PASSWORD_FACTS, False
        if self.gate.draining:
            self.hang_up(f"RP-PAM: no new session is taken: {self.gate.draining}")
            return True
        try:
            self._wanted = await self.gate.login.meant(checked(username))
        except (DatabaseError, NameUnfit) as error:
            self.hang_up(f"RP-PAM: {one_line(error)}")
        return True  # never False, which would mean that nothing has to be proved

    def needs_second(self) -> bool:
        """Whether another factor has to follow, see :mod:`~rppam.gateway.ssh.chained_login`."""
        return self._pending is not None

    def password_auth_supported(self) -> bool:
        return self.gate.policy.takes_passwords and self._pending is None

    def kbdint_auth_supported(self) -> bool:
        return self.gate.policy.takes_passwords or self._pending is not None

    def public_key_auth_supported(self) -> bool:
        return self.gate.policy.key_login and self._pending is None

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether the user has this key. It is asked before there is a signature: nothing is proved by it."""
        if not self._may_show():
            return False
        line = key.export_public_key().decode()
        with contextlib.suppress(DatabaseError):
            self._candidate = await keyed(self.gate, lambda: self._conn, self._wanted, line, self._client)
        return self._candidate is not None

    async def certificate_shown(self, line: bytes) -> bool:
        """See :class:`~rppam.gateway.ssh.chained_login.Owner`."""
        if not self._may_show():
            return False
        with contextlib.suppress(DatabaseError):
            self._candidate = await certified(self.gate, self._conn, self._wanted, line, self._client)
        return self._candidate is not None

    def _may_show(self) -> bool:
        """Count a key or certificate that is shown."""
        self._candidate = None
        self._probes += 1
        if self._probes > PROBES_MAX:
            self.hang_up("RP-PAM: too many keys were tried on one connection; name one with -i")
        return self._probes <= PROBES_MAX

    async def key_proved(self) -> bool:
        """See :class:`~rppam.gateway.ssh.chained_login.Owner`."""
        shown, self._candidate = self._candidate, None
        if shown is None or not self.gate.policy.key_login:
            return False
        try:
            found = await self.gate.login.admit(shown[0], self._client)
        except RppamError as error:
            self.hang_up(f"RP-PAM: {one_line(error)}")
            return False
        self._how = shown[1]
        return await self._taken(found)

    async def validate_password(self, username: str, password: str) -> bool:
        return await self._password(password)

    async def get_kbdint_challenge(
        self, username: str, lang: str, submethods: str
    ) -> tuple[str, str, str, list[tuple[str, bool]]]:
        prompt = (_CODE, True) if self._pending else (_PASSWORD, False)
        return ("", "", "", [prompt])

    async def validate_kbdint_response(self, username: str, responses: Any) -> Any:
        if len(responses) != 1:
            return False
        if self._pending is not None:
            return await self._code(responses[0])
        if not await self._password(responses[0]):
            return False
        return ("", "", "", [(_CODE, True)]) if self.needs_second() else True

    async def _password(self, password: str) -> bool:
        """Whether it is right; a code may still have to follow."""
        if not self.gate.policy.takes_passwords or not self._may_try():
            return False
        try:
            found = await self._once(Secret(password)) if password.startswith(PREFIX) else None
            if found is None and not self.gate.policy.password_login:
                return False
            if found is None:  # what is no token, or none any more, counts as a guess
                found = await self.gate.login.password(self._wanted.user, Secret(password), self._client)
        except InvalidCredentials:
            return False
        except RppamError as error:  # locked, overloaded, or nobody can tell
            self.hang_up(f"RP-PAM: {one_line(error)}")
            return False
        return await self._taken(found)

    async def _once(self, token: Secret) -> Account | SecondStep | None:
        """Who comes in by a one-time token."""
        if not self.gate.policy.token_login:
            return None
        used = await self.gate.login.once(self._wanted, token, self._client)
        if used is None:
            return None
        self._wanted, self._how, self._has_mfa = used.wanted, {"how": "token"}, used.mfa
        return used.found

    async def _taken(self, found: Account | SecondStep) -> bool:
        """Take what the first factor has shown; false where nothing can follow it."""
        if not isinstance(found, SecondStep):
            return await self._enters(found)
        if not found.enrolled:
            self.hang_up(f"RP-PAM: {one_line(SecondFactorNotEnrolled('a second factor is required'))}")
            return False
        self._pending = found.token
        return True

    async def _code(self, code: str) -> bool:
        assert self._pending is not None
        if not self._may_try():
            return False
        token, self._pending = self._pending, None
        try:
            account = await self.gate.login.code(token, code.strip(), self._client)
        except CodeWrong:
            self._pending = token
            return False
        except MfaTokenInvalid:
            return False
        except RppamError as error:
            self.hang_up(f"RP-PAM: {one_line(error)}")
            return False
        self._has_mfa = True
        return await self._enters(account)

    async def _enters(self, account: Account) -> bool:
        """Record that somebody has logged in; false, and nobody has, where that cannot be."""
        actor = Actor(ActorKind.USER, account.id, account.name, "", self._client)
        facts = {**self._how, "secondFactor": self._has_mfa}
        try:
            await self.gate.store.note("access.login", Entity("user", account.id, account.name), actor, facts)
        except DatabaseError as error:
            self.hang_up(f"RP-PAM: {one_line(error)}")
            return False
        self._account = account
        return True

    def _may_try(self) -> bool:
        self._tries += 1
        if self._tries <= TRIES_MAX:
            return True
        self.hang_up("RP-PAM: too many tries on one connection")
        return False

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
        found = await self.gate.routes.all(self._identity(""))
        if not found:
            raise RouteUnknown("there is no target that you may connect to")
        return found

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

    async def access(self, front: Front | None) -> LiveAccess:
        """The session with the target, begun if it was not. ``front`` is the channel that needs it.

        Raises what keeps it from beginning.
        """
        async with self._lock:
            if self._access is None:
                self._access = await self._begin(front)
            access = self._access
        if front is not None:
            if access.channels >= self.gate.policy.channels_per_connection:
                raise TooManyChannels(f"this connection has {access.channels} sessions already")
            access.joined(front)
        return access

    async def _begin(self, front: Front | None) -> LiveAccess:
        gate, account = self.gate, self._account
        if gate.draining:
            raise RouteUnknown(f"no new session is taken: {gate.draining}")
        route = self.route or await gate.routes.find(self._identity(""), self._wanted.target, self._wanted.account)
        assert account is not None  # else there would be no identity
        self.route = route
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
                facts = {
                    "account": route.account,
                    "host": route.host,
                    "port": route.port,
                    "hostKey": reached.fingerprint,
                    "secondFactor": self._has_mfa,
                    "program": str(self._conn.get_extra_info("client_version") or "")[:100],
                }
                await gate.store.begin(new, actor, facts, gate.policy.sessions_per_user, since)
        except BaseException:
            reached.connection.close()
            raise

        async def still_may() -> None:
            await gate.still_may(identity, route)

        held = gate.holding.held
        access = LiveAccess(new, actor, reached.connection, gate.store, held, self.hang_up, still_may, resumed)
        beginning.watched(gate, access, route, resumed)
        gate.add(access)
        if self._gone:
            self._close(access, "the user left")
            raise RouteUnknown("the user left")
        watch = asyncio.get_running_loop().create_task(self._watch(access))
        self._closing.add(watch)
        watch.add_done_callback(self._closing.discard)
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

    def check(self, kind: Kind) -> None:
        """Raise :class:`~rppam.gateway.errors.ChannelRefused` for a kind that the policy does not allow."""
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
        if not allowed[kind]:
            raise beginning.refused_kind(kind)

    def allows_subsystem(self, name: str) -> bool:
        """Whether a subsystem is known at all; an unknown one fails at once, and does not hang."""
        return name == "sftp"

    def session_requested(self) -> tuple[ByteChannel, Front]:
        return new_channel(self._conn, lambda: self.gate.policy.agent_forward), Front(self)
