"""A session: somebody signed in, from when until when, and what ends it.

The caller holds a signed token whose ``sid`` is 256 random bits; the server knows only their SHA-256. A session counts
while it has not ended, its absolute end has not come, it was used within its idle time, and its ``auth_epoch`` is the
account's: raising that one number (a new password, a disabled account) ends all sessions of an account at once.

Whether idle time has passed is decided in SQL, by the database's clock, since any node may have seen the last use; a
cached copy lives at most as long as idle time lets it (:data:`rppam.domain.cached.LIFE_MS_MAX` bounds it further).
"""

import hashlib
from enum import StrEnum
from typing import NamedTuple

from rppam.domain.instant import WallMs


class SessionKind(StrEnum):
    """How it began."""

    LOGIN = "login"
    """With a password, and a second factor where one is asked for."""
    HOST = "host"
    """``rppam token`` on a node's host signed it: it belongs to no account."""


class Session(NamedTuple):
    """What is cached of a session, and enough to check a request."""

    id: str
    """For people: lists and revocation. Not secret, and useless as a token."""
    user_id: str | None
    """``None``: a host's token."""
    subject: str
    kind: SessionKind
    auth_epoch: int
    mfa: bool
    """A second factor was given."""
    expires_at: WallMs
    """Absolute end, by the database's clock."""
    ended: bool


class UserFacts(NamedTuple):
    """What is cached of an account, and enough to check a request."""

    id: str
    name: str
    roles: frozenset[str]
    disabled: bool
    """Disabled or deleted."""
    auth_epoch: int
    has_mfa: bool


class Identity(NamedTuple):
    """Who is calling, as of this request: what every decision about a request is made from."""

    subject: str
    """User name, for people and logs."""
    user_id: str | None
    """``None``: a host's token."""
    roles: frozenset[str]
    """As they are now, not as they were at sign-in."""
    session_id: str
    kind: SessionKind
    mfa: bool
    """A second factor was given."""


def token_hash(sid: str) -> str:
    """What is kept of a session token: it has 256 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(sid.encode("utf-8", "surrogatepass")).hexdigest()
