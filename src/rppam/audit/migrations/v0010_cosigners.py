"""The cosigners of the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "audit_cosigners",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("key", sa.String(400), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("line", sa.String(600), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("why", sa.String(600), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_audit_cosigners"),
    )
