"""The tables of notifications. Times are milliseconds since 1970."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from rppam.db.tables import metadata

notification_channels = Table(
    "notification_channels",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("url", String(500), nullable=False),
    Column("options", Text, nullable=False),
    Column("secret", String(1024)),
    Column("enabled", Boolean, nullable=False),
    Column("revision", BigInteger, nullable=False),
    UniqueConstraint("name"),
)
"""``secret`` is sealed by a data key."""

notifications = Table(
    "notifications",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("channel_id", String(36), ForeignKey("notification_channels.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("next_try_at", BigInteger),
    Column("tries", Integer, nullable=False),
    Column("sent_at", BigInteger),
    Column("problem", String(500), nullable=False),
    Index("ix_notifications_next_try_at", "next_try_at"),
    Index("ix_notifications_sent_at", "sent_at"),
)
"""The outbox. ``next_try_at`` is null once it was sent, or given up."""
