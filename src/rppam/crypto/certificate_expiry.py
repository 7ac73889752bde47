"""When a certificate's end is worth a sentence. Decides the words; what the certificates are, others know."""

from datetime import UTC, datetime
from typing import Final, NamedTuple

from rppam.kernel.instant import WallMs

WARN_DAYS: Final = 30
"""A certificate that ends within so many days is told in health."""
_DAY_MS: Final = 24 * 3_600_000


class CertificateEnd(NamedTuple):
    """A certificate that a node depends on, and when it ends."""

    certificate: str
    """Which one: ``api``, ``redis client``, ``redis authority`` (the first to end), or ``redis server`` with its
    address."""
    not_after: WallMs


def out_of_date(not_before: WallMs, not_after: WallMs, now: WallMs) -> str:
    """Which certificate was found where one that is valid at ``now`` was expected; empty when it is."""
    if now > not_after:
        return f"one that expired on {shown_date(not_after)}"
    if now < not_before:
        return f"one that is valid only from {shown_date(not_before)}"
    return ""


def expiry_warning(what: str, not_after: WallMs, now: WallMs, fix: str) -> str:
    """``what`` ends within :data:`WARN_DAYS` days, or has ended: a sentence; else nothing."""
    days = days_left(not_after, now)
    if days > WARN_DAYS:
        return ""
    if days < 0:
        return f"{what} expired on {shown_date(not_after)}; {fix}"
    return f"{what} expires in {days} day{'' if days == 1 else 's'}, on {shown_date(not_after)}; {fix}"


def days_left(not_after: WallMs, now: WallMs) -> int:
    """Whole days until ``not_after``; negative once it is over."""
    return (not_after - now) // _DAY_MS


def shown_date(moment: WallMs) -> str:
    """A moment for people, to the minute, in UTC."""
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
