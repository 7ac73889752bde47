"""The tables of rotation. Times are milliseconds since 1970, by the database's clock."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, text

from rppam.db.tables import metadata

rotation_rules = Table(
    "rotation_rules",
    metadata,
    Column(
        "entry_id", String(36), ForeignKey("vault_entries.id", ondelete="CASCADE"), primary_key=True, nullable=False
    ),
    Column("enabled", Boolean, nullable=False),
    Column("every_hours", Integer, nullable=False),
    Column("by_entry_id", String(36), ForeignKey("vault_entries.id", ondelete="SET NULL")),
    Column("length", Integer, nullable=False),
    Column("without", String(64), nullable=False),
    Column("revision", BigInteger, nullable=False),
)
"""How the secret of an entry is changed. ``every_hours`` 0: not by time. ``by_entry_id``: another account does it."""

rotations = Table(
    "rotations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("entry_id", String(36), ForeignKey("vault_entries.id", ondelete="CASCADE"), nullable=False),
    Column("target", String(128), nullable=False),
    Column("cause", String(16), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("staged", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("problem", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("owner", String(63), nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("blocked_generation", BigInteger),
    Index(
        "uq_rotations_open",
        "entry_id",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index("ix_rotations_entry_id", "entry_id", "created_at"),
    Index(
        "ix_rotations_not_before",
        "not_before",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)
"""Each change of a secret on its target, open or over; one at a time for an entry. Who holds ``generation`` and a lease
that is not over acts; who comes with an older one changes nothing. ``blocked_generation``: that of the entry when this
rotation took it out of everybody's reach; NULL where it did not, because the entry waited for a change already."""
