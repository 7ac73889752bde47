"""The tables of recordings. Times are milliseconds since 1970, by the database's clock."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table, Text

from rppam.db.tables import metadata

recordings = Table(
    "recordings",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("session", String(36), nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("facts", Text, nullable=False),
    Column("sealed_key", String(512), nullable=False),
    Column("state", String(16), nullable=False),
    Column("head", String(64), nullable=False),
    Column("chunks", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("how", String(64), nullable=False),
    Column("generation", BigInteger, nullable=False, server_default="1"),
    Column("output", BigInteger, nullable=False, server_default="0"),
    Column("store", String(600), nullable=False, server_default="sql"),
    Column("hold", String(1000), nullable=False, server_default=""),
    Column("held_by", String(256), nullable=False, server_default=""),
    Index("ix_recordings_session", "session"),
    Index("ix_recordings_user", "user_id"),
)
"""``sealed_key`` opens the chunks, and is sealed itself by a data key. ``head`` is the last hash of the chain, which
begins with that of ``facts``. ``generation``: only the gateway that has this one may write, nobody where it is below 1:
0, where its objects are joined, and less while that goes on; ``output``: bytes of output that are in it. ``store``:
where its chunks lie, ``sql``, ``dir:`` and a path, or ``s3:`` and a URL; then ``sealed`` of a chunk is its place there.
``hold``: why it is not deleted. A deleted one has no key and no chunks any more."""

recording_chunks = Table(
    "recording_chunks",
    metadata,
    Column("recording", String(36), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

recording_watchers = Table(
    "recording_watchers",
    metadata,
    Column("recording", String(36), primary_key=True),
    Column("user_id", String(36), primary_key=True),
    Column("user_name", String(64), nullable=False),
    Column("seen", BigInteger, nullable=False),
)
"""Who watches a recording as it goes on, and when that was last so. A row without a user: its session waits to be
watched before it begins."""
