"""Sessions: begin one at sign-in, give out tokens of it, end it, list it.

Every change is one SQL transaction that also writes the log of changes; then it is published to the cache, and for a
revocation a replica of Redis has to have it before the answer goes out. What it does not promise: that another node
whose link to Redis is down knows of a revocation at once; it knows within seconds, by the log of changes.
"""

import asyncio
import logging
import secrets
import uuid
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from msgspec.structs import replace
from sqlalchemy import Connection

from rppam.access.accounts.errors import InvalidCredentials
from rppam.access.accounts.model import Account, StoredAccount
from rppam.access.lockouts.guard import Guard
from rppam.access.mfa.model import SecondStep
from rppam.access.mfa.service import SecondFactors
from rppam.access.sessions.activity import SessionActivity
from rppam.access.sessions.check import SessionCheck
from rppam.access.sessions.errors import SessionEndedError
from rppam.access.sessions.model import (
    Ended,
    Identity,
    NewSession,
    SessionKind,
    SessionLine,
    StoredFacts,
    StoredSession,
    fact_bytes,
    token_hash,
)
from rppam.access.sessions.policy import SESSIONS
from rppam.access.sessions.store import SqlSessions
from rppam.access.tokens.service import Bearer, IssuedToken, Tokens
from rppam.cache.model import LIFE_MS_MAX, CacheKey, Change, Copy, Kind
from rppam.cache.ports import SharedCache
from rppam.db.clock import DatabaseClock
from rppam.http.errors import ForbiddenError
from rppam.kernel.instant import WallMs
from rppam.kernel.logging import printable
from rppam.kernel.secret import Secret
from rppam.settings.hot import LiveSettings

log = logging.getLogger("rppam.sessions")
audit: Final = logging.getLogger("rppam.audit")

FRESH_MS: Final = 10 * 60_000
"""How long after a log-in its password counts as given just now."""
AGENT_CHARS_MAX: Final = 200
CLIENT_CHARS_MAX: Final = 64
_AT_ONCE: Final = 64
"""Facts that are put into Redis at the same time."""


class Caller(NamedTuple):
    """Where somebody signs in from: for lists and logs, and for accounts that may do so from some networks alone."""

    client: str
    agent: str


