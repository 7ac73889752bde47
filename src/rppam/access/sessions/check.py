"""Whose request is this, as of now: a genuine token, the session behind it, and the account behind that.

Decides from the near copies where they may be used, else from the cache, else from SQL. A session counts when it has
not ended and its account still has the ``auth_epoch`` that it began under; roles are the account's of this moment. An
error of the cache costs only the way to SQL; when SQL does not answer either, nobody can tell, and that is a 503: never
"signed out", never "let in".

A token of a host belongs to no account and carries its role itself. It is written into SQL when it is first seen, so
that it can be listed and revoked like any other; but for those that a command makes for itself, which end by themselves
within minutes: nothing is written down of them.
"""

from typing import Final

from rppam.access.sessions.activity import SessionActivity
from rppam.access.sessions.errors import SessionEndedError, SessionUnknownError
from rppam.access.sessions.model import (
    IDLE_MS_NEVER,
    OVER_HOLDS_MS,
    Identity,
    NewSession,
    Session,
    SessionKind,
    StoredSession,
    UserFacts,
    fact_bytes,
    read_session,
    read_user,
)
from rppam.access.sessions.store import SqlSessions
from rppam.access.tokens.claims import session_id_of
from rppam.access.tokens.service import Bearer
from rppam.cache.model import LIFE_MS_MAX, Copy
from rppam.cache.ports import NearReader, SharedCache
from rppam.db.clock import DatabaseClock
from rppam.db.errors import DatabaseError
from rppam.kernel.instant import US_PER_MS, Instant, WallMs, after

ENDED_MAX: Final = 8_192
"""Sessions remembered here as over, for requests that are answered while nobody can be asked."""

ALL_ENDED: Final = (
    "all sessions of the account were ended: by an administrator, by a new password, or because it was disabled"
)


