"""Tokens by which a user logs in at the gateway once."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "ssh_tokens",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("auth_epoch", sa.BigInteger, nullable=False),
        sa.Column("target", sa.String(128), nullable=False),
        sa.Column("account", sa.String(128), nullable=False),
        sa.Column("mfa", sa.Boolean, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("used_from", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ssh_tokens"),
        sa.UniqueConstraint("hash", name="uq_ssh_tokens_hash"),
    )
    op.create_index("ix_ssh_tokens_user", "ssh_tokens", ["user_id", "expires_at"])
