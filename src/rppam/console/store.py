"""Acts that must happen once, in SQL: who has begun one, and what was answered.

A key that was begun and not answered belongs to a node that works on it or has died. After :data:`WORKED_ON_MS`, when
no request can still be worked on, the ledger tells which: every act is recorded in its own transaction, with the id of
its request. What is not there was not done, and may be begun again.

What it does not promise: anything about acts that record nothing, and about those done while the database is away.
"""

from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from rppam.console.errors import ActUnderWay, AnswerLost, KeyReused
from rppam.console.tables import idempotency_keys
from rppam.db.database import Database
from rppam.db.engine import NowMs, now_ms, rows_changed
from rppam.db.store import SqlStore, writes
from rppam.ledger.tables import audit_events

WORKED_ON_MS: Final = 30_000
KEPT_MS: Final = 24 * 3_600_000
_TIDY_EVERY: Final = 10
_K: Final = idempotency_keys.c


class Act(NamedTuple):
    """An act that must happen once."""

    owner: str
    key: str
    """A hash of what the request carries as its key."""
    fingerprint: str
    """Of method, path and body, keyed by that key: another request must not get this one's answer, and who reads the
    table can try out no password that a body may hold."""
    request: str
    """Id of the request that works on it."""


class Kept(NamedTuple):
    """What was answered."""

    status: int
    answer: str | None
    """Sealed; ``None`` where it was not kept."""
    key: str
    """That of the row, which the answer is sealed for."""


class SqlActs(SqlStore):
    """See the module."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._begun = 0

    @writes
    def begin(self, connection: Connection, act: Act, older: Act) -> Kept | None:
        """Begin ``act``: ``None``, or what was answered when it was done before.

        ``older`` is the same act as a node of the release before writes it. Raises :class:`KeyReused`,
        :class:`ActUnderWay`, :class:`AnswerLost`.
        """
        self._tidy(connection)
        there = act
        row = connection.execute(select(idempotency_keys).where(*_mine(act)).with_for_update()).one_or_none()
        if row is None:
            there = older
            # Not locked: what is not there would be, by its neighbours, and there is next to never one.
            row = connection.execute(select(idempotency_keys).where(*_mine(older))).one_or_none()
        if row is None:
            try:
                with connection.begin_nested():
                    connection.execute(insert(idempotency_keys).values(**act._asdict(), **_started(connection)))
            except IntegrityError:
                raise ActUnderWay("another request with this key has just begun") from None
            return None
        if row.fingerprint != there.fingerprint:
            raise KeyReused("this key was used for a request with another method, path or body")
        if row.status is not None:
            return Kept(row.status, row.answer, row.key)
        if now_ms(connection) - row.begun_at < WORKED_ON_MS:
            raise ActUnderWay("the first request with this key has not been answered yet")
        if _recorded(connection, row):
            raise AnswerLost(f"request {row.request} did it, and the node died before it could answer")
        changed = {**act._asdict(), **_started(connection)}
        taken = update(idempotency_keys).where(*_mine(there), _K.request == row.request).values(**changed)
        if rows_changed(connection, taken) != 1:
            raise ActUnderWay("another request with this key has just begun")
        return None

    @writes
    def answered(self, connection: Connection, act: Act, status: int, answer: str | None) -> None:
        """Keep what ``act`` was answered with."""
        mine = (*_mine(act), _K.request == act.request)
        connection.execute(update(idempotency_keys).where(*mine).values(status=status, answer=answer))

    @writes
    def refused(self, connection: Connection, act: Act) -> None:
        """``act`` was refused, so nothing was done: the same request may be tried again."""
        connection.execute(delete(idempotency_keys).where(*_mine(act), _K.request == act.request))

    def _tidy(self, connection: Connection) -> None:
        """Forget what is older than a day, now and then."""
        self._begun += 1
        if self._begun % _TIDY_EVERY == 1:
            connection.execute(delete(idempotency_keys).where(_K.begun_at < NowMs() - KEPT_MS))


def _mine(act: Act) -> tuple[Any, ...]:
    return (_K.owner == act.owner, _K.key == act.key)


def _started(connection: Connection) -> dict[str, Any]:
    newest = select(func.coalesce(func.max(audit_events.c.seq), 0))
    return {"begun_at": now_ms(connection), "ledger_seq": connection.execute(newest).scalar_one()}


def _recorded(connection: Connection, row: Row[Any]) -> bool:
    """Whether the ledger has an event of the request that began it."""
    wanted = audit_events.c.body.contains(f'"request":"{row.request}"', autoescape=True)
    found = select(audit_events.c.seq).where(audit_events.c.seq > row.ledger_seq, wanted).limit(1)
    return connection.execute(found).first() is not None
