"""Limits on how often something may happen, as values: what is limited, by how much, and what was decided.

Decides nothing itself: the arithmetic is in ``limits/arithmetic.py`` (the oracle) and in the store's script.
"""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

EVENTS_MAX: Final = 1_000_000
PERIOD_MS_MAX: Final = 24 * 3600_000


class Shape(StrEnum):
    """How events are counted."""

    WINDOW = "window"
    """Sliding-window counter: never more than ``events`` in any stretch of ``period_ms``; an event is forgotten up to a
    tenth of that late. For security limits."""
    SMOOTH = "smooth"
    """GCRA (ITU-T I.371): an even rate with a burst of ``events``. Lets up to twice the limit through in a period."""


class Limit(NamedTuple):
    """One limit."""

    name: str
    """What is limited, such as ``login-user``: 1 to 32 of a-z, 0-9 and '-'."""
    shape: Shape
    events: int
    """Events allowed in a period, 1 to :data:`EVENTS_MAX`."""
    period_ms: int


class Charge(NamedTuple):
    """One subject to be charged against one limit."""

    limit: Limit
    subject: str
    """From :func:`subject_hash`, or a constant such as ``all`` for a global limit."""
    cost: int = 1


class Decision(NamedTuple):
    """What was decided for all charges at once: all were taken, or none."""

    allowed: bool
    limit: Limit
    """The one that refused; when allowed, the one with the least left."""
    subject: str
    remaining: int
    """Events left of ``limit``."""
    retry_after_ms: int
    """0 when allowed; else how long to wait until the same charge can succeed at the earliest."""
    reset_after_ms: int
    """Until the limit is as good as new, if nothing else happens."""
    is_local: bool = False
    """Decided by this process alone, because the store was away or the answer was known."""


def subject_hash(kind: str, text: str) -> str:
    """Names a subject without showing it: the same on all nodes, hashed again under a key before Redis sees it."""
    return hashlib.sha256(f"{kind}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()


def rate_headers(limit: Limit, remaining: int, reset_after_ms: int) -> Mapping[str, str]:
    """What an answer's headers say of a limit (draft-ietf-httpapi-ratelimit-headers), and of what is left of it."""
    return {
        "RateLimit-Policy": _policy(limit),
        "RateLimit": f'"{limit.name}";r={remaining};t={-(-reset_after_ms // 1000)}',
    }


@lru_cache(maxsize=64)
def _policy(limit: Limit) -> str:
    return f'"{limit.name}";q={limit.events};w={limit.period_ms // 1000}'
