"""Sessions in SQL: the truth about who is signed in.

All times are by the database's clock. A session's row says when it was used last, at most ``TOUCH_MS_MAX`` behind;
its ``idle_ms`` already has that much added, so that nobody is signed out for what was not written down yet. Uses may be
written down more often, as often as the policy of that moment says, so what is added must be the most that any says.

Every call raises a ``DatabaseError`` when the database does not answer. One that changes something is one transaction,
which also raises the row's revision and writes the log of changes.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    Row,
    Select,
    bindparam,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)

from rppam.access.accounts.store import facts_in, facts_of, raise_everybody, raise_user
from rppam.access.accounts.tables import users
from rppam.access.sessions.model import (
    OVER_HOLDS_MS,
    TOUCH_MS_MAX,
    Ended,
    NewSession,
    Session,
    SessionKind,
    SessionLine,
    StoredFacts,
    StoredSession,
    Use,
)
from rppam.access.sessions.tables import sessions
from rppam.cache.change_log import record_change, record_changes
from rppam.cache.model import LIFE_MS_MAX, CacheKey, Change, Kind
from rppam.db.engine import NowMs, insert_of, rows_changed
from rppam.db.errors import DatabaseUnknown
from rppam.db.store import SqlStore, reads, writes
from rppam.kernel.actor import ActorKind, current_actor
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity, Word
from rppam.ledger.record import record

KEPT_MS: Final = 24 * 3600_000
"""How long rows stay after their absolute end: a token of a host must not be forgotten while it could be shown."""


class SqlSessions(SqlStore):
    @writes
    def open(self, connection: Connection, new: NewSession) -> StoredSession:
        """Begin a session, unless one with this token is known: then that one, whatever became of it."""
        row = new._asdict() | {"kind": new.kind.value, "idle_ms": new.idle_ms + TOUCH_MS_MAX}
        made = connection.execute(_opening(connection.dialect.name), row).one_or_none()
        stored = _stored(made) if made is not None else _find(connection, new.token_hash)
        if stored is None:
            raise DatabaseUnknown("a session that was just written cannot be read")
        if made is not None:
            facts = {"kind": new.kind.value, "mfa": new.mfa, "agent": Word(new.agent)}
            kind = ActorKind.HOST if new.user_id is None else ActorKind.USER
            actor = current_actor()._replace(kind=kind, id=new.user_id or "", name=new.subject, session=new.id)
            record(connection, "session.open", Entity("session", new.id, new.subject), details=facts, actor=actor)
        return stored

    @reads
    def find(self, connection: Connection, token_hash: str) -> StoredSession | None:
        """The session of this token; ``ended`` also when its time is over."""
        return _find(connection, token_hash)

    @reads
    def facts(self, connection: Connection, user_id: str) -> StoredFacts | None:
        """The account that a session belongs to."""
        return facts_in(connection, user_id)

    @writes
    def touch(self, connection: Connection, uses: Sequence[Use]) -> None:
        """These sessions were used. An older use than the one written down changes nothing."""
        used_at = NowMs() - bindparam("ago", type_=BigInteger())
        began_at = NowMs() - bindparam("since", type_=BigInteger())
        change = (
            update(sessions)
            .where(
                sessions.c.token_hash == bindparam("hash"),
                sessions.c.ended_at.is_(None),
                sessions.c.last_seen_at < used_at,
                sessions.c.last_seen_at + sessions.c.idle_ms > began_at,
            )
            .values(last_seen_at=used_at)
        )
        # In one order everywhere, so that two processes that touch the same sessions never wait for each other.
        rows = [{"hash": use.token_hash, "since": use.since_ms, "ago": use.ago_ms} for use in sorted(uses)]
        if rows:
            connection.execute(change, rows)

    @writes
    def renew(self, connection: Connection, old_hash: str, new_hash: str, *, mfa: bool) -> StoredSession | None:
        """Give the live session another token; the old one is worth nothing from now on. ``None``: it does not live."""
        change = (
            update(sessions)
            .where(sessions.c.token_hash == old_hash, _alive())
            .values(token_hash=new_hash, mfa=mfa, revision=sessions.c.revision + 1, last_seen_at=NowMs())
            .returning(sessions.c.revision)
        )
        revision = connection.execute(change).scalar_one_or_none()
        if revision is None:
            return None
        record_change(connection, CacheKey(Kind.SESSION, old_hash), revision)
        found = _find(connection, new_hash)
        if mfa and found is not None:
            record(connection, "session.elevate", Entity("session", found.session.id, found.session.subject))
        return found

    @writes
    def end(self, connection: Connection, session_id: str, why: str) -> StoredSession | None:
        """End one; ``None`` when none of this id is alive."""
        ended = _end(connection, sessions.c.id == session_id, why)
        for one in ended:
            record_change(connection, CacheKey(Kind.SESSION, one.token_hash), one.revision)
            record(connection, "session.end", Entity("session", session_id, one.session.subject), reason=why)
        return ended[0] if ended else None

    @writes
    def end_user(self, connection: Connection, user_id: str, why: str) -> Ended | None:
        """End all sessions and half-finished log-ins of an account; ``None``: there is no such account.

        The account's ``auth_epoch`` is what ends them; the rows are marked for the lists.
        """
        if facts_in(connection, user_id) is None:
            return None
        alive = len(_end(connection, sessions.c.user_id == user_id, why))
        account = raise_user(connection, user_id, ends_sessions=True)
        target = Entity("user", user_id, account.name)
        record(connection, "session.end-all", target, reason=why, details={"sessions": alive})
        return Ended(alive, users=(facts_of(account),))

    @writes
    def end_all(self, connection: Connection, why: str) -> Ended:
        ended = _end(connection, literal(value=True), why)
        hosts = tuple(one for one in ended if one.session.user_id is None)
        record_changes(connection, [Change(CacheKey(Kind.SESSION, one.token_hash), one.revision) for one in hosts])
        record(connection, "session.end-all", reason=why, details={"sessions": len(ended)})
        # An account without a session that is marked above may have one that begins this very moment.
        return Ended(len(ended), hosts, raise_everybody(connection))

    @reads
    def line(self, connection: Connection, session_id: str) -> SessionLine | None:
        found = connection.execute(_lines().where(sessions.c.id == session_id)).one_or_none()
        return None if found is None else _line(found)

    @reads
    def lines(self, connection: Connection, user_id: str | None, after: str | None, count: int) -> list[SessionLine]:
        """Live sessions, the newest first, of one account or of all; ``after`` the last id of the page before."""
        wanted = _lines().order_by(sessions.c.id.desc()).limit(count)
        if user_id is not None:
            wanted = wanted.where(sessions.c.user_id == user_id)
        if after is not None:
            wanted = wanted.where(sessions.c.id < after)
        return [_line(row) for row in connection.execute(wanted)]

    @reads
    def active(self, connection: Connection, most: int) -> int:
        """How many sessions are alive, counted up to ``most``."""
        some = select(literal(1)).select_from(sessions).where(_alive()).limit(most).subquery()
        counted = select(func.count()).select_from(some)
        return int(connection.execute(counted).scalar_one())

    @writes
    def sweep(self, connection: Connection, count: int) -> int:
        """Delete at most ``count`` rows of sessions that ended long ago; how many there were."""
        old = select(sessions.c.id).where(sessions.c.expires_at < NowMs() - KEPT_MS).limit(count)
        gone = delete(sessions).where(sessions.c.id.in_(old.scalar_subquery()))
        return rows_changed(connection, gone)


def _alive() -> ColumnElement[bool]:
    """Of a row of ``sessions``, as far as it can tell without the account's."""
    idle_end = sessions.c.last_seen_at + sessions.c.idle_ms
    return sessions.c.ended_at.is_(None) & (sessions.c.expires_at > NowMs()) & (idle_end > NowMs())


