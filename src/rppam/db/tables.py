"""The tables, as this release wants them. How an older database gets there stands in ``migrations/versions``.

A test compares the two on both engines. Times are whole milliseconds since 1970.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_HEAD: Final = "0004"
SCHEMA_NEEDED: Final = "0004"
"""The last step that this release cannot do without; contract steps after it wait: see ``schema``."""
"""The newest revision in ``migrations/versions``; they are numbered, so that "newer" can be told."""
VERSION_TABLE: Final = "rppam_schema"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

users = Table(
    "users",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("display_name", String(100), nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("password_changed_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False, server_default="1"),
    Column("auth_epoch", BigInteger, nullable=False, server_default="1"),
    Column("deleted_at", BigInteger),
    Column("totp_secret", String(512)),
    Column("totp_pending", String(512)),
    Column("totp_step", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("name"),
)
"""Accounts. ``name`` is already in its one form (``normalise_name``) and stays taken after a
deletion. ``revision`` grows with every change that a session check has to see; a session counts only while its
``auth_epoch`` is the account's, so raising that ends all sessions at once. TOTP secrets are sealed; ``totp_step`` is
the last time step whose code was used, so that no code is used twice. ``totp_pending`` is one that was begun and not
confirmed; whatever raises ``auth_epoch`` forgets it."""

user_roles = Table(
    "user_roles",
    metadata,
    Column("user_id", String(36), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role", String(32), primary_key=True),
)

backup_codes = Table(
    "backup_codes",
    metadata,
    Column("user_id", String(36), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("code_hash", String(64), primary_key=True),
    Column("used_at", BigInteger),
)
"""One-time codes for who has lost the authenticator. Only hashes of 80 random bits."""

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("token_hash", String(64), nullable=False),
    Column("user_id", String(36), ForeignKey("users.id", ondelete="CASCADE")),
    Column("subject", String(256), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("auth_epoch", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("mfa", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("idle_ms", BigInteger, nullable=False),
    Column("client", String(64), nullable=False),
    Column("agent", String(200), nullable=False),
    Column("node", String(63), nullable=False),
    Column("ended_at", BigInteger),
    Column("ended_why", String(64)),
    UniqueConstraint("token_hash"),
    Index("ix_sessions_user_id", "user_id"),
    Index("ix_sessions_expires_at", "expires_at"),
)
"""Who is signed in. ``id`` is for people (lists, revocation); ``token_hash`` is the SHA-256 of the 256 random bits that
the caller holds. A token made on a host (``rppam token``) has no account and is listed once it was seen. Times by the
database's clock."""

pending_logins = Table(
    "pending_logins",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("user_id", String(36), ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("auth_epoch", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("client", String(64), nullable=False),
    Index("ix_pending_logins_expires_at", "expires_at"),
)
"""The password was right, the second factor is awaited: any node may take it."""

lockouts = Table(
    "lockouts",
    metadata,
    Column("subject_hash", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("shown", String(64), nullable=False),
    Column("level", Integer, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
)
"""Users and addresses with too many failed log-ins. ``level`` grows with each lockout and makes the next one longer."""

limit_counters = Table(
    "limit_counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("text", String(200), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_limit_counters_expires_at", "expires_at"),
)
"""Counters of wrong log-ins, all while Redis cannot count them and every few of a process while it can: a hash of what
is limited, and the same text as there (``rppam.limits.arithmetic``)."""

login_tries = Table(
    "login_tries",
    metadata,
    Column("subject_hash", String(64), primary_key=True),
    Column("name", String(16), primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_login_tries_expires_at", "expires_at"),
)
"""Tries to sign in that are under way while Redis cannot count them: leases of seconds (``arithmetic``)."""

settings = Table(
    "settings",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("value", Text, nullable=False),
    Column("author", String(256), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("node", String(63), nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
"""Hot configuration in force, as JSON; written by the leader only."""

settings_history = Table(
    "settings_history",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Text, nullable=False),
    Column("author", String(256), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("node", String(63), nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
"""Every revision, for looking back and rolling back."""

changes = Table(
    "changes",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("ident", String(128), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Index("ix_changes_made_at", "made_at"),
)
"""What was changed lately (``rppam.cache.model``): how every node hears of it within seconds without Redis. Written
in the transaction of the change itself."""

data_keys = Table(
    "data_keys",
    metadata,
    Column("kid", String(32), primary_key=True),
    Column("wrapped", String(512), nullable=False),
    Column("wrapped_by", String(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
"""Keys that seal secrets in this database, each sealed itself by a key derived from the cluster key."""

fence = Table(
    "fence",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("node", String(63), nullable=False),
    Column("boot_id", String(64), nullable=False),
    Column("claimed_at", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="single_row"),
)
"""One row: the highest epoch ever accepted here, and the life it was accepted from. It never goes down."""

epochs = Table(
    "epochs",
    metadata,
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("node", String(63), nullable=False),
    Column("boot_id", String(64), nullable=False),
    Column("claimed_at", BigInteger, nullable=False),
)
"""Who led when: the newest leaderships, for people."""

cluster_settings = Table(
    "cluster_settings",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(1000), nullable=False),
)

cluster_note = Table(
    "cluster_note",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("text", String(500), nullable=False),
    Column("author", String(64), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("node", String(63), nullable=False),
    Column("written_at", BigInteger, nullable=False),
)
"""Texts that only a leader may write."""
