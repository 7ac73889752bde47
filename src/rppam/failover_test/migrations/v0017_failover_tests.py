"""Failover tests and what they write."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "failover_tests",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("leader", sa.String(63), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("by", sa.String(256), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("passed", sa.Boolean),
        sa.Column("verdicts", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("event", sa.String(36), nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_failover_tests"),
    )
    op.create_table(
        "failover_test_writes",
        sa.Column("test_id", sa.String(36), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("test_id", "number", name="pk_failover_test_writes"),
        sa.ForeignKeyConstraint(
            ["test_id"], ["failover_tests.id"], name="fk_failover_test_writes_test_id", ondelete="CASCADE"
        ),
    )
