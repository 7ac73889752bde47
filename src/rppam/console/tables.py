"""The table of acts that must happen once. Times are milliseconds since 1970, by the database's clock."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from rppam.db.tables import metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", String(64), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("request", String(64), nullable=False),
    Column("ledger_seq", BigInteger, nullable=False),
    Column("begun_at", BigInteger, nullable=False),
    Column("status", Integer),
    Column("answer", Text),
    Index("ix_idempotency_keys_begun_at", "begun_at"),
)
"""``owner`` is the account or the session. ``request`` is the id of the request that works on it, ``ledger_seq`` the
newest event when that began: what it did stands behind it. ``answer`` is sealed; NULL where it was not kept."""
