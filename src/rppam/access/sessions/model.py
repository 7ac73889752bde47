"""A session: somebody signed in, from when until when, and what ends it.

The caller holds a signed token whose ``sid`` is 256 random bits; the server knows only their SHA-256. A session counts
while it has not ended, its absolute end has not come, it was used within its idle time, and its ``auth_epoch`` is the
account's: raising that one number (a new password, a disabled account) ends all sessions of an account at once.

Whether idle time has passed is decided in SQL, by the database's clock, since any node may have seen the last use; a
cached copy lives at most as long as idle time lets it (:data:`rppam.cache.model.LIFE_MS_MAX` bounds it further).
"""

import hashlib
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

import msgspec

from rppam.kernel.instant import WallMs

TOUCH_MS_MAX: Final = 60_000
"""Longest time between two written uses of a session. Idle time ends it this much later than the last written use."""
OVER_HOLDS_MS: Final = 5_000
"""How long a session whose time has run out is believed to be over: another node may still have to write that it was
used, and the database's clock may step back."""
IDLE_MS_NEVER: Final = 366 * 24 * 3600_000
"""Idle time of a session that does not end for want of use."""


class SessionKind(StrEnum):
    """How it began."""

    LOGIN = "login"
    """With a password, and a second factor where one is asked for."""
    HOST = "host"
    """``rppam token`` on a node's host signed it: it belongs to no account."""


class Session(
    msgspec.Struct,
    frozen=True,
    rename={
        "id": "i", "user_id": "u", "subject": "s", "kind": "k", "auth_epoch": "a", "mfa": "m", "expires_at": "x",
        "ended": "e", "ran_out": "l",
    },
):  # fmt: skip
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
    """It does not count any more, whatever the reason."""
    ran_out: bool = False
    """Only time has ended it, by what is written down and the database's clock now: true for :data:`OVER_HOLDS_MS`."""


class UserFacts(
    msgspec.Struct,
    frozen=True,
    rename={"id": "i", "name": "n", "roles": "r", "disabled": "d", "auth_epoch": "a", "has_mfa": "m"},
):
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


class NewSession(NamedTuple):
    """What a session begins with. Its times are counted from the database's clock at that moment."""

    id: str
    token_hash: str
    user_id: str | None
    subject: str
    kind: SessionKind
    auth_epoch: int
    mfa: bool
    life_ms: int
    idle_ms: int
    client: str
    """The caller's address."""
    agent: str
    """What the caller's program calls itself."""
    node: str


class StoredSession(NamedTuple):
    """A session as SQL knows it now."""

    session: Session
    token_hash: str
    revision: int
    holds_ms: int
    """For how long a copy of it says the truth, if nobody changes it."""
    now: WallMs
    """The database's clock."""


class StoredFacts(NamedTuple):
    """An account as SQL knows it now."""

    facts: UserFacts
    revision: int


class SessionLine(NamedTuple):
    """A session as people see it in a list."""

    id: str
    user_id: str | None
    subject: str
    kind: SessionKind
    mfa: bool
    created_at: WallMs
    last_seen_at: WallMs
    """At most a minute behind."""
    expires_at: WallMs
    client: str
    agent: str
    node: str
    """Where it began."""


class Use(NamedTuple):
    token_hash: str
    since_ms: int
    """Age of the first use that is not written down yet; it counts if the session was alive then."""
    ago_ms: int
    """Age of the last one."""


class Ended(NamedTuple):
    """What a revocation has ended, as far as other nodes have to hear of it."""

    alive: int
    """How many sessions were."""
    sessions: tuple[StoredSession, ...] = ()
    users: tuple[StoredFacts, ...] = ()


def touch_every_ms(idle_ms: int) -> int:
    """How often a process writes that a session is in use, under a policy of that idle time; at most
    :data:`TOUCH_MS_MAX`."""
    return max(1, min(TOUCH_MS_MAX, idle_ms // 4))


def token_hash(sid: str) -> str:
    """What is kept of a session token: it has 256 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(sid.encode("utf-8", "surrogatepass")).hexdigest()


# ---- in the cache ----------------------------------------------------------------------------------------------------

Fact = TypeVar("Fact", Session, UserFacts)
fact_bytes: Final = msgspec.json.Encoder(order="deterministic").encode
"""A :class:`Session` or :class:`UserFacts` for the cache: JSON with one letter a field."""


def read_session(data: bytes) -> Session:
    """The reverse of :data:`fact_bytes`. Raises ``ValueError``.

    What comes out of the cache was sealed by a node of this cluster; it may still have been written by another release.
    So a field that is missing or of another type is an error, which a reader takes for a miss, and an unknown field is
    passed over.
    """
    return _read(data, Session)


def read_user(data: bytes) -> UserFacts:
    """As :func:`read_session`."""
    return _read(data, UserFacts)


def _read(data: bytes, kind: type[Fact]) -> Fact:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
