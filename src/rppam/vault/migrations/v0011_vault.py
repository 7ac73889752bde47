"""The vault: keys, folders and rights, entries with their versions, check-outs and who waits for one."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the tables."""
    _keys_and_folders()
    _entries()
    _secrets()
    _checkouts()


def _keys_and_folders() -> None:
    op.create_table(
        "vault_keks",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("master", sa.String(16), nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_vault_keks"),
        sa.UniqueConstraint("tenant", "version", name="uq_vault_keks_tenant"),
    )
    op.create_table(
        "vault_folders",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("path", sa.String(400), nullable=False),
        sa.Column("description", sa.String(500), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_vault_folders"),
        sa.UniqueConstraint("path", name="uq_vault_folders_path"),
    )
    op.create_table(
        "vault_rights",
        sa.Column("folder_id", sa.String(36), nullable=False),
        sa.Column("subject_kind", sa.String(8), nullable=False),
        sa.Column("subject_id", sa.String(64), nullable=False),
        sa.Column("right_name", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("folder_id", "subject_kind", "subject_id", "right_name", name="pk_vault_rights"),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["vault_folders.id"], name="fk_vault_rights_folder_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_vault_rights_subject_id", "vault_rights", ["subject_id"])


def _entries() -> None:
    op.create_table(
        "vault_entries",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("folder_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("account_id", sa.String(36)),
        sa.Column("description", sa.String(500), nullable=False),
        sa.Column("exclusive", sa.Boolean, nullable=False),
        sa.Column("rotate_after_use", sa.Boolean, nullable=False),
        sa.Column("kill_on_checkin", sa.Boolean, nullable=False),
        sa.Column("reveal", sa.String(16), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_vault_entries"),
        sa.ForeignKeyConstraint(["folder_id"], ["vault_folders.id"], name="fk_vault_entries_folder_id"),
        sa.ForeignKeyConstraint(["account_id"], ["target_accounts.id"], name="fk_vault_entries_account_id"),
        sa.UniqueConstraint("folder_id", "name", name="uq_vault_entries_folder_id"),
    )
    op.create_index("ix_vault_entries_account_id", "vault_entries", ["account_id"])


def _secrets() -> None:
    op.create_table(
        "vault_deks",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("kek_id", sa.String(36), nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_vault_deks"),
        sa.ForeignKeyConstraint(["entry_id"], ["vault_entries.id"], name="fk_vault_deks_entry_id", ondelete="CASCADE"),
    )
    op.create_index("ix_vault_deks_entry_id", "vault_deks", ["entry_id"])
    op.create_index("ix_vault_deks_kek_id", "vault_deks", ["kek_id", "id"])
    op.create_table(
        "vault_versions",
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("version", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("dek_id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("made_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "version", name="pk_vault_versions"),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["vault_entries.id"], name="fk_vault_versions_entry_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "vault_fields",
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("version", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("field", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "version", "field", name="pk_vault_fields"),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["vault_entries.id"], name="fk_vault_fields_entry_id", ondelete="CASCADE"
        ),
    )


def _checkouts() -> None:
    op.create_table(
        "checkouts",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("entry_name", sa.String(128), nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("user_name", sa.String(256), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("exclusive", sa.Boolean, nullable=False),
        sa.Column("grant_id", sa.String(36), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_why", sa.String(16), nullable=False),
        sa.Column("ended_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_checkouts"),
    )
    op.create_index(
        "ix_checkouts_expires_at",
        "checkouts",
        ["expires_at"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_checkouts_grant_id", "checkouts", ["grant_id"])
    op.create_index("ix_checkouts_user_id", "checkouts", ["user_id"])
    op.create_index("uq_checkouts_generation", "checkouts", ["entry_id", "generation"], unique=True)
    op.create_index(
        "uq_checkouts_held",
        "checkouts",
        ["entry_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL AND exclusive"),
        postgresql_where=sa.text("ended_at IS NULL AND exclusive"),
    )
    op.create_table(
        "checkout_waits",
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("user_name", sa.String(256), nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "user_id", "user_name", name="pk_checkout_waits"),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["vault_entries.id"], name="fk_checkout_waits_entry_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_checkout_waits_place", "checkout_waits", ["entry_id", "place"])
