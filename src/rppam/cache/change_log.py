"""The log of changes in SQL (:class:`rppam.cache.change_log_port.ChangeLog`)."""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, func, insert, not_, or_, select

from rppam.cache.change_log_port import KEPT_MS, OVERLAP_MS, Gap, Look, Mark
from rppam.cache.model import CacheKey, Change, Kind
from rppam.cache.tables import changes
from rppam.db.database import Database
from rppam.db.engine import NowMs
from rppam.kernel.instant import WallMs

SWEPT_EVERY: Final = 256
"""Old lines are looked for once in so many new ones."""
HOLES_MAX: Final = 1_000
"""So many missing numbers are asked for again. A transaction that was undone leaves one for :data:`KEPT_MS`."""
_KINDS = frozenset(Kind)


def record_changes(connection: Connection, made: Sequence[Change]) -> None:
    """Write many lines in one statement, in the transaction that makes the changes."""
    lines = [{"kind": one.key.kind.value, "ident": one.key.ident, "revision": one.revision} for one in made]
    if lines:
        connection.execute(insert(changes).values(made_at=NowMs()), lines)


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

    async def since(self, mark: Mark) -> Look:
        """See :meth:`rppam.cache.change_log_port.ChangeLog.since`."""

        def work(connection: Connection) -> Look:
            now: int = connection.execute(select(NowMs())).scalar_one()
            base, wanted = mark.number, _unseen(mark)
            if not mark.made_at_ms:
                wanted = changes.c.made_at >= now - KEPT_MS
                base = connection.execute(select(func.max(changes.c.id)).where(not_(wanted))).scalar_one() or 0
            rows = connection.execute(select(changes).where(wanted).order_by(changes.c.id)).all()
            # A kind that a newer release has added concerns nothing here.
            found = [Change(CacheKey(Kind(row.kind), row.ident), row.revision) for row in rows if row.kind in _KINDS]
            if not rows:
                return Look(found, mark, WallMs(now))
            newest = max(mark.made_at_ms, *(row.made_at for row in rows))
            holes = _holes(mark, {row.id for row in rows}, base, now)
            return Look(found, Mark(newest, rows[-1].id, holes), WallMs(now))

        return await self._database.read(work)


def _unseen(mark: Mark) -> ColumnElement[bool]:
    """Which lines may be new to whoever has read so far."""
    return or_(
        changes.c.made_at >= mark.made_at_ms - OVERLAP_MS,
        changes.c.id > mark.number,
        changes.c.id.in_([hole.number for hole in mark.holes]),
    )


def _holes(mark: Mark, seen: set[int], base: int, now_ms: int) -> tuple[Gap, ...]:
    """Which numbers are missing now, the newest first: those missed before, and those above ``base``."""
    missing = (number for number in range(max(seen), base, -1) if number not in seen)
    new = [Gap(number, now_ms) for number in islice(missing, HOLES_MAX)]
    old = [hole for hole in mark.holes if hole.number not in seen and now_ms - hole.since_ms < KEPT_MS]
    return tuple([*new, *old][:HOLES_MAX])
