"""The tables of hot configuration."""

from sqlalchemy import BigInteger, Column, String, Table, Text

from rppam.db.tables import metadata

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
