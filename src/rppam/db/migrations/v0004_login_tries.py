"""Leases of tries to sign in that are under way, for the time without Redis."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
step = "contract"  # releases of then work on no other revision than their own
compatible_from = "0004"


def upgrade() -> None:
    """Add the one table."""
    op.create_table(
        "login_tries",
        sa.Column("subject_hash", sa.String(64), nullable=False),
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject_hash", "name", name="pk_login_tries"),
    )
    op.create_index("ix_login_tries_expires_at", "login_tries", ["expires_at"])
