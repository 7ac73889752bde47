"""Tags of entries of the vault, and who looks after each."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the column, without a value where nodes of the release before make entries, and the table."""
    op.add_column("vault_entries", sa.Column("owner_id", sa.String(36)))
    op.create_index("ix_vault_entries_owner_id", "vault_entries", ["owner_id"])
    op.create_table(
        "vault_entry_tags",
        sa.Column("entry_id", sa.String(36), sa.ForeignKey("vault_entries.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("tag", sa.String(64), primary_key=True),
    )
    op.create_index("ix_vault_entry_tags_tag", "vault_entry_tags", ["tag"])
