"""Accounts, the fence with its history, cluster settings and the operator note."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
step = "contract"  # releases of then work on no other revision than their own
compatible_from = "0001"


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "users",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("display_name", sa.String(100), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("password_changed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )
    op.create_table(
        "user_roles",
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "role", name="pk_user_roles"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user_roles_user_id", ondelete="CASCADE"),
    )
    op.create_table(
        "fence",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        *_leadership(),
        sa.PrimaryKeyConstraint("id", name="pk_fence"),
        sa.CheckConstraint("id = 1", name="ck_fence_single_row"),
    )
    op.create_table("epochs", *_leadership(), sa.PrimaryKeyConstraint("epoch", name="pk_epochs"))
    op.create_table(
        "cluster_settings",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.String(1000), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_cluster_settings"),
    )
    op.create_table(
        "cluster_note",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("author", sa.String(64), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("node", sa.String(63), nullable=False),
        sa.Column("written_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_cluster_note"),
    )


def _leadership() -> list[sa.Column[int] | sa.Column[str]]:
    return [
        sa.Column("epoch", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("node", sa.String(63), nullable=False),
        sa.Column("boot_id", sa.String(64), nullable=False),
        sa.Column("claimed_at", sa.BigInteger, nullable=False),
    ]
