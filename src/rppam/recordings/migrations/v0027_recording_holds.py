"""Why a recording is kept, and who said so."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the two."""
    op.add_column("recordings", sa.Column("hold", sa.String(1000), nullable=False, server_default=""))
    op.add_column("recordings", sa.Column("held_by", sa.String(256), nullable=False, server_default=""))
