"""What stays of pruned events, the files that they were exported to, and how far pruning has come."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "audit_archived",
        sa.Column("leaf", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("writer", sa.String(36), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("leaf", name="pk_audit_archived"),
    )
    op.create_table(
        "audit_archives",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("file", sa.String(256), nullable=False),
        sa.Column("by_name", sa.String(256), nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_archives"),
    )
    op.create_table(
        "audit_marks",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("mark", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_audit_marks"),
    )
