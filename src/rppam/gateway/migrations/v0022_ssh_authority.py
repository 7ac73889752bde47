"""The authority that signs certificates of SSH users."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "ssh_authorities",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("public", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_ssh_authorities"),
    )