class Sessions:
    """See the module. Every call that asks SQL raises a ``DatabaseError`` when it does not answer."""

    def __init__(
        self,
        store: SqlSessions,
        cache: SharedCache,
        tokens: Tokens,
        clock: DatabaseClock,
        *,
        node: str,
        settings: LiveSettings,
        token_minutes: int = 60,
    ) -> None:
        """``token_minutes``: life of one token; a session gets as many as it asks for."""
        self._store, self._cache, self._tokens, self._clock = store, cache, tokens, clock
        self._node, self._settings, self._token_minutes = node, settings, token_minutes
        self._touches = SessionActivity(store, clock, lambda: settings.current(SESSIONS).idle_ms)
        self.check: Final = SessionCheck(store, cache, clock, self._touches)

    async def open(self, account: Account, caller: Caller, *, mfa: bool) -> IssuedToken:
        """Begin a session of an account that has proved itself; ``mfa``: by a second factor as well.

        ``account`` is as it was read *before* the proof was checked: if its sessions were ended since, so is this one.
        """
        sid = self._tokens.new_sid()
        policy = self._settings.current(SESSIONS)
        new = NewSession(
            id=session_id(self._clock.wall_ms()),
            token_hash=token_hash(sid),
            user_id=account.id,
            subject=account.name,
            kind=SessionKind.LOGIN,
            auth_epoch=account.auth_epoch,
            mfa=mfa,
            life_ms=policy.absolute_ms,
            idle_ms=policy.idle_ms,
            client=printable(caller.client, CLIENT_CHARS_MAX),
            agent=printable(caller.agent, AGENT_CHARS_MAX),
            node=self._node,
        )
        stored = await self._store.open(new)
        await self._begun(stored)
        return self._token(stored, sid, sorted(account.roles))

    async def step_up(self, bearer: Bearer, identity: Identity, client: str) -> IssuedToken:
        """The session counts as one with a second factor, which was given just now, and gets another secret; the old
        one and its tokens are worth nothing from now on. ``client`` is the caller's address, for the log.

        Raises :class:`SessionEndedError`.
        """
        sid = self._tokens.new_sid()
        stored = await self._store.renew(bearer.ident, token_hash(sid), mfa=True)
        if stored is None:
            raise SessionEndedError("the session was ended meanwhile")
        audit.info(
            "%s raised the session %s by a second factor from %s.", identity.subject, identity.session_id, client
        )
        await self._begun(stored)
        await self._tell_end(stored._replace(token_hash=bearer.ident))
        return self._token(stored, sid, sorted(identity.roles))

    async def is_fresh(self, bearer: Bearer) -> bool:
        """Whether the session began within :data:`FRESH_MS`, and so its password was given just now.

        Told by the database alone; a step up or a newer token makes nothing fresh.
        """
        stored = await self._store.find(bearer.ident)
        line = await self._store.line(stored.session.id) if stored is not None else None
        if stored is None or line is None:
            return False
        return line.kind is SessionKind.LOGIN and stored.now - line.created_at <= FRESH_MS

    async def refresh(self, bearer: Bearer, identity: Identity) -> IssuedToken:
        """A newer token of the same session. Raises :class:`SessionEndedError`, :class:`ForbiddenError`."""
        if identity.kind is SessionKind.HOST:
            raise ForbiddenError("a token made on a host is not renewed; run 'rppam token' again")
        stored = await self._store.find(bearer.ident)
        if stored is None or stored.session.ended:
            raise SessionEndedError("the session was ended meanwhile")
        self._clock.learn(stored.now)
        return self._token(stored, bearer.claims.session, sorted(identity.roles))

    async def end(self, session_id: str, why: str) -> bool:
        """End one session; false when none of this id is alive."""
        stored = await self._store.end(session_id, why)
        if stored is None:
            return False
        log.info("Session %s of %s was ended: %s.", stored.session.id, stored.session.subject, why)
        await self._tell_end(stored)
        return True

    async def end_user(self, user_id: str, why: str) -> int | None:
        """End all sessions of an account and say how many were alive; ``None``: there is no such account."""
        ended = await self._store.end_user(user_id, why)
        if ended is None:
            return None
        log.info("All %d sessions of account %s were ended: %s.", ended.alive, user_id, why)
        await self._tell(ended)
        return ended.alive

    async def end_all(self, why: str) -> int:
        """End every session that is known, and say how many were alive."""
        ended = await self._store.end_all(why)
        log.warning("All %d sessions were ended: %s.", ended.alive, why)
        await self._tell(ended)
        return ended.alive

    async def find(self, session_id: str) -> SessionLine | None:
        return await self._store.line(session_id)

    async def page(self, user_id: str | None, after: str | None, count: int) -> tuple[list[SessionLine], str | None]:
        """Live sessions of one account or of all, and where the next page begins."""
        found = await self._store.lines(user_id, after, count + 1)
        return (found, None) if len(found) <= count else (found[:count], found[count - 1].id)

    async def _begun(self, stored: StoredSession) -> None:
        self._clock.learn(stored.now)
        self._touches.fresh(stored.token_hash)
        copy = Copy(stored.revision, fact_bytes(stored.session))
        await self._cache.publish(
            CacheKey(Kind.SESSION, stored.token_hash), copy, max(1, min(stored.holds_ms, LIFE_MS_MAX))
        )

    async def _tell_end(self, stored: StoredSession) -> None:
        await self._tell(Ended(1, sessions=(stored,)))

    async def _tell(self, ended: Ended) -> None:
        """Tell every node. However many they are, a replica is waited for once, and a Redis that takes nothing as long
        as for :data:`_AT_ONCE` of them; then the log of changes tells."""
        told = [*map(_end_of, ended.sessions), *map(_facts_of, ended.users)]
        self._cache.forget([Change(key, copy.revision) for key, copy in told])
        before, last = told[:-1], told[-1:]
        for start in range(0, len(before), _AT_ONCE):
            some = before[start : start + _AT_ONCE]
            taken = await asyncio.gather(*(self._cache.publish(key, copy, LIFE_MS_MAX) for key, copy in some))
            if not any(taken):
                return
        for key, copy in last:
            # A replica that has the last of them has all, as it is given them in their order.
            await self._cache.publish(key, copy, LIFE_MS_MAX, confirm=True)

    def _token(self, stored: StoredSession, sid: str, roles: list[str]) -> IssuedToken:
        session = stored.session
        return self._tokens.issue_for_session(
            session.subject, roles, sid, stored.now, self._token_minutes, session.expires_at
        )


