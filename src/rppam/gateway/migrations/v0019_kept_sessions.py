"""Sessions with targets that outlive their gateway."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add what opens the holder, what records it, and since when nobody is attached."""
    for column in (
        sa.Column("holder", sa.Text, nullable=False, server_default=""),
        sa.Column("recording", sa.String(36), nullable=False, server_default=""),
        sa.Column("detached", sa.BigInteger),
        sa.Column("keep_ms", sa.BigInteger, nullable=False, server_default="0"),
    ):
        op.add_column("access_sessions", column)