# What each log-in says is put together once: that costs as much as to run it.
_FIND: Final = select(sessions, NowMs().label("now")).where(sessions.c.token_hash == bindparam("wanted"))


@cache
def _opening(dialect: str) -> Executable:
    """The insert that begins a session, and answers it where its token was not known."""
    made = insert_of(dialect, sessions).values(
        revision=1,
        created_at=NowMs(),
        last_seen_at=NowMs(),
        expires_at=NowMs() + bindparam("life_ms", type_=BigInteger()),
    )
    made = made.on_conflict_do_nothing(index_elements=[sessions.c.token_hash])
    return made.returning(*sessions.c, NowMs().label("now"))


def _find(connection: Connection, token_hash: str) -> StoredSession | None:
    row = connection.execute(_FIND, {"wanted": token_hash}).one_or_none()
    return None if row is None else _stored(row)


def _stored(row: Row[Any]) -> StoredSession:
    holds_ms = min(row.expires_at, row.last_seen_at + row.idle_ms) - row.now
    was_ended = row.ended_at is not None
    ran_out = not was_ended and holds_ms <= 0
    if was_ended:
        holds_ms = LIFE_MS_MAX
    elif ran_out:
        holds_ms = OVER_HOLDS_MS
    session = Session(
        id=row.id,
        user_id=row.user_id,
        subject=row.subject,
        kind=SessionKind(row.kind),
        auth_epoch=row.auth_epoch,
        mfa=row.mfa,
        expires_at=WallMs(row.expires_at),
        ended=was_ended or ran_out,
        ran_out=ran_out,
    )
    return StoredSession(session, row.token_hash, row.revision, holds_ms, WallMs(row.now))


def _end(connection: Connection, which: ColumnElement[bool], why: str) -> list[StoredSession]:
    """Mark live sessions as ended; what became of them."""
    # In the order in which uses are written down, so that neither waits for the other in a circle.
    live = select(sessions.c.id).where(which, _alive()).order_by(sessions.c.token_hash).with_for_update()
    change = (
        update(sessions)
        .where(sessions.c.id.in_(live), sessions.c.ended_at.is_(None))
        .values(ended_at=NowMs(), ended_why=why, revision=sessions.c.revision + 1)
        .returning(*sessions.c, NowMs().label("now"))
    )
    return [_stored(row) for row in connection.execute(change).all()]


def _lines() -> Select[Any]:
    """Live sessions, each with its account's agreement."""
    of_host = sessions.c.user_id.is_(None)
    holds = (users.c.auth_epoch == sessions.c.auth_epoch) & users.c.deleted_at.is_(None) & (func.not_(users.c.disabled))
    joined = sessions.outerjoin(users, users.c.id == sessions.c.user_id)
    return (
        select(*(sessions.c[name] for name in SessionLine._fields))
        .select_from(joined)
        .where(_alive(), or_(of_host, holds))
    )


def _line(row: Row[Any]) -> SessionLine:
    return SessionLine(**row._asdict())._replace(kind=SessionKind(row.kind))
