"""The log of changes in SQL: the second way in which a node hears that a cached fact has changed.

Written in the transaction of the change itself, so a change without its line, or a line without its change, does not
exist. Every process that answers requests reads it every two seconds; that is what bounds staleness when Redis' push
channel is broken.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, insert, not_, or_, select

from rppam.cache.model import POLL_MS, CacheKey, Change, Kind
from rppam.cache.tables import changes
from rppam.db.engine import NowMs, now_ms
from rppam.db.errors import DatabaseError
from rppam.db.store import SqlStore, reads
from rppam.kernel.instant import WallMs

log: Final = logging.getLogger("rppam.cache")

FIRST_EVERY_S: Final = 0.1
"""Until the log has been read once nothing that is cached is believed, so the first look is not waited for."""
OVERLAP_MS: Final = 10_000
"""How far back each look goes behind the newest line seen, for transactions that become visible in another order than
their numbers. A transaction that stays open for longer leaves a :class:`Gap`."""
KEPT_MS: Final = 60 * 60_000
"""Older lines are deleted. More than any cached copy lives, with room for clocks that differ; and more than any
transaction stays open, whatever ``database.timeoutMs`` a node has."""
SWEPT_EVERY: Final = 256
"""Old lines are deleted once in this many new ones."""
HOLES_MAX: Final = 1_000
"""Missing numbers that are asked for again. A transaction that was undone leaves one for :data:`KEPT_MS`."""
_KINDS = frozenset(Kind)


class Gap(NamedTuple):
    """A number that no line has, below one that is there: its transaction may still be open, or was undone."""

    number: int
    since_ms: int
    """When it was first missed, by the database's clock."""


class Mark(NamedTuple):
    """How far somebody has read. Nothing was read yet: ``made_at_ms`` is 0."""

    made_at_ms: int = 0
    """Of the newest line seen, by the database's clock."""
    number: int = 0
    """The highest number of a line."""
    holes: tuple[Gap, ...] = ()


class Look(NamedTuple):
    found: list[Change]
    mark: Mark
    now: WallMs
    """What time it is, by the database's clock."""


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


class SqlChangeLog(SqlStore):
    @reads
    def since(self, connection: Connection, mark: Mark) -> Look:
        """All changes that became visible since ``mark``, however long their transactions were open. Changes may come
        twice: those of the last :data:`OVERLAP_MS` do.

        With the first mark: those of the last :data:`KEPT_MS`. Raises a ``DatabaseError``.
        """
        now = now_ms(connection)
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


class ChangeWatch:
    """One process's look at the log, which tells of each change once.

    A look that fails is logged once and made up for by the next, which reads on from where the last good one ended.
    """

    def __init__(
        self,
        changes: SqlChangeLog,
        told: Callable[[Sequence[Change]], object],
        learn: Callable[[WallMs], object] = lambda _: None,
    ) -> None:
        """``told`` gets what is new after each look, which may be nothing; the first time all that is kept.

        ``learn`` gets the database's time, before ``told`` is called.
        """
        self._log, self._told, self._learn = changes, told, learn
        self._mark = Mark()
        self._seen: frozenset[Change] = frozenset()
        self._has_looked = False
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why the last look failed; empty when it did not."""
        return self._problem

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(POLL_MS / 1000 if self._has_looked else FIRST_EVERY_S)

    async def look(self) -> None:
        try:
            found, mark, now = await self._log.since(self._mark)
        except DatabaseError as error:
            if not self._problem and self._has_looked:
                log.warning("the log of changes cannot be read; changes made elsewhere show late here: %s", error)
            self._problem = str(error)
            return
        self._problem = ""
        self._learn(now)
        # Each look goes back behind the last; what it finds there again was told then.
        news = [change for change in found if change not in self._seen]
        self._mark, self._seen, self._has_looked = mark, frozenset(found), True
        self._told(news)


def _unseen(mark: Mark) -> ColumnElement[bool]:
    """Which lines may be new to a reader that has come to ``mark``."""
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
