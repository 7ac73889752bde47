"""What the shared cache holds, and what makes one value newer than another.

Truth is in SQL. Everything cached is a copy of one row (or of one fact that a row states) with a **revision** that SQL
raised when the fact changed. A copy only ever gives way to one of a higher revision: so a slow reader that read the row
before a change cannot put its old copy back after it, and a revocation is simply a higher revision that says "ended".

What it does not promise: that a value is there. The cache may be empty, flushed or away at any time.
"""

from enum import StrEnum
from typing import Final, NamedTuple

LIFE_MS_MAX: Final = 15 * 60_000
"""No copy is kept for longer, however long the fact holds. It bounds memory, and how old a replayed copy can be."""
POLL_MS: Final = 2_000
"""How often every process reads the log of changes."""
VALUE_BYTES_MAX: Final = 64 * 1024


class Kind(StrEnum):
    SESSION = "session"
    """``ident``: SHA-256 of the session token, in hexadecimal."""
    USER = "user"
    """``ident``: the account's id."""
    SETTING = "setting"
    """``ident``: the setting's name."""
    UNLOCK = "unlock"
    """``ident``: the limited subject (:func:`rppam.kernel.limit.subject_hash`) that was unlocked; no value."""
    ACCESS = "access"
    """``ident``: a session with a target that somebody has given an order about; no value."""


class CacheKey(NamedTuple):
    """Names one fact. In Redis only a keyed hash of it is seen."""

    kind: Kind
    ident: str


class Copy(NamedTuple):
    revision: int
    """Grows with each change of the fact; at least 1. 0, in a process's memory alone: there is no such fact yet."""
    value: bytes
    """Never empty, but at revision 0; at most :data:`VALUE_BYTES_MAX`."""


class Change(NamedTuple):
    """A fact has a new revision: a row of the log of changes."""

    key: CacheKey
    revision: int
