"""Statements are compiled once, however often they are run, and PostgreSQL plans them once."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import BigInteger, Column, Connection, MetaData, String, Table, create_engine, insert, select, text
from sqlalchemy.schema import CreateTable

from rppam.db.engine import NowMs, insert_into

THINGS = Table("things", MetaData(), Column("name", String(8), primary_key=True), Column("at", BigInteger))


def test_a_statement_with_the_clock_of_the_database_is_compiled_once() -> None:
    compiled: dict[Any, Any] = {}
    engine = create_engine("sqlite://", execution_options={"compiled_cache": compiled})
    with engine.connect() as connection:
        connection.execute(CreateTable(THINGS), execution_options={"compiled_cache": None})
        for number in range(3):
            row = insert_into(connection, THINGS).values(name=f"n{number}", at=NowMs() + number)
            connection.execute(row.on_conflict_do_nothing())
            late = connection.execute(select(THINGS.c.name).where(THINGS.c.at > NowMs() - 60_000)).scalars().all()
            assert len(late) == number + 1
    engine.dispose()  # a database in memory keeps its connection, and the newest Python warns where it is collected
    assert len(compiled) == 2


@pytest.mark.integration
async def test_a_planned_statement_survives_what_others_do_to_its_table(
    postgresql_url: str, open_database: Callable[..., Any]
) -> None:
    """A newer node adds a column; a restore drops the table and makes it again."""
    database = await open_database(postgresql_url)

    def work(connection: Connection) -> tuple[int, int]:
        connection.execute(insert(THINGS).values(name="n", at=1))
        count = len(connection.execute(select(THINGS.c.name, THINGS.c.at)).all())
        planned = connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one()
        connection.execute(text("DELETE FROM things"))
        return count, planned

    made = "CREATE TABLE things (name VARCHAR(8), at BIGINT)"
    with psycopg.connect(postgresql_url, autocommit=True) as other:
        other.execute(made)
        found = [await database.write(work) for _ in range(30)]
        assert found[0] == (1, 0)
        assert max(planned for _, planned in found) >= 2
        for change in ("ALTER TABLE things ADD COLUMN more TEXT", f"DROP TABLE things; {made}"):
            other.execute(change)
            assert [(await database.write(work))[0] for _ in range(10)] == [1] * 10
