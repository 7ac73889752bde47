"""The tables of the ledger. Times are milliseconds since 1970, by the database's clock."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from rppam.db.tables import metadata

DAY_MS = 24 * 60 * 60 * 1000

audit_events = Table(
    "audit_events",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False),
    Column("leaf", BigInteger),
    Column("hash", String(64), nullable=False),
    Column("writer", String(36), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("action", String(64), nullable=False),
    Column("actor", String(43), nullable=False),
    Column("object_kind", String(32), nullable=False),
    Column("object_id", String(256), nullable=False),
    Column("object_name", String(43), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("leaf"),
    UniqueConstraint("writer", "number"),
    Index("ix_audit_events_action", "action", "seq"),
    Index("ix_audit_events_actor", "actor", "seq"),
    Index("ix_audit_events_object_id", "object_id", "seq"),
)
"""One act each. ``body`` is the text that counts: the columns beside it repeat parts of it for searching. ``seq`` says
in what order the rows were written, ``leaf`` which place the event has in the tree, once the leader has given it one.
``actor`` and ``object_name`` are commitments."""

audit_archived = Table(
    "audit_archived",
    metadata,
    Column("leaf", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("writer", String(36), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("batch", BigInteger, nullable=False),
)
"""What stays of events that were pruned: enough for every proof. An event is here or in ``audit_events``, never in
both; the event ``ledger.prune`` of the ``batch`` says how many there are and what their hashes are."""

audit_archives = Table(
    "audit_archives",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("first", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("file", String(256), nullable=False),
    Column("by_name", String(256), nullable=False),
    Column("made_at", BigInteger, nullable=False),
)
"""Files that events were exported to, from ``first`` to before ``end``."""

audit_marks = Table(
    "audit_marks",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("mark", BigInteger, nullable=False),
)
"""How far pruning has looked, by class of events; and under :data:`BATCHES` how many batches there were."""

BATCHES = "batches"

audit_words = Table(
    "audit_words",
    metadata,
    Column("ref", String(43), primary_key=True),
    Column("salt", LargeBinary(16), nullable=False),
    Column("word", String(256), nullable=False),
    Column("retention", String(16), nullable=False, server_default=""),
    Column("made_at", BigInteger, nullable=False, server_default="0"),
    Index("ix_audit_words_word", "word"),
    Index("ix_audit_words_made_at", "retention", "made_at"),
)
"""What the commitments stand for. A row that is deleted is forgotten for good; the events stay provable. It stands in
events of one class and of one day alone; ``made_at`` 0: not known, made by an earlier release."""

audit_holds = Table(
    "audit_holds",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("word", String(256), nullable=False),
    Column("reason", String(1000), nullable=False),
    Column("by_name", String(256), nullable=False),
    Column("made_at", BigInteger, nullable=False),
)
"""Legal holds: while one stands nothing of this name is forgotten; empty: nothing at all."""

audit_nodes = Table(
    "audit_nodes",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
)
"""Complete subtrees of 2**level leaves (:data:`rppam.ledger.merkle.LEVELS`)."""

audit_writers = Table(
    "audit_writers",
    metadata,
    Column("writer", String(36), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)
"""The last event of each writer that is in the tree."""

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("frontier", LargeBinary(2048), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("node", String(63), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
)
"""The signed sizes of the tree, the newest of which is the tree: with its frontier the leader goes on."""

audit_keys = Table(
    "audit_keys",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("public", String(200), nullable=False),
    Column("sealed", String(512), nullable=False),
    Column("made_at", BigInteger, nullable=False),
)
"""The keys that have signed checkpoints, the private part sealed by a data key; the newest signs."""

audit_cosigners = Table(
    "audit_cosigners",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("key", String(400), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("line", String(600), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("why", String(600), nullable=False),
)
"""How far each member has cosigned the ledger, with its newest cosignature; ``why`` it does not believe it."""
