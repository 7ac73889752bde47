"""The table of the change log."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from rppam.db.tables import metadata

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
