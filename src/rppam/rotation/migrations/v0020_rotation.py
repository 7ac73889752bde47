"""Secrets that are changed on their targets."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "rotation_rules",
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("every_hours", sa.Integer, nullable=False),
        sa.Column("by_entry_id", sa.String(36)),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("without", sa.String(64), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name="pk_rotation_rules"),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["vault_entries.id"], name="fk_rotation_rules_entry_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["by_entry_id"], ["vault_entries.id"], name="fk_rotation_rules_by_entry_id", ondelete="SET NULL"
        ),
    )
    op.create_table(
        "rotations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("target", sa.String(128), nullable=False),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("staged", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.String(63), nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_rotations"),
        sa.ForeignKeyConstraint(["entry_id"], ["vault_entries.id"], name="fk_rotations_entry_id", ondelete="CASCADE"),
    )
    still = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_rotations_open", "rotations", ["entry_id"], unique=True, sqlite_where=still, postgresql_where=still
    )
    op.create_index("ix_rotations_entry_id", "rotations", ["entry_id", "created_at"])
    op.create_index("ix_rotations_not_before", "rotations", ["not_before"], sqlite_where=still, postgresql_where=still)
