"""The tables of accounts, their roles and their second factors. Times are milliseconds since 1970."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint

from rppam.db.tables import metadata

users = Table(
    "users",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("display_name", String(100), nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("password_changed_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False, server_default="1"),
    Column("auth_epoch", BigInteger, nullable=False, server_default="1"),
    Column("deleted_at", BigInteger),
    Column("totp_secret", String(512)),
    Column("totp_pending", String(512)),
    Column("totp_step", BigInteger, nullable=False, server_default="0"),
    Column("allowed_from", String(2000), nullable=False, server_default=""),
    UniqueConstraint("name"),
)
"""Accounts. ``name`` is already in its one form (``normalise_name``) and stays taken after a
deletion. ``revision`` grows with every change that a session check has to see; a session counts only while its
``auth_epoch`` is the account's, so raising that ends all sessions at once. TOTP secrets are sealed; ``totp_step`` is
the last time step whose code was used, so that no code is used twice. ``totp_pending`` is one that was begun and not
confirmed; whatever raises ``auth_epoch`` forgets it. ``allowed_from``: networks with blanks between; empty: any."""

user_roles = Table(
    "user_roles",
    metadata,
    Column("user_id", String(36), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role", String(32), primary_key=True),
)

backup_codes = Table(
    "backup_codes",
    metadata,
    Column("user_id", String(36), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("code_hash", String(64), primary_key=True),
    Column("used_at", BigInteger),
)
"""One-time codes for a lost authenticator. Only hashes of 80 random bits."""

pending_logins = Table(
    "pending_logins",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("user_id", String(36), ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("auth_epoch", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("client", String(64), nullable=False),
    Index("ix_pending_logins_expires_at", "expires_at"),
)
"""The password was right, the second factor is awaited: any node may take it."""
