"""The tables of targets. Times are milliseconds since 1970."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from rppam.db.tables import metadata

resources = Table(
    "resources",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("name_key", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("address", String(255), nullable=False),
    Column("port", Integer, nullable=False),
    Column("description", String(500), nullable=False),
    Column("host_key_policy", String(16), nullable=False),
    Column("legacy_algorithms", Boolean, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("name_key"),
)
"""``name_key``: the name in lower case, which is what is unique."""

resource_tags = Table(
    "resource_tags",
    metadata,
    Column("resource_id", String(36), ForeignKey("resources.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(64), primary_key=True),
    Index("ix_resource_tags_tag", "tag"),
)

resource_host_keys = Table(
    "resource_host_keys",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("resource_id", String(36), ForeignKey("resources.id", ondelete="CASCADE"), nullable=False),
    Column("type", String(64), nullable=False),
    Column("key", Text, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("pinned_at", BigInteger, nullable=False),
    UniqueConstraint("resource_id", "fingerprint"),
)
"""Host keys and certificates that are believed; nothing else is."""

target_accounts = Table(
    "target_accounts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("resource_id", String(36), ForeignKey("resources.id"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("description", String(500), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("resource_key", String(128), nullable=False, server_default=""),
    UniqueConstraint("resource_id", "name"),
    Index("ix_target_accounts_name", "name"),
    Index("ix_target_accounts_order", "name", "resource_key"),
)
"""Privileged accounts on resources. What refers to one keeps it and its resource from being deleted.

``resource_key`` is the resource's ``name_key``, which triggers of the database keep beside it, for the order of lists.
"""

account_tags = Table(
    "account_tags",
    metadata,
    Column("account_id", String(36), ForeignKey("target_accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(64), primary_key=True),
    Index("ix_account_tags_tag", "tag"),
)
