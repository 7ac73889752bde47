"""The table of SIEM targets. Times are milliseconds since 1970."""

from sqlalchemy import BigInteger, Boolean, Column, String, Table, Text, UniqueConstraint

from rppam.db.tables import metadata

siem_targets = Table(
    "siem_targets",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("format", String(16), nullable=False),
    Column("url", String(500), nullable=False),
    Column("options", Text, nullable=False),
    Column("secret", String(1024)),
    Column("enabled", Boolean, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("cursor", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("failed_at", BigInteger),
    Column("problem", String(500), nullable=False),
    Column("reached", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("name"),
)
"""``cursor``: index of the first event whose delivery is not proved yet; ``reached``: of the first that was never sent.
``secret`` is sealed by a data key.
``problem`` is why the last try failed; empty when it did not."""
