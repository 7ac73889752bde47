"""Recordings that several gateways write one after the other."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add who may write, and how much output is in it."""
    op.add_column("recordings", sa.Column("generation", sa.BigInteger, nullable=False, server_default="1"))
    op.add_column("recordings", sa.Column("output", sa.BigInteger, nullable=False, server_default="0"))
