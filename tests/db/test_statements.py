"""Statements are compiled once, however often they are run."""

from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, String, Table, create_engine, select
from sqlalchemy.schema import CreateTable

from rppam.db.engine import NowMs, insert_into

THINGS = Table("things", MetaData(), Column("name", String(8), primary_key=True), Column("at", BigInteger))


def test_a_statement_with_the_clock_of_the_database_is_compiled_once() -> None:
    compiled: dict[Any, Any] = {}
    with create_engine("sqlite://", execution_options={"compiled_cache": compiled}).connect() as connection:
        connection.execute(CreateTable(THINGS), execution_options={"compiled_cache": None})
        for number in range(3):
            row = insert_into(connection, THINGS).values(name=f"n{number}", at=NowMs() + number)
            connection.execute(row.on_conflict_do_nothing())
            late = connection.execute(select(THINGS.c.name).where(THINGS.c.at > NowMs() - 60_000)).scalars().all()
            assert len(late) == number + 1
    assert len(compiled) == 2
