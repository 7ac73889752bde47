"""Long lists: accounts in the order that they are listed in as one index, and parts of words by trigrams.

The order is by name, then by the name of the resource. The database itself keeps that beside the account, so that nodes
of an older release keep it, too. Trigrams are of PostgreSQL's own extension pg_trgm; where it is not installed, or this
account may not add it, a search goes on looking at every row.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import ProgrammingError

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
step = "expand"

_SQLITE = (
    """CREATE TRIGGER target_accounts_key AFTER INSERT ON target_accounts BEGIN
         UPDATE target_accounts SET resource_key = (SELECT name_key FROM resources WHERE id = NEW.resource_id)
         WHERE id = NEW.id;
       END""",
    """CREATE TRIGGER resources_key AFTER UPDATE OF name_key ON resources BEGIN
         UPDATE target_accounts SET resource_key = NEW.name_key WHERE resource_id = NEW.id;
       END""",
)
# The lock has a new account wait for a resource that is being renamed, and then see its new name.
_POSTGRESQL = (
    """CREATE FUNCTION target_accounts_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         NEW.resource_key := COALESCE(
           (SELECT name_key FROM resources WHERE id = NEW.resource_id FOR KEY SHARE), '');
         RETURN NEW;
       END $$""",
    """CREATE TRIGGER target_accounts_key BEFORE INSERT ON target_accounts
       FOR EACH ROW EXECUTE FUNCTION target_accounts_key()""",
    """CREATE FUNCTION resources_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         UPDATE target_accounts SET resource_key = NEW.name_key WHERE resource_id = NEW.id;
         RETURN NULL;
       END $$""",
    """CREATE TRIGGER resources_key AFTER UPDATE OF name_key ON resources
       FOR EACH ROW EXECUTE FUNCTION resources_key()""",
)
_SEARCHED = {
    "resources": ("name_key", "address", "description"),
    "target_accounts": ("resource_key", "name", "description"),
    "vault_entries": ("name", "description"),
}
_AVAILABLE = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'"


def upgrade() -> None:
    """Add the column, fill it, have it followed, and add the indexes."""
    op.add_column("target_accounts", sa.Column("resource_key", sa.String(128), nullable=False, server_default=""))
    op.execute(
        "UPDATE target_accounts SET resource_key = "
        "(SELECT name_key FROM resources WHERE resources.id = target_accounts.resource_id)"
    )
    op.create_index("ix_target_accounts_order", "target_accounts", ["name", "resource_key"])
    connection = op.get_bind()
    is_sqlite = connection.dialect.name == "sqlite"
    for statement in _SQLITE if is_sqlite else _POSTGRESQL:
        connection.exec_driver_sql(statement)
    if not is_sqlite and connection.exec_driver_sql(_AVAILABLE).scalar_one():
        _add_trigrams(connection)


def _add_trigrams(connection: sa.Connection) -> None:
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            for table, columns in _SEARCHED.items():
                words = ", ".join(f"{column} gin_trgm_ops" for column in columns)
                connection.exec_driver_sql(f"CREATE INDEX ix_trgm_{table} ON {table} USING gin ({words})")
    except ProgrammingError:
        return  # it may not be added, or lies where this account does not look
