"""The tables of lockouts, and of what counts wrong log-ins without Redis."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from rppam.db.tables import metadata

lockouts = Table(
    "lockouts",
    metadata,
    Column("subject_hash", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("shown", String(64), nullable=False),
    Column("level", Integer, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
)
"""Users and addresses with too many failed log-ins. ``level`` grows with each lockout and makes the next one longer."""

limit_counters = Table(
    "limit_counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("text", String(200), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_limit_counters_expires_at", "expires_at"),
)
"""Counters of wrong log-ins, all while Redis cannot count them and every few of a process while it can: a hash of what
is limited, and the same text as there (``rppam.limits.arithmetic``)."""

login_tries = Table(
    "login_tries",
    metadata,
    Column("subject_hash", String(64), primary_key=True),
    Column("name", String(16), primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_login_tries_expires_at", "expires_at"),
)
"""Tries to sign in that are under way while Redis cannot count them: leases of seconds (``arithmetic``)."""
