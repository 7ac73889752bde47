"""The log of changes in SQL (:class:`rppam.ports.changes.ChangeLog`)."""

from typing import Final

from sqlalchemy import Connection, delete, insert, select

from rppam.adapters.sql.database import Database
from rppam.adapters.sql.engine import NowMs
from rppam.adapters.sql.tables import changes
from rppam.domain.cached import CacheKey, Change, Kind
from rppam.ports.changes import KEPT_MS, OVERLAP_MS, Mark

SWEPT_EVERY: Final = 256
"""Old lines are looked for once in so many new ones."""
_KINDS = frozenset(Kind)


def record_change(connection: Connection, key: CacheKey, revision: int) -> None:
    """Write one line, in the transaction that makes the change."""
    line = insert(changes).values(kind=key.kind.value, ident=key.ident, revision=revision, made_at=NowMs())
    made = connection.execute(line.returning(changes.c.id, changes.c.made_at)).one()
    if made.id % SWEPT_EVERY == 0:
        connection.execute(delete(changes).where(changes.c.made_at < made.made_at - KEPT_MS))


class SqlChangeLog:
    """Reads the log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def since(self, mark: Mark) -> tuple[list[Change], Mark]:
        """See :meth:`rppam.ports.changes.ChangeLog.since`."""

        def work(connection: Connection) -> tuple[list[Change], Mark]:
            now: int = connection.execute(select(NowMs())).scalar_one()
            start = mark.made_at_ms - OVERLAP_MS if mark.made_at_ms else now - KEPT_MS
            rows = connection.execute(select(changes).where(changes.c.made_at >= start).order_by(changes.c.id)).all()
            # A kind that a newer release has added concerns nothing here.
            found = [Change(CacheKey(Kind(row.kind), row.ident), row.revision) for row in rows if row.kind in _KINDS]
            return found, Mark(max(mark.made_at_ms, *(row.made_at for row in rows)) if rows else mark.made_at_ms or now)

        return await self._database.read(work)
