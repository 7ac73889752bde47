"""The table of the operator's note."""

from sqlalchemy import BigInteger, Column, String, Table

from rppam.db.tables import metadata

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
