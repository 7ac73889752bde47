"""When words of the ledger were written, for events of which class; and legal holds."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("audit_words", sa.Column("retention", sa.String(16), nullable=False, server_default=""))
    op.add_column("audit_words", sa.Column("made_at", sa.BigInteger, nullable=False, server_default="0"))
    op.create_index("ix_audit_words_made_at", "audit_words", ["retention", "made_at"])
    op.create_table(
        "audit_holds",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("word", sa.String(256), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("by_name", sa.String(256), nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_holds"),
    )
