"""Accounts in the order that they are listed in: by name, then by the name of their resource, as one index.

The database itself keeps the name beside the account, so that nodes of an older release keep it, too.
"""

import sqlalchemy as sa
from alembic import op

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


def upgrade() -> None:
    """Add the column, fill it, and have it followed."""
    op.add_column("target_accounts", sa.Column("resource_key", sa.String(128), nullable=False, server_default=""))
    op.execute(
        "UPDATE target_accounts SET resource_key = "
        "(SELECT name_key FROM resources WHERE resources.id = target_accounts.resource_id)"
    )
    op.create_index("ix_target_accounts_order", "target_accounts", ["name", "resource_key"])
    connection = op.get_bind()
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        connection.exec_driver_sql(statement)
