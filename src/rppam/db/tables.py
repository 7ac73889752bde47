"""The tables of the platform, and the collection that those of the slices join. Times are milliseconds since 1970.

A slice has its tables in its own ``tables`` module. How an older database gets there stand in the migrations
(``steps``); a test compares the two on every engine.
"""

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, MetaData, String, Table

VERSION_TABLE: Final = "rppam_schema"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

data_keys = Table(
    "data_keys",
    metadata,
    Column("kid", String(32), primary_key=True),
    Column("wrapped", String(512), nullable=False),
    Column("wrapped_by", String(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
"""Keys that seal secrets in this database, each sealed itself by a key derived from the cluster key."""

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
"""One row: the highest epoch ever accepted here, and the life it was accepted from. Only an administrator lowers it."""

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
