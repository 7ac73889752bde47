"""Lockouts in SQL (:class:`rppam.access.lockouts.ports.LockoutStore`). All times are the database's."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from rppam.access.accounts import users
from rppam.access.lockouts.model import FORGIVEN_MS, LEVEL_MAX, LockKind, Lockout, LockoutPolicy, Suspect
from rppam.access.lockouts.tables import lockouts
from rppam.cache.change_log import record_change
from rppam.cache.model import CacheKey, Change, Kind
from rppam.db.database import Database
from rppam.db.engine import NowMs
from rppam.db.errors import DatabaseBusy
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity
from rppam.ledger.record import record

TRIES: Final = 5
KEPT_MS: Final = 7 * FORGIVEN_MS
"""A row that says nothing any more is deleted after that, when somebody else is locked."""
_KINDS: Final = frozenset(LockKind)


class SqlLockouts:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def held(self, subjects: Sequence[str]) -> list[Lockout]:
        """See the port."""
        wanted = select(lockouts).where(lockouts.c.subject_hash.in_(subjects))
        return await self._database.read(lambda connection: _locked(connection, wanted))

    async def latest(self, subjects: Sequence[str]) -> list[Lockout]:
        """See the port."""
        wanted = select(lockouts).where(lockouts.c.subject_hash.in_(subjects))
        return await self._database.read(lambda connection: _rows(connection, wanted))

    async def lock(self, suspect: Suspect, policy: LockoutPolicy) -> Lockout:
        """See the port."""

        def work(connection: Connection) -> Lockout:
            shown = _shown(connection, suspect)
            # Of several nodes at once the first locks; the others wait here and then find it locked.
            row = _own(connection, suspect, shown)
            mine = lockouts.c.subject_hash == suspect.subject
            now: int = connection.execute(select(NowMs())).scalar_one()
            if row.until > now:
                return _lockout(row, now)
            level = min(row.level + 1, LEVEL_MAX) if now - row.until < FORGIVEN_MS else 1
            times = {"since": now, "until": now + policy.lock_ms(level)}
            change = update(lockouts).where(mine).values(level=level, shown=shown, **times).returning(lockouts)
            locked = _lockout(connection.execute(change).one(), now)
            connection.execute(delete(lockouts).where(lockouts.c.until < now - KEPT_MS))
            facts = {"kind": suspect.kind.value, "level": level, "until": times["until"]}
            record(connection, "lockout.begin", Entity("lockout", suspect.subject, shown), details=facts)
            return locked

        return await self._database.write(work)

    async def unlock(self, subject: str) -> tuple[Lockout | None, Change]:
        """See the port."""

        def work(connection: Connection) -> tuple[Lockout | None, Change]:
            mine = lockouts.c.subject_hash == subject
            row = connection.execute(select(lockouts).where(mine).with_for_update()).one_or_none()
            now: int = connection.execute(select(NowMs())).scalar_one()
            connection.execute(update(lockouts).where(mine).values(until=now, since=now, level=0))
            change = Change(CacheKey(Kind.UNLOCK, subject), now)
            record_change(connection, change.key, change.revision)
            record(connection, "lockout.end", Entity("lockout", subject, row.shown if row is not None else ""))
            return _lockout(row, now) if row is not None and row.until > now else None, change

        return await self._database.write(work)

    async def all(self, most: int) -> list[Lockout]:
        """See the port."""
        wanted = select(lockouts).order_by(lockouts.c.since.desc(), lockouts.c.subject_hash).limit(most)
        return await self._database.read(lambda connection: _locked(connection, wanted))


def _locked(connection: Connection, wanted: Any) -> list[Lockout]:
    return _rows(connection, wanted.where(lockouts.c.until > NowMs()))


def _rows(connection: Connection, wanted: Any) -> list[Lockout]:
    rows = connection.execute(wanted.add_columns(NowMs().label("now"))).all()
    return [_lockout(row, row.now) for row in rows if row.kind in _KINDS]


def _own(connection: Connection, suspect: Suspect, shown: str) -> Row[Any]:
    """The row, locked; made where there is none."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    blank = {"kind": suspect.kind.value, "shown": shown, "level": 0, "since": 0, "until": 0}
    fresh = dialect.insert(lockouts).values(subject_hash=suspect.subject, **blank)
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
