"""Where the chunks of a recording lie."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add where they lie."""
    op.add_column("recordings", sa.Column("store", sa.String(600), nullable=False, server_default="sql"))