class SessionCheck:
    def __init__(self, store: SqlSessions, cache: SharedCache, clock: DatabaseClock, touches: SessionActivity) -> None:
        self._store, self._clock, self._touches = store, clock, touches
        self._sessions: NearReader[Session] = cache.reader(
            "session", lambda copy: read_session(copy.value), self._load_session
        )
        self._users: NearReader[UserFacts] = cache.reader("user", lambda copy: read_user(copy.value), self._load_user)
        self._over_until: dict[str, Instant | None] = {}
        """Until when each is believed to be over; ``None``: for good."""

    def near(self, bearer: Bearer) -> Identity | None:
        """Who calls, if that can be told from this process's memory; ``None``: ask :meth:`identify`.

        Raises :class:`SessionEndedError`.
        """
        self._check_not_over(bearer)
        session = self._sessions.hit(bearer.ident)
        if session is None:
            return None
        if session.user_id is None:
            return self._judge(bearer, session, None)
        user = self._users.hit(session.user_id)
        if user is None or user.auth_epoch < session.auth_epoch:
            return None
        return self._judge(bearer, session, user)

    async def identify(self, bearer: Bearer, *, is_use: bool = True) -> Identity:
        """Who calls; without ``is_use`` the session stays as idle as it is.

        Raises :class:`SessionEndedError`, :class:`SessionUnknownError`.
        """
        self._check_not_over(bearer)
        try:
            session = await self._sessions.get(bearer.ident)
            if session is None:
                session = await self._seen(bearer)
            user = await self._account(session)
        except DatabaseError as error:
            raise self._unknown(bearer, error, is_use=is_use) from error
        return self._judge(bearer, session, user, is_use=is_use)

    async def identify_by_sql(self, bearer: Bearer, *, is_use: bool = True) -> Identity:
        """As :meth:`identify`, past every copy: for when the cache does not answer in time."""
        try:
            found = await self._find(bearer.ident)
            session = found.session if found is not None else await self._seen(bearer)
            stored = await self._store.facts(session.user_id) if session.user_id is not None else None
        except DatabaseError as error:
            raise self._unknown(bearer, error, is_use=is_use) from error
        return self._judge(bearer, session, stored.facts if stored is not None else None, is_use=is_use)

    def blind(self, bearer: Bearer) -> Identity:
        """Who calls, as far as a genuine token alone tells; for what may be read while nobody can be asked.

        Raises :class:`SessionEndedError` when this process has seen that the session is over.
        """
        self._check_not_over(bearer)
        claims = bearer.claims
        return Identity(claims.subject, None, frozenset(claims.roles), claims.token_id, claims.kind, mfa=False)

    def _check_not_over(self, bearer: Bearer) -> None:
        """What was once seen to have ended stays so here, whatever an old copy in Redis says: SQL may have told before
        the log of changes did. What has only run out stays so for a while: another node may still write that it was
        used, and a database whose clock was far ahead for a moment must sign nobody out for good."""
        if bearer.ident in self._over_until:
            until = self._over_until[bearer.ident]
            if until is None or self._clock.now() < until:
                raise SessionEndedError("the session is over")
            del self._over_until[bearer.ident]

    async def _account(self, session: Session) -> UserFacts | None:
        if session.user_id is None:
            return None
        user = await self._users.get(session.user_id)
        if user is not None and user.auth_epoch < session.auth_epoch:
            # The copy is older than the session: only SQL can tell.
            stored = await self._store.facts(session.user_id)
            user = stored.facts if stored is not None else None
        return user

    def _judge(self, bearer: Bearer, session: Session, user: UserFacts | None, *, is_use: bool = True) -> Identity:
        if session.ended:
            until = after(self._clock.now(), OVER_HOLDS_MS * US_PER_MS) if session.ran_out else None
            raise self._over(bearer, "the session was ended, lay idle for too long, or its time was up", until)
        roles = frozenset(bearer.claims.roles)
        if session.user_id is not None:
            if user is None or user.disabled or user.auth_epoch != session.auth_epoch:
                raise self._over(bearer, ALL_ENDED)
            roles = user.roles
        if is_use and not bearer.claims.brief:
            self._touches.note(bearer.ident)
        return Identity(session.subject, session.user_id, roles, session.id, session.kind, session.mfa)

    def _over(self, bearer: Bearer, why: str, until: Instant | None = None) -> SessionEndedError:
        if len(self._over_until) >= ENDED_MAX:
            del self._over_until[next(iter(self._over_until))]
        self._over_until[bearer.ident] = until
        return SessionEndedError(why)

    def _unknown(self, bearer: Bearer, error: DatabaseError, *, is_use: bool) -> SessionUnknownError:
        if is_use and not bearer.claims.brief:  # work that goes on during an outage is no idle time
            self._touches.note(bearer.ident)
        return SessionUnknownError(f"neither the cache nor the database answers ({error.row.code})")

    async def _seen(self, bearer: Bearer) -> Session:
        """The session of a token that SQL does not know, which a host's is given when it is first seen."""
        if bearer.claims.kind is not SessionKind.HOST:
            raise self._over(bearer, "no session of this token is known: over, or never of this cluster")
        if bearer.claims.brief:
            return _brief_session(bearer)
        stored = await self._store.open(host_session(bearer))
        self._touches.fresh(bearer.ident)
        return stored.session

    async def _find(self, ident: str) -> StoredSession | None:
        await self._touches.settle(ident)
        stored = await self._store.find(ident)
        if stored is not None:
            self._clock.learn(stored.now)
        return stored

    async def _load_session(self, ident: str) -> tuple[Copy, int] | None:
        stored = await self._find(ident)
        if stored is None:
            return None
        return Copy(stored.revision, fact_bytes(stored.session)), min(stored.holds_ms, LIFE_MS_MAX)

    async def _load_user(self, ident: str) -> tuple[Copy, int] | None:
        stored = await self._store.facts(ident)
        return None if stored is None else (Copy(stored.revision, fact_bytes(stored.facts)), LIFE_MS_MAX)


def _brief_session(bearer: Bearer) -> Session:
    """What a command's own token stands for while it lasts."""
    claims = bearer.claims
    ends_at = WallMs(claims.expires_at_s * 1000)
    return Session(
        session_id_of(claims), None, claims.subject, SessionKind.HOST, 0, mfa=False, expires_at=ends_at, ended=False
    )


def host_session(bearer: Bearer) -> NewSession:
    """The session of a token that ``rppam token`` made; its id is the token's own."""
    claims = bearer.claims
    return NewSession(
        id=session_id_of(claims),
        token_hash=bearer.ident,
        user_id=None,
        subject=claims.subject,
        kind=SessionKind.HOST,
        auth_epoch=0,
        mfa=False,
        # From when it was first seen, whatever any clock says; the token's own end comes no later.
        life_ms=(claims.expires_at_s - claims.issued_at_s) * 1000,
        idle_ms=IDLE_MS_NEVER,
        client="",
        agent="rppam token",
        node=claims.node[:63],
    )
