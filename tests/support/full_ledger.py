"""A ledger that takes no event while all else of the database works: a trigger in the real database says no."""

from sqlalchemy import Connection

from rppam.db.database import Database

WHY = "the ledger takes nothing"
_SQLITE = (
    f"CREATE TRIGGER no_events BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, '{WHY}'); END",
    "DROP TRIGGER no_events",
)
_POSTGRESQL = (
    f"CREATE FUNCTION no_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{WHY}'; END $$; "
    "CREATE TRIGGER no_events BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION no_events()",
    "DROP FUNCTION no_events CASCADE",
)


async def fill(database: Database, *, full: bool) -> None:
    """Let it take no event, or events again."""

    def work(connection: Connection) -> None:
        statements = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL
        connection.exec_driver_sql(statements[0 if full else 1]).close()

    await database.write(work)
