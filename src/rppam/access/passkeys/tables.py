"""The tables of passkeys. Times are milliseconds since 1970, by the database's clock."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, String, Table

from rppam.db.tables import metadata

webauthn_credentials = Table(
    "webauthn_credentials",
    metadata,
    Column("id", String(1400), primary_key=True),
    Column("user_id", String(36), ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("rp_id", String(255), nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Index("ix_webauthn_credentials_user_id", "user_id"),
)
"""Public keys; the private ones never leave the authenticator. ``rp_id`` is the site that one was made for."""

webauthn_challenges = Table(
    "webauthn_challenges",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(36), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("challenge", LargeBinary, nullable=False),
    Column("origin", String(300), nullable=False),
    Column("rp_id", String(255), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_webauthn_challenges_expires_at", "expires_at"),
)
"""Questions that wait for their answer, each good once and on any node. ``user_id`` is empty for a log-in."""
