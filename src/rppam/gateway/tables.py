"""The tables of sessions with targets. Times are milliseconds since 1970, by the database's clock."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text, UniqueConstraint

from rppam.db.tables import metadata

access_sessions = Table(
    "access_sessions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(36), nullable=False),
    Column("user_name", String(64), nullable=False),
    Column("auth_epoch", BigInteger, nullable=False),
    Column("target_id", String(36), nullable=False),
    Column("target", String(128), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("account", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("client", String(64), nullable=False),
    Column("node", String(63), nullable=False),
    Column("boot_id", String(64), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("why", String(300), nullable=False),
    Column("bytes_up", BigInteger, nullable=False),
    Column("bytes_down", BigInteger, nullable=False),
    Column("holder", Text, nullable=False, server_default=""),
    Column("recording", String(36), nullable=False, server_default=""),
    Column("detached", BigInteger),
    Column("keep_ms", BigInteger, nullable=False, server_default="0"),
    Index("ix_access_sessions_active", "active", "node"),
    Index("ix_access_sessions_user", "user_id"),
)
"""``seen``: when the gateway last said that the session lives. ``boot_id`` is the gateway process's, ``generation``
how many have had the session one after the other: 0 while none has begun it. ``holder``: where a holder on the target
keeps its shell, what opens it, sealed by a data key; else empty. ``detached``: since when no gateway has it; it is kept
for ``keep_ms``."""

session_orders = Table(
    "session_orders",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("session", String(36), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("reason", String(300), nullable=False),
    Column("by_name", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("done_at", BigInteger),
    Index("ix_session_orders_session", "session"),
)

gateway_host_keys = Table(
    "gateway_host_keys",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("algorithm", String(64), nullable=False),
    Column("public", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
)
"""The gateway's own host keys, the same on all nodes; ``sealed`` by a data key."""

user_ssh_keys = Table(
    "user_ssh_keys",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(36), nullable=False),
    Column("type", String(64), nullable=False),
    Column("key", Text, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("comment", String(100), nullable=False),
    Column("added_at", BigInteger, nullable=False),
    UniqueConstraint("user_id", "fingerprint"),
)
"""Public keys that users log in with."""

ssh_tokens = Table(
    "ssh_tokens",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("auth_epoch", BigInteger, nullable=False),
    Column("target", String(128), nullable=False),
    Column("account", String(128), nullable=False),
    Column("mfa", Boolean, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("used_from", String(64), nullable=False),
    UniqueConstraint("hash"),
    Index("ix_ssh_tokens_user", "user_id", "expires_at"),
)
"""Tokens by which a user logs in once, to one target: of each its SHA-256. ``auth_epoch`` is the account's when it was
made, so whatever ends the user's log-ins ends its tokens. ``mfa``: who made it had shown a second factor."""

ssh_authorities = Table(
    "ssh_authorities",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("public", Text, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("sealed", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("made_at", BigInteger, nullable=False),
)
"""Keys of the authority that signs certificates of SSH users, one after the other; ``sealed`` by a data key, and empty
once it is retired."""

ssh_revocations = Table(
    "ssh_revocations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("word", String(200), nullable=False),
    Column("reason", String(300), nullable=False),
    Column("by_name", String(256), nullable=False),
    Column("at", BigInteger, nullable=False),
    UniqueConstraint("kind", "word"),
)
"""Certificates of the authority, and keys, that count no more: by serial number, key id or fingerprint."""
