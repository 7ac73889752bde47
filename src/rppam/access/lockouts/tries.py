"""Tries to sign in, as values: what they are counted against, and how it stands there.

A try that is being checked holds a lease of seconds, which the process that checks it renews; a wrong one stays counted
for a window. Decides nothing itself: see :mod:`rppam.access.lockouts.arithmetic`.
"""

from typing import Final, NamedTuple

from rppam.kernel.limit import Limit

LEASE_MS: Final = 4_000
"""So long a try counts as under way without being renewed: what a process that died leaves behind. Shorter than a try
waits for others, so that a crash makes nobody's right password refused, and shorter than anybody could see it dead."""
RENEW_MS: Final = 1_000


class Watched(NamedTuple):
    """What a try is counted against."""

    limit: Limit
    """Of wrong ones; those under way must fit in as well. A window."""
    subject: str
    """From :func:`rppam.kernel.limit.subject_hash`."""


class Standing(NamedTuple):
    """How it stands there now."""

    wrong: int
    """Wrong ones within the window."""
    running: int
    """Tries under way."""
    lapses_ms: int
    """Until the last of those lapses unless it is renewed; 0 without any."""

    def is_full(self, limit: Limit) -> bool:
        """Whether one more try would be one too many."""
        return self.wrong + self.running >= limit.events

    def is_used_up(self, limit: Limit) -> bool:
        """Whether wrong ones alone have used it up."""
        return self.wrong >= limit.events

    def beside(self, other: "Standing") -> "Standing":
        """With another store's: both count the same wrong ones; what is under way is under way in one of them."""
        lapses_ms = max(self.lapses_ms, other.lapses_ms)
        return Standing(max(self.wrong, other.wrong), self.running + other.running, lapses_ms)


class Entry(NamedTuple):
    """Whether a try may begin."""

    allowed: bool
    standings: tuple[Standing, ...]
    """In the order of what was watched; with this try where it was let in."""


class Booked(NamedTuple):
    """Wrong tries that one process has seen."""

    watched: Watched
    ages_ms: tuple[int, ...]
    """How long ago each was."""
