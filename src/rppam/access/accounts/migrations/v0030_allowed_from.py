"""Where an account may log in from."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the column; empty, as nodes of the release before leave it, is anywhere."""
    op.add_column("users", sa.Column("allowed_from", sa.String(2000), nullable=False, server_default=""))
