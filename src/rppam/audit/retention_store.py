"""Forgetting who it was: by age, by order, and not while a legal hold stands.

What is forgotten are words: names and addresses, which stand beside the events. The events, and every proof, stay as
they are. What it does not promise: that a name which somebody wrote into a reason or a description is found.
"""

import uuid
from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlalchemy import Connection, Exists, delete, exists, func, insert, select, update

from rppam.access.accounts.tables import users
from rppam.audit.policy import RETENTION
from rppam.db.engine import NowMs, rows_changed
from rppam.db.store import SqlStore, reads, writes
from rppam.kernel.instant import WallMs
from rppam.ledger.errors import HeldBack, HoldUnknown, NameInUse
from rppam.ledger.events import Retention
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.tables import BATCHES, DAY_MS, audit_holds, audit_marks, audit_words
from rppam.settings.store import SqlSettingsStore

_W: Final = audit_words.c
_H: Final = audit_holds.c
BATCH: Final = 5_000


class Hold(NamedTuple):
    """A legal hold."""

    id: str
    name: str
    """Empty: nothing at all is forgotten."""
    reason: str
    by: str
    made_at: WallMs


class SqlRetention(SqlStore):
    """See the module. Every call raises a ``DatabaseError`` when the database does not answer."""

    @reads
    def holds(self, connection: Connection) -> list[Hold]:
        """Those that stand, the oldest first."""
        rows = connection.execute(select(audit_holds).order_by(_H.made_at, _H.id))
        return [Hold(row.id, row.word, row.reason, row.by_name, WallMs(row.made_at)) for row in rows]

    @writes
    def hold(self, connection: Connection, name: str, reason: str, by: str) -> str:
        """Forget nothing of ``name`` from now on (empty: nothing at all); the hold's id."""
        ident = str(uuid.uuid4())
        row = {"id": ident, "word": name, "reason": reason, "by_name": by[:256], "made_at": NowMs()}
        connection.execute(insert(audit_holds).values(**row))
        record(connection, "ledger.hold", Entity("hold", ident, name), reason=reason)
        return ident

    @writes
    def release(self, connection: Connection, ident: str, reason: str) -> None:
        """Lift a hold. Raises :class:`HoldUnknown`."""
        if rows_changed(connection, delete(audit_holds).where(_H.id == ident)) != 1:
            raise HoldUnknown("no legal hold has this id")
        # What it kept from being pruned is behind the marks.
        connection.execute(update(audit_marks).where(audit_marks.c.name != BATCHES).values(mark=0))
        record(connection, "ledger.release", Entity("hold", ident), reason=reason)

    @writes
    def erase(self, connection: Connection, name: str, reason: str) -> int:
        """Forget a name or an address in all events; in how many places it stood.

        Raises :class:`HeldBack`, and :class:`NameInUse` for an account that still exists.
        """
        if connection.execute(select(_H.id).where(_H.word.in_((name, ""))).limit(1)).first() is not None:
            raise HeldBack("a legal hold stands on it")
        living = func.lower(users.c.name) == name.lower()
        if connection.execute(select(users.c.id).where(living, users.c.deleted_at.is_(None))).first() is not None:
            raise NameInUse("an account of this name still exists")
        gone = rows_changed(connection, delete(audit_words).where(_W.word == name))
        record(connection, "ledger.erase", Entity("ledger"), reason=reason, details={"words": gone})
        return gone

    @writes
    def age(self, connection: Connection, days: Mapping[Retention, int]) -> int:
        """Forget words of events that are older than so many days, a batch of each class; how many there were."""
        gone = {class_.value: forget_aged(connection, class_, count) for class_, count in days.items()}
        if any(gone.values()):
            record(connection, "ledger.age", Entity("ledger"), details=gone)
        return sum(gone.values())


class Ageing:
    """The leader's part."""

    def __init__(self, store: SqlRetention, settings: SqlSettingsStore) -> None:
        self._store, self._settings = store, settings

    async def work(self, _epoch: int) -> None:
        """Forget what is due. Raises a ``DatabaseError``."""
        if days := (await self._settings.value_of(RETENTION)).days():
            while await self._store.age(days) >= BATCH:
                pass


def forget_aged(connection: Connection, class_: Retention, days: int) -> int:
    """Forget a batch of words of a class that are older than so many days; how many there were."""
    # A word stands in events of the day on which it was made, so a day more has to pass.
    old = (_W.retention == class_.value) & (_W.made_at > 0) & (_W.made_at < NowMs() - (days + 1) * DAY_MS)
    due = select(_W.ref).where(old, ~_is_held()).limit(BATCH)
    return rows_changed(connection, delete(audit_words).where(_W.ref.in_(due)))


def _is_held() -> Exists:
    return exists().where(_H.word.in_((_W.word, "")))