class Login(Protocol):
    """The accounts, as far as signing in needs them."""

    def looking_for(self, username: str) -> Callable[[Connection], StoredAccount | None]:
        """See :meth:`rppam.access.accounts.service.Accounts.looking_for`."""
        ...

    async def check(self, stored: StoredAccount | None, password: Secret, client: str) -> Account:
        """See :meth:`rppam.access.accounts.service.Accounts.check`."""
        ...

    async def check_address(self, account: Account, client: str) -> None:
        """See :meth:`rppam.access.accounts.service.Accounts.check_address`."""
        ...


class SignIn:
    """Signing in: may this be tried, is the password right, is a second factor asked for, and then a session begins.

    Decides the order. The accounts check the password; the guard settles each try exactly once.
    """

    def __init__(self, accounts: Login, guard: Guard, second_factor: SecondFactors, sessions: Sessions) -> None:
        self._accounts, self._guard, self._second_factor = accounts, guard, second_factor
        self._sessions = sessions

    async def login(self, username: str, password: Secret, caller: Caller) -> IssuedToken | SecondStep:
        """A token, or what the second step needs.

        Raises :class:`InvalidCredentials`, ``RateLimitedError``, ``Overloaded``, or a ``DatabaseError`` when nobody can
        tell.
        """
        found = await self.prove(username, password, caller)
        return found if isinstance(found, SecondStep) else await self._sessions.open(found, caller, mfa=False)

    async def prove(self, username: str, password: Secret, caller: Caller) -> Account | SecondStep:
        """As :meth:`login`, without a session: the account, or what the second step needs."""
        looking = self._accounts.looking_for(username)
        async with self._guard.trying(username, caller.client, InvalidCredentials, looking) as stored:
            account = await self._accounts.check(stored, password, caller.client)
        return await self._second_factor.begin(account, caller.client) or account

    async def admit(self, account: Account, caller: Caller) -> Account | SecondStep:
        """As :meth:`prove`, for an account that has proved itself by a key; whoever is locked stays so, and an account
        that may not log in from there is refused as a wrong password is."""
        async with self._guard.trying(account.name, caller.client, InvalidCredentials):
            await self._accounts.check_address(account, caller.client)
        return await self._second_factor.begin(account, caller.client) or account


def session_id(now: WallMs) -> str:
    """A fresh id that sorts by time (RFC 9562, UUID version 7)."""
    value = (now & (2**48 - 1)) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def _end_of(stored: StoredSession) -> tuple[CacheKey, Copy]:
    copy = Copy(stored.revision, fact_bytes(replace(stored.session, ended=True)))
    return CacheKey(Kind.SESSION, stored.token_hash), copy


def _facts_of(stored: StoredFacts) -> tuple[CacheKey, Copy]:
    return CacheKey(Kind.USER, stored.facts.id), Copy(stored.revision, fact_bytes(stored.facts))
