"""Whether it is a rotation that keeps an entry from being had, or a use before it."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the column; NULL, as nodes of the release before leave it, keeps an entry until its secret is changed."""
    op.add_column("rotations", sa.Column("blocked_generation", sa.BigInteger()))
