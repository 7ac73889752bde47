"""What a check of a session needs to know of an account, from SQL, and how a change of it becomes known.

Whoever changes an account calls :func:`raise_user` in the same transaction, and publishes the copy after the commit.
"""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update

from rppam.access.accounts.model import AccountRole
from rppam.access.accounts.tables import user_roles, users
from rppam.access.sessions import StoredFacts, UserFacts, user_bytes
from rppam.cache.change_log import record_change, record_changes
from rppam.cache.model import LIFE_MS_MAX, CacheKey, Change, Copy, Kind
from rppam.db.database import Database

_ROLES = frozenset(AccountRole)
_RAISES: Final = {"revision": users.c.revision + 1}
_ENDS_SESSIONS: Final = _RAISES | {"auth_epoch": users.c.auth_epoch + 1, "totp_pending": None}
"""An enrolment that was begun ends with the sessions: whoever began it may be whom they are ended for."""


def raise_user(connection: Connection, user_id: str, *, ends_sessions: bool = False) -> Copy:
    """Give the account a new revision and say so in the log of changes; the new facts, for the cache.

    ``ends_sessions`` raises ``auth_epoch`` as well. The account must exist.
    """
    change = update(users).where(users.c.id == user_id).values(_ENDS_SESSIONS if ends_sessions else _RAISES)
    revision: int = connection.execute(change.returning(users.c.revision)).scalar_one()
    record_change(connection, CacheKey(Kind.USER, user_id), revision)
    copy = user_copy(connection, user_id)
    assert copy is not None
    return copy


def raise_everybody(connection: Connection) -> tuple[StoredFacts, ...]:
    """End all sessions of every account that is not deleted, and all that begin under what was read before; the new
    facts. As :func:`raise_user` for each, in as many statements for ten thousand accounts as for one."""
    change = update(users).where(users.c.deleted_at.is_(None)).values(_ENDS_SESSIONS).returning(users)
    rows = connection.execute(change).all()
    record_changes(connection, [Change(CacheKey(Kind.USER, row.id), row.revision) for row in rows])
    held: dict[str, set[str]] = {row.id: set() for row in rows}
    # All of them, since no database takes any number of ids in a question; read after the rows, as in user_copy.
    for one in connection.execute(select(user_roles)):
        if one.user_id in held:
            held[one.user_id].add(one.role)
    return tuple(StoredFacts(_facts(row, held[row.id]), row.revision) for row in rows)


def user_copy(connection: Connection, user_id: str) -> Copy | None:
    """The account's facts as they stand, with their revision."""
    row = connection.execute(select(users).where(users.c.id == user_id)).one_or_none()
    if row is None:
        return None
    # Read after the row: roles may be newer than the revision they are told with, never older.
    held = connection.execute(select(user_roles.c.role).where(user_roles.c.user_id == user_id)).scalars()
    return Copy(row.revision, user_bytes(_facts(row, held)))


def _facts(row: Row[Any], held: Iterable[str]) -> UserFacts:
    """What a row of ``users`` says."""
    return UserFacts(
        id=row.id,
        name=row.name,
        # A role that this release does not know grants nothing here.
        roles=_ROLES.intersection(held),
        disabled=row.disabled or row.deleted_at is not None,
        auth_epoch=row.auth_epoch,
        has_mfa=row.totp_secret is not None,
    )


class SqlUserFacts:
    """Asks SQL for the cache."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, user_id: str) -> tuple[Copy, int] | None:
        """The ``load`` of :meth:`rppam.cache.ports.SharedCache.reader` for :attr:`Kind.USER`."""
        copy = await self._database.read(lambda connection: user_copy(connection, user_id))
        return None if copy is None else (copy, LIFE_MS_MAX)
