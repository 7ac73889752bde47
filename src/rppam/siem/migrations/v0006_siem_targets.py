"""SIEM targets and their cursors."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "siem_targets",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("url", sa.String(500), nullable=False),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("secret", sa.String(1024)),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("cursor", sa.BigInteger, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("failed_at", sa.BigInteger),
        sa.Column("problem", sa.String(500), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_siem_targets"),
        sa.UniqueConstraint("name", name="uq_siem_targets_name"),
    )
