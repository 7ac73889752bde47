"""The tables of the vault. Times are milliseconds since 1970, by the database's clock."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    text,
)

from rppam.db.tables import metadata

vault_keks = Table(
    "vault_keks",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("master", String(16), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("tenant", "version"),
)
"""Keys that wrap data keys, each wrapped by the master key whose fingerprint is ``master``. A retired one is empty."""

vault_folders = Table(
    "vault_folders",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("path", String(400), nullable=False),
    Column("description", String(500), nullable=False),
    Column("revision", BigInteger, nullable=False),
    UniqueConstraint("path"),
)

vault_rights = Table(
    "vault_rights",
    metadata,
    Column("folder_id", String(36), ForeignKey("vault_folders.id", ondelete="CASCADE"), primary_key=True),
    Column("subject_kind", String(8), primary_key=True),
    Column("subject_id", String(64), primary_key=True),
    Column("right_name", String(16), primary_key=True),
    Index("ix_vault_rights_subject_id", "subject_id"),
)

vault_entries = Table(
    "vault_entries",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("folder_id", String(36), ForeignKey("vault_folders.id"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("type", String(16), nullable=False),
    Column("account_id", String(36), ForeignKey("target_accounts.id")),
    Column("description", String(500), nullable=False),
    Column("exclusive", Boolean, nullable=False),
    Column("rotate_after_use", Boolean, nullable=False),
    Column("kill_on_checkin", Boolean, nullable=False),
    Column("reveal", String(16), nullable=False),
    Column("state", String(20), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("owner_id", String(36)),
    UniqueConstraint("folder_id", "name"),
    Index("ix_vault_entries_account_id", "account_id"),
    Index("ix_vault_entries_owner_id", "owner_id"),
)
"""``version`` is the current one of its secret; ``generation`` that of its newest check-out, which only grows;
``owner_id`` the user who looks after it."""

vault_entry_tags = Table(
    "vault_entry_tags",
    metadata,
    Column("entry_id", String(36), ForeignKey("vault_entries.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(64), primary_key=True),
    Index("ix_vault_entry_tags_tag", "tag"),
)

vault_deks = Table(
    "vault_deks",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("entry_id", String(36), ForeignKey("vault_entries.id", ondelete="CASCADE"), nullable=False),
    Column("kek_id", String(36), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_vault_deks_kek_id", "kek_id", "id"),
    Index("ix_vault_deks_entry_id", "entry_id"),
)
"""One key for each version of each entry."""

vault_versions = Table(
    "vault_versions",
    metadata,
    Column("entry_id", String(36), ForeignKey("vault_entries.id", ondelete="CASCADE"), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("dek_id", String(36), nullable=False),
    Column("state", String(16), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("made_by", String(256), nullable=False),
)

vault_fields = Table(
    "vault_fields",
    metadata,
    Column("entry_id", String(36), ForeignKey("vault_entries.id", ondelete="CASCADE"), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("field", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

checkouts = Table(
    "checkouts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("entry_id", String(36), nullable=False),
    Column("entry_name", String(128), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("user_name", String(256), nullable=False),
    Column("reason", String(1000), nullable=False),
    Column("exclusive", Boolean, nullable=False),
    Column("grant_id", String(36), nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("ended_why", String(16), nullable=False),
    Column("ended_by", String(256), nullable=False),
    Index(
        "uq_checkouts_held",
        "entry_id",
        unique=True,
        sqlite_where=text("ended_at IS NULL AND exclusive"),
        postgresql_where=text("ended_at IS NULL AND exclusive"),
    ),
    Index("uq_checkouts_generation", "entry_id", "generation", unique=True),
    Index("ix_checkouts_user_id", "user_id"),
    Index(
        "ix_checkouts_expires_at",
        "expires_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index("ix_checkouts_grant_id", "grant_id"),
)
"""Who has, or had, an entry; kept for ever. Two who hold one exclusive entry are refused by the database itself."""

checkout_waits = Table(
    "checkout_waits",
    metadata,
    Column("entry_id", String(36), ForeignKey("vault_entries.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", String(36), primary_key=True),
    Column("user_name", String(256), primary_key=True),
    Column("place", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Index("ix_checkout_waits_place", "entry_id", "place"),
)
"""Who waits for an exclusive entry, in order of ``place``; who has not asked for a while waits no more."""
