"""Certificates and keys that the SSH authority has revoked."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "ssh_revocations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("word", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("by_name", sa.String(256), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ssh_revocations"),
        sa.UniqueConstraint("kind", "word", name="uq_ssh_revocations_kind"),
    )
