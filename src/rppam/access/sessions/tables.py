"""The table of sessions. Times are milliseconds since 1970, by the database's clock."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, String, Table, UniqueConstraint

from rppam.db.tables import metadata

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
