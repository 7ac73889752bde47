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
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

SCHEMA_HEAD: Final = "0001"
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
    UniqueConstraint("name"),
)
"""Accounts. ``name`` is already in its one form (:func:`rppam.domain.account.normalise_name`)."""

user_roles = Table(
    "user_roles",
    metadata,
    Column("user_id", String(36), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role", String(32), primary_key=True),
)

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
