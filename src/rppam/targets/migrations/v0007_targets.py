"""Resources, their tags and host keys, and the privileged accounts on them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "resources",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("name_key", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("address", sa.String(255), nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("description", sa.String(500), nullable=False),
        sa.Column("host_key_policy", sa.String(16), nullable=False),
        sa.Column("legacy_algorithms", sa.Boolean, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_resources"),
        sa.UniqueConstraint("name_key", name="uq_resources_name_key"),
    )
    op.create_table(
        "resource_host_keys",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("resource_id", sa.String(36), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("pinned_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_resource_host_keys"),
        sa.ForeignKeyConstraint(
            ["resource_id"], ["resources.id"], name="fk_resource_host_keys_resource_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("resource_id", "fingerprint", name="uq_resource_host_keys_resource_id"),
    )
    op.create_table(
        "target_accounts",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("resource_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("description", sa.String(500), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_target_accounts"),
        sa.ForeignKeyConstraint(["resource_id"], ["resources.id"], name="fk_target_accounts_resource_id"),
        sa.UniqueConstraint("resource_id", "name", name="uq_target_accounts_resource_id"),
    )
    op.create_index("ix_target_accounts_name", "target_accounts", ["name"])
    _tags("resource_tags", "resource_id", "resources")
    _tags("account_tags", "account_id", "target_accounts")


def _tags(table: str, column: str, of: str) -> None:
    op.create_table(
        table,
        sa.Column(column, sa.String(36), nullable=False),
        sa.Column("tag", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint(column, "tag", name=f"pk_{table}"),
        sa.ForeignKeyConstraint([column], [f"{of}.id"], name=f"fk_{table}_{column}", ondelete="CASCADE"),
    )
    op.create_index(f"ix_{table}_tag", table, ["tag"])
