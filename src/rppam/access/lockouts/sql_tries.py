"""Tries to sign in, counted in SQL (``TryStore``): all of them without Redis or while it is away, and every few wrong
ones of each process always.

As exact as in Redis, by the database's clock; some milliseconds a decision instead of a fraction of one, and a write
each. A log-in costs more than that for its password alone; a request in general does not, so nothing else is counted
here. A try under way is a row that lapses; the transaction that decides holds the counters' rows locked meanwhile.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Connection, bindparam, delete, func, select, update

from rppam.access.lockouts.tables import limit_counters, login_tries
from rppam.access.lockouts.tries import LEASE_MS, Booked, Entry, Standing, Watched
from rppam.db.engine import insert_into, now_ms
from rppam.db.errors import DatabaseBusy
from rppam.db.store import SqlStore, reads, writes
from rppam.kernel.instant import US_PER_MS
from rppam.kernel.limit import Limit
from rppam.limits.arithmetic import booked_at, counted_now, reset_us, to_ms

T = TypeVar("T")

SWEPT_AT_ONCE: Final = 100
TRIES: Final = 5
Counts = dict[str, str]


class _Held(NamedTuple):
    """Counters that are locked for one transaction."""

    connection: Connection
    texts: Counts
    now_ms: int

    def wrong(self, one: Watched) -> int:
        return counted_now(one.limit, self.texts[name_of(*one)], self.now_ms * US_PER_MS)[0]

    def book(self, one: Watched, ages_ms: Sequence[int]) -> None:
        name, now_us = name_of(*one), self.now_ms * US_PER_MS
        text = booked_at(one.limit, self.texts[name], now_us, [age * US_PER_MS for age in ages_ms])
        self.texts[name] = text
        expires_ms = self.now_ms + to_ms(reset_us(one.limit, text, now_us))
        change = update(limit_counters).where(limit_counters.c.name == name)
        self.connection.execute(change.values(text=text, expires_at=expires_ms))

    def standing(self, one: Watched) -> Standing:
        return _standing(self.connection, one, self.wrong(one), self.now_ms)


class SqlTries(SqlStore):
    """See the module. Every call raises a ``DatabaseError``, never a ``StoreError``."""

    async def enter(self, watched: Sequence[Watched], name: str) -> Entry:
        def work(held: _Held) -> Entry:
            _drop(held.connection, watched, name)
            found = [held.standing(one) for one in watched]
            if any(now.is_full(one.limit) for one, now in zip(watched, found, strict=True)):
                return Entry(False, tuple(found))
            _put(held.connection, watched, name, held.now_ms)
            return Entry(True, tuple(held.standing(one) for one in watched))

        # A try that waits for others asks again and again: it writes only where there may be room.
        seen = await self.look(watched)
        if any(now.is_full(one.limit) for one, now in zip(watched, seen, strict=True)):
            return Entry(False, tuple(seen))
        return await self._change(watched, work)

    @writes
    def renew(self, connection: Connection, watched: Sequence[Watched], name: str) -> None:
        _put(connection, watched, name, now_ms(connection))

    @writes
    def leave(self, connection: Connection, watched: Sequence[Watched], name: str) -> None:
        _drop(connection, watched, name)

    async def fail(self, watched: Sequence[Watched], name: str) -> Sequence[Standing]:
        def work(held: _Held) -> list[Standing]:
            _drop(held.connection, watched, name)
            for one in watched:
                held.book(one, (0,))
            return [held.standing(one) for one in watched]

        return await self._change(watched, work)

    async def book(self, booked: Sequence[Booked]) -> Sequence[int]:
        """Count wrong tries by their ages, also beyond the limit; how many there are now of each."""

        def work(held: _Held) -> list[int]:
            for one in booked:
                held.book(one.watched, one.ages_ms)
            return [held.wrong(one.watched) for one in booked]

        return await self._change([one.watched for one in booked], work)

    @reads
    def look(self, connection: Connection, watched: Sequence[Watched]) -> Sequence[Standing]:
        now = now_ms(connection)
        wanted = select(limit_counters).where(limit_counters.c.name.in_([name_of(*one) for one in watched]))
        texts = {row.name: row.text for row in connection.execute(wanted)}
        wrong = [counted_now(one.limit, texts.get(name_of(*one)), now * US_PER_MS)[0] for one in watched]
        return [_standing(connection, one, count, now) for one, count in zip(watched, wrong, strict=True)]

    @writes
    def forget(self, connection: Connection, watched: Sequence[Watched]) -> None:
        connection.execute(delete(limit_counters).where(limit_counters.c.name.in_([name_of(*one) for one in watched])))

    async def _change(self, watched: Sequence[Watched], work: Callable[[_Held], T]) -> T:
        names = sorted({name_of(*one) for one in watched})

        def transaction(connection: Connection) -> T:
            texts = _lock(connection, names)
            now = now_ms(connection)
            result = work(_Held(connection, texts, now))
            _sweep(connection, now)
            return result

        return await self.database.write(transaction)


def name_of(limit: Limit, subject: str) -> str:
    text = f"{limit.name}\0{limit.shape.value}\0{limit.period_ms}\0{subject}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _lock(connection: Connection, names: Sequence[str]) -> Counts:
    """The counters, each locked for this transaction; always in the same order, so that none waits for the other."""
    blank = insert_into(connection, limit_counters).values(name=bindparam("counter"), text="", expires_at=0)
    wanted = select(limit_counters).where(limit_counters.c.name.in_(names)).order_by(limit_counters.c.name)
    held: Counts = {}
    for _ in range(TRIES):
        connection.execute(blank.on_conflict_do_nothing(), [{"counter": name} for name in names])
        held = {row.name: row.text for row in connection.execute(wanted.with_for_update())}
        if len(held) == len(names):
            return held
        # Somebody swept one between the two: it is made again.
    raise DatabaseBusy("counters were swept as fast as they were made; nothing was done")


def _standing(connection: Connection, one: Watched, wrong: int, now: int) -> Standing:
    """A row that lapses later than any could was written by a clock that was set back; it counts for nothing."""
    at = login_tries.c.expires_at
    wanted = select(func.count(), func.max(at)).where(
        login_tries.c.subject_hash == one.subject, at > now, at <= now + LEASE_MS
    )
    count, last = connection.execute(wanted).one()
    return Standing(wrong, count, last - now if count else 0)


def _put(connection: Connection, watched: Sequence[Watched], name: str, now: int) -> None:
    fresh = insert_into(connection, login_tries).values(
        subject_hash=bindparam("subject"), name=name, expires_at=now + LEASE_MS
    )
    kept = fresh.on_conflict_do_update(
        index_elements=[login_tries.c.subject_hash, login_tries.c.name], set_={"expires_at": now + LEASE_MS}
    )
    # In one order, so that none waits for the other.
    connection.execute(kept, [{"subject": subject} for subject in sorted({one.subject for one in watched})])


def _drop(connection: Connection, watched: Sequence[Watched], name: str) -> None:
    subjects = [one.subject for one in watched]
    mine = login_tries.c.subject_hash.in_(subjects) & (login_tries.c.name == name)
    connection.execute(delete(login_tries).where(mine))


def _sweep(connection: Connection, now: int) -> None:
    """Delete some that say nothing any more, but none that another transaction has locked."""
    for table, key in ((limit_counters, limit_counters.c.name), (login_tries, login_tries.c.name)):
        over = select(key).where(table.c.expires_at < now).limit(SWEPT_AT_ONCE).with_for_update(skip_locked=True)
        connection.execute(delete(table).where(key.in_(over), table.c.expires_at < now))
