"""The log of changes: nothing that was committed late is missed, and each look says what time it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select

from rppam.cache.change_log import HOLES_MAX, KEPT_MS, Mark, SqlChangeLog, record_change
from rppam.cache.model import CacheKey, Change, Kind
from rppam.cache.tables import changes
from rppam.db.database import Database
from rppam.db.engine import NowMs, open_engine
from rppam.db.url import parse_database_url

pytestmark = pytest.mark.integration

PATIENT_MS = 600_000
"""The longest ``database.timeoutMs`` that the config takes: no statement is broken off before."""
LATER_MS = 60_000


def key(ident: str) -> CacheKey:
    return CacheKey(Kind.SESSION, ident)


@contextmanager
def transaction(url: str, *, undone: bool = False) -> Iterator[Connection]:
    """One on a connection of its own, of a node that is as patient as can be; committed at the end, or undone."""
    engine = open_engine(parse_database_url(url), PATIENT_MS, lambda _: None)
    try:
        with engine.connect() as connection:
            yield connection
            if not undone:
                connection.commit()
    finally:
        engine.dispose()


async def write(database: Database, ident: str, later_ms: int = 0) -> None:
    """A line that was written so much later."""

    def work(connection: Connection) -> None:
        line = {"kind": Kind.SESSION.value, "ident": ident, "revision": 2, "made_at": NowMs() + later_ms}
        connection.execute(insert(changes).values(**line))

    await database.write(work)


async def test_a_line_is_found_whenever_its_transaction_ends(
    postgresql_url: str, open_database: Callable[..., Any]
) -> None:
    database = await open_database(postgresql_url)
    log = SqlChangeLog(database)
    await write(database, "first")
    mark = (await log.since(Mark())).mark
    with transaction(postgresql_url) as slow:
        record_change(slow, key("slow"), 2)
        await write(database, "a minute later", LATER_MS)
        found, mark, _ = await log.since(mark)
        assert Change(key("a minute later"), 2) in found
        assert Change(key("slow"), 2) not in found
        # Also for a process that starts meanwhile.
        other = (await log.since(Mark())).mark
    for one in (mark, other):
        found, after, _ = await log.since(one)
        assert Change(key("slow"), 2) in found
        assert after.holes == ()
        assert Change(key("slow"), 2) not in (await log.since(after)).found, "told once, or twice, not for ever"


async def test_what_was_undone_is_looked_for_as_long_as_lines_are_kept(
    postgresql_url: str, open_database: Callable[..., Any]
) -> None:
    database = await open_database(postgresql_url)
    log = SqlChangeLog(database)
    await write(database, "first")
    with transaction(postgresql_url, undone=True) as connection:
        record_change(connection, key("undone"), 2)
    await write(database, "third")
    mark = (await log.since(Mark())).mark
    [hole] = mark.holes
    assert hole.number == mark.number - 1
    assert (await log.since(mark)).mark.holes == (hole,)
    old = mark._replace(holes=(hole._replace(since_ms=hole.since_ms - KEPT_MS),))
    assert (await log.since(old)).mark.holes == ()


async def test_numbers_that_were_never_used_cost_bounded_memory(database: Database) -> None:
    log = SqlChangeLog(database)
    await write(database, "first")
    mark = (await log.since(Mark())).mark
    line = {"id": 10_000_000, "kind": Kind.SESSION.value, "ident": "far", "revision": 1, "made_at": NowMs()}
    await database.write(lambda connection: connection.execute(insert(changes).values(**line)).close())
    found, mark, _ = await log.since(mark)
    assert Change(key("far"), 1) in found
    assert len(mark.holes) == HOLES_MAX
    assert Change(key("far"), 1) in (await log.since(mark)).found


async def test_an_empty_log_is_read_from_its_beginning_until_there_is_a_line(database: Database) -> None:
    log = SqlChangeLog(database)
    found, mark, _ = await log.since(Mark())
    assert (found, mark) == ([], Mark())
    await write(database, "written long before it was committed", -KEPT_MS // 2)
    found, mark, _ = await log.since(mark)
    assert len(found) == 1
    await database.write(lambda connection: connection.execute(delete(changes)).close())
    assert (await log.since(mark)).mark == mark


async def test_each_look_says_what_time_it_is_for_the_database(database: Database) -> None:
    def now(connection: Connection) -> int:
        found: int = connection.execute(select(NowMs())).scalar_one()
        return found

    log = SqlChangeLog(database)
    before = await database.read(now)
    said = (await log.since(Mark())).now
    assert before <= said <= await database.read(now)
