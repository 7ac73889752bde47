"""Lockouts in SQL, so that a Redis that was lost or flushed unlocks nobody. All times are the database's.

Every call raises a ``DatabaseError`` when nobody can tell.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, bindparam, delete, select, update

from rppam.access.accounts.tables import users
from rppam.access.lockouts.model import FORGIVEN_MS, LEVEL_MAX, LockKind, Lockout, LockoutPolicy, Suspect
from rppam.access.lockouts.tables import lockouts
from rppam.cache.change_log import record_change
from rppam.cache.model import CacheKey, Change, Kind
from rppam.db.engine import NowMs, insert_into, now_ms
from rppam.db.errors import DatabaseBusy
from rppam.db.store import SqlStore, reads, writes
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity
from rppam.ledger.record import record

TRIES: Final = 5
KEPT_MS: Final = 7 * FORGIVEN_MS
"""A row that says nothing any more is deleted after that, when somebody else is locked."""
_KINDS: Final = frozenset(LockKind)
# Asked at each log-in, so it is put together once: also its list, which would be written anew for any number of them.
_LATEST: Final = select(lockouts, NowMs().label("now")).where(
    lockouts.c.subject_hash.in_([bindparam(name, type_=lockouts.c.subject_hash.type) for name in ("first", "last")])
)
T = TypeVar("T")


class SqlLockouts(SqlStore):
    @reads
    def held(self, connection: Connection, subjects: Sequence[str]) -> list[Lockout]:
        wanted = select(lockouts).where(lockouts.c.subject_hash.in_(subjects))
        return _locked(connection, wanted)

    @reads
    def latest(
        self, connection: Connection, subjects: Sequence[str], beside: Callable[[Connection], T]
    ) -> tuple[list[Lockout], T]:
        """The last lockout or unlock of each of ``subjects``, one or two; ``left_ms`` is not positive where it is over.
        And what ``beside`` reads in the same transaction, which spares whoever needs that one of its own."""
        rows = connection.execute(_LATEST, {"first": subjects[0], "last": subjects[-1]}).all()
        return _known(rows), beside(connection)

    @writes
    def lock(self, connection: Connection, suspect: Suspect, policy: LockoutPolicy) -> Lockout:
        """Lock, for longer than the last time; one that is locked already stays so, neither longer nor shorter."""
        shown = _shown(connection, suspect)
        # Of several nodes at once the first locks; the others wait here and then find it locked.
        row = _own(connection, suspect, shown)
        mine = lockouts.c.subject_hash == suspect.subject
        now = now_ms(connection)
        if row.until > now:
            return _lockout(row, now)
        level = min(row.level + 1, LEVEL_MAX) if now - row.until < FORGIVEN_MS else 1
        times = {"since": now, "until": now + policy.lock_ms(level)}
        change = update(lockouts).where(mine).values(level=level, shown=shown, **times).returning(lockouts)
        locked = _lockout(connection.execute(change).one(), now)
        connection.execute(delete(lockouts).where(lockouts.c.until < now - KEPT_MS))
        facts = {"kind": suspect.kind.value, "level": level, "until": times["until"]}
        record(connection, "lockout.begin", _entity(connection, suspect.kind, shown), details=facts)
        return locked

    @writes
    def unlock(self, connection: Connection, subject: str) -> tuple[Lockout | None, Change]:
        """End the lockout, and forget that there were any; what stood, if it was one, and the change as logged."""
        mine = lockouts.c.subject_hash == subject
        row = connection.execute(select(lockouts).where(mine).with_for_update()).one_or_none()
        now = now_ms(connection)
        connection.execute(update(lockouts).where(mine).values(until=now, since=now, level=0))
        change = Change(CacheKey(Kind.UNLOCK, subject), now)
        record_change(connection, change.key, change.revision)
        target = Entity("lockout") if row is None else _entity(connection, row.kind, row.shown)
        facts = {} if row is None else {"kind": row.kind, "until": row.until}
        record(connection, "lockout.end", target, details=facts)
        return _lockout(row, now) if row is not None and row.until > now else None, change

    @reads
    def all(self, connection: Connection, most: int) -> list[Lockout]:
        """Who is locked now, the newest first, at most ``most``."""
        wanted = select(lockouts).order_by(lockouts.c.since.desc(), lockouts.c.subject_hash).limit(most)
        return _locked(connection, wanted)


def _locked(connection: Connection, wanted: Any) -> list[Lockout]:
    return _rows(connection, wanted.where(lockouts.c.until > NowMs()))


def _rows(connection: Connection, wanted: Any) -> list[Lockout]:
    return _known(connection.execute(wanted.add_columns(NowMs().label("now"))).all())


def _known(rows: Sequence[Row[Any]]) -> list[Lockout]:
    return [_lockout(row, row.now) for row in rows if row.kind in _KINDS]


def _own(connection: Connection, suspect: Suspect, shown: str) -> Row[Any]:
    """The row, locked; made where there is none."""
    blank = {"kind": suspect.kind.value, "shown": shown, "level": 0, "since": 0, "until": 0}
    fresh = insert_into(connection, lockouts).values(subject_hash=suspect.subject, **blank)
    wanted = select(lockouts).where(lockouts.c.subject_hash == suspect.subject).with_for_update()
    for _ in range(TRIES):
        connection.execute(fresh.on_conflict_do_nothing())
        row = connection.execute(wanted).one_or_none()
        if row is not None:
            return row
        # Deleted by somebody between the two: it is made again.
    raise DatabaseBusy("a lockout was deleted as fast as it was made; nothing was done")


def _shown(connection: Connection, suspect: Suspect) -> str:
    """A user name only where such an account exists: people type passwords into the wrong field."""
    if suspect.kind is not LockKind.USER:
        return suspect.shown
    known = connection.execute(select(users.c.name).where(users.c.name == suspect.shown)).scalar_one_or_none()
    return known or ""


def _entity(connection: Connection, kind: str, shown: str) -> Entity:
    """Who is locked, by the id of the account. The hash that a lockout is found by is none for the ledger: whoever
    guesses the name or the address knows it. Of a name without an account nothing is said; ``until`` tells which one
    ends where one began."""
    ident = None
    if kind == LockKind.USER and shown:
        ident = connection.execute(select(users.c.id).where(users.c.name == shown)).scalar_one_or_none()
    return Entity("lockout", ident or "", shown)


def _lockout(row: Row[Any], now: int) -> Lockout:
    return Lockout(
        kind=LockKind(row.kind),
        subject=row.subject_hash,
        shown=row.shown,
        level=row.level,
        since=WallMs(row.since),
        until=WallMs(row.until),
        left_ms=row.until - now,
    )
