"""The tables of failover tests. Times are milliseconds since 1970."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from rppam.db.tables import metadata

failover_tests = Table(
    "failover_tests",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("method", String(16), nullable=False),
    Column("leader", String(63), nullable=False),
    Column("state", String(16), nullable=False),
    Column("by", String(256), nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("passed", Boolean),
    Column("verdicts", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("event", String(36), nullable=False),
    Column("report", Text, nullable=False),
)

failover_test_writes = Table(
    "failover_test_writes",
    metadata,
    Column("test_id", String(36), nullable=False),
    Column("number", Integer, nullable=False),
    PrimaryKeyConstraint("test_id", "number"),
    ForeignKeyConstraint(["test_id"], ["failover_tests.id"], ondelete="CASCADE"),
)
"""What a running test has written, to be read again after the fault; gone when it is over."""
