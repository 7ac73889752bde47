"""How far a SIEM target may have been sent events, beside how far they have arrived for certain."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the column."""
    op.add_column("siem_targets", sa.Column("reached", sa.BigInteger, nullable=False, server_default="0"))
