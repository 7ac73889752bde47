"""The ledger: events, the words behind their commitments, the tree and its signed sizes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "audit_events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("leaf", sa.BigInteger),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("writer", sa.String(36), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(43), nullable=False),
        sa.Column("object_kind", sa.String(32), nullable=False),
        sa.Column("object_id", sa.String(256), nullable=False),
        sa.Column("object_name", sa.String(43), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_events"),
        sa.UniqueConstraint("leaf", name="uq_audit_events_leaf"),
        sa.UniqueConstraint("writer", "number", name="uq_audit_events_writer"),
    )
    op.create_index("ix_audit_events_action", "audit_events", ["action", "seq"])
    op.create_index("ix_audit_events_actor", "audit_events", ["actor", "seq"])
    op.create_index("ix_audit_events_object_id", "audit_events", ["object_id", "seq"])
    _tree()


def _tree() -> None:
    op.create_table(
        "audit_words",
        sa.Column("ref", sa.String(43), nullable=False),
        sa.Column("salt", sa.LargeBinary(16), nullable=False),
        sa.Column("word", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("ref", name="pk_audit_words"),
    )
    op.create_index("ix_audit_words_word", "audit_words", ["word"])
    op.create_table(
        "audit_nodes",
        sa.Column("level", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("level", "position", name="pk_audit_nodes"),
    )
    op.create_table(
        "audit_writers",
        sa.Column("writer", sa.String(36), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("writer", name="pk_audit_writers"),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("size", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("frontier", sa.LargeBinary(2048), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("node", sa.String(63), nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_audit_checkpoints"),
    )
    op.create_table(
        "audit_keys",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("public", sa.String(200), nullable=False),
        sa.Column("sealed", sa.String(512), nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_audit_keys"),
    )
