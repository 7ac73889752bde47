"""Sessions, second factors, lockouts, hot configuration, the log of changes, and keys that seal secrets."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
step = "contract"  # releases of then work on no other revision than their own
compatible_from = "0002"


def upgrade() -> None:
    """Add what signing in for longer than a token's life needs."""
    _users()
    _sessions()
    _settings()
    op.create_table(
        "changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("ident", sa.String(128), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
    )
    op.create_index("ix_changes_made_at", "changes", ["made_at"])
    op.create_table(
        "data_keys",
        sa.Column("kid", sa.String(32), nullable=False),
        sa.Column("wrapped", sa.String(512), nullable=False),
        sa.Column("wrapped_by", sa.String(32), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kid", name="pk_data_keys"),
    )


def _users() -> None:
    for column in (
        sa.Column("revision", sa.BigInteger, nullable=False, server_default="1"),
        sa.Column("auth_epoch", sa.BigInteger, nullable=False, server_default="1"),
        sa.Column("deleted_at", sa.BigInteger),
        sa.Column("totp_secret", sa.String(512)),
        sa.Column("totp_pending", sa.String(512)),
        sa.Column("totp_step", sa.BigInteger, nullable=False, server_default="0"),
    ):
        op.add_column("users", column)
    op.create_table(
        "backup_codes",
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name="pk_backup_codes"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_backup_codes_user_id", ondelete="CASCADE"),
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(36)),
        sa.Column("subject", sa.String(256), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("auth_epoch", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("mfa", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("idle_ms", sa.BigInteger, nullable=False),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("agent", sa.String(200), nullable=False),
        sa.Column("node", sa.String(63), nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_why", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("token_hash", name="uq_sessions_token_hash"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_table(
        "pending_logins",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("auth_epoch", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("client", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_pending_logins"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_pending_logins_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_pending_logins_expires_at", "pending_logins", ["expires_at"])
    op.create_table(
        "lockouts",
        sa.Column("subject_hash", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("shown", sa.String(64), nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject_hash", name="pk_lockouts"),
    )


def _settings() -> None:
    op.create_table(
        "settings",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        *_setting(),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )
    op.create_table(
        "settings_history",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("revision", sa.BigInteger, autoincrement=False, nullable=False),
        *_setting(),
        sa.PrimaryKeyConstraint("name", "revision", name="pk_settings_history"),
    )


def _setting() -> list[sa.Column[int] | sa.Column[str]]:
    return [
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("author", sa.String(256), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("node", sa.String(63), nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    ]
