"""Limits counted in SQL (:class:`rppam.ports.limits.LimitStore`): for log-ins while Redis is away, or without Redis.

The same oracle, the same exactness, by the database's clock; some milliseconds a decision instead of a fraction of
one, and a write each. A log-in costs more than that for its password alone; a request in general does not, so nothing
else is counted here.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from rppam.adapters.sql.database import Database
from rppam.adapters.sql.engine import NowMs, rows_changed
from rppam.adapters.sql.tables import limit_counters
from rppam.core.limits import give_back, merged, reset_us, take, to_ms
from rppam.domain.errors.database import DatabaseBusy
from rppam.domain.instant import US_PER_MS
from rppam.domain.limit import Charge, Decision, Limit

T = TypeVar("T")

SWEPT_AT_ONCE: Final = 100
TRIES: Final = 5
Counts = dict[str, str]


class SqlLimits:
    """See the module. Every call raises a :class:`~rppam.domain.errors.database.DatabaseError`, never a StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, charges: Sequence[Charge]) -> Decision:
        """See the port. Raises ``ValueError`` as :func:`rppam.core.limits.merged` does."""
        charges = merged(charges)

        def work(now_us: int, held: Counts) -> tuple[Decision, dict[str, str | None]]:
            names = [name_of(one.limit, one.subject) for one in charges]
            taken = take(charges, [held[name] for name in names], now_us)
            changed = {name: text for name, text in zip(names, taken.texts, strict=True) if text != held[name]}
            return taken.decision, {**changed}

        return await self._change(charges, work)

    async def give_back(self, charges: Sequence[Charge]) -> None:
        """See the port."""
        charges = merged(charges)

        def work(now_us: int, held: Counts) -> tuple[None, dict[str, str | None]]:
            named = {name_of(one.limit, one.subject): one for one in charges}
            return None, {name: give_back(one.limit, held[name], now_us, one.cost) for name, one in named.items()}

        await self._change(charges, work)

    async def reset(self, limits: Sequence[Limit], subject: str) -> None:
        """See the port."""
        names = [name_of(limit, subject) for limit in limits]
        gone = delete(limit_counters).where(limit_counters.c.name.in_(names))
        await self._database.write(lambda connection: rows_changed(connection, gone))

    async def _change(
        self, charges: Sequence[Charge], work: Callable[[int, Counts], tuple[T, dict[str, str | None]]]
    ) -> T:
        limits = {name_of(one.limit, one.subject): one.limit for one in charges}

        def transaction(connection: Connection) -> T:
            held = _lock(connection, sorted(limits))
            now_us = connection.execute(select(NowMs())).scalar_one() * US_PER_MS
            result, after = work(now_us, held)
            for name, text in after.items():
                # A row without a text is swept like any other that has expired.
                expires_ms = now_us // US_PER_MS + to_ms(reset_us(limits[name], text, now_us))
                change = update(limit_counters).where(limit_counters.c.name == name)
                connection.execute(change.values(text=text or "", expires_at=expires_ms))
            _sweep(connection, now_us // US_PER_MS)
            return result

        return await self._database.write(transaction)


def name_of(limit: Limit, subject: str) -> str:
    """The row of one counter."""
    text = f"{limit.name}\0{limit.shape.value}\0{limit.period_ms}\0{subject}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _lock(connection: Connection, names: Sequence[str]) -> Counts:
    """The counters, each locked for this transaction; always in the same order, so that none waits for the other."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    blank = dialect.insert(limit_counters).values(name=bindparam("counter"), text="", expires_at=0)
    wanted = select(limit_counters).where(limit_counters.c.name.in_(names)).order_by(limit_counters.c.name)
    held: Counts = {}
    for _ in range(TRIES):
        connection.execute(blank.on_conflict_do_nothing(), [{"counter": name} for name in names])
        held = {row.name: row.text for row in connection.execute(wanted.with_for_update())}
        if len(held) == len(names):
            return held
        # Somebody swept one between the two: it is made again.
    raise DatabaseBusy("counters were swept as fast as they were made; nothing was done")


def _sweep(connection: Connection, now_ms: int) -> None:
    """Delete some that say nothing any more, but none that another transaction has locked."""
    over = select(limit_counters.c.name).where(limit_counters.c.expires_at < now_ms).limit(SWEPT_AT_ONCE)
    unlocked = over.with_for_update(skip_locked=True)
    connection.execute(delete(limit_counters).where(limit_counters.c.name.in_(unlocked)))
