"""When this node talks to the store, and whether it stands."""

from typing import Final

from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import US_PER_S, Instant, after

FENCE_TOO_HIGH: Final = (
    "the table 'fence' in the database names epoch {epoch}, expected {most} at most: no node wrote that, and nobody "
    "can stand above it. Lower it to the highest in the table 'epochs' that is at most {most}; it is read anew "
    "whenever a node stands, so nothing has to be restarted"
)
NO_EPOCH_LEFT: Final = (
    "the leadership record shows epoch {epoch}, expected {most} at most: no node led at that, and nobody can stand "
    "above it. Stop rppam on all nodes, delete the key that ends in ':leader' in Redis, lower the epoch in the table "
    "'fence' to the highest in 'epochs' that is at most {most} if it is above, and start them again"
)
HEAD_START_US: Final = 20_000
"""So long nobody else stands after a leader released: the member that it invited comes first."""
PASS_US: Final = 500_000
"""So long at most others hold back at words of releases, within twice that time."""


class Pace:
    """When this node talks to the store next, and whether its own loop ran late."""

    __slots__ = ("asked_at", "hurried", "next", "polled", "stalled_at")

    def __init__(self, now: Instant) -> None:
        self.next = self.asked_at = self.polled = now
        self.hurried = False
        """Whether another round trip is due as soon as the one under way is over."""
        self.stalled_at: Instant | None = None
        """TILT, as Redis Sentinel calls it: the loop ran late, and since then this node does not stand; over once a
        reply came to what was asked since."""

    def caught_up(self, sent_at: Instant) -> None:
        """An answer came to what was asked at ``sent_at``."""
        if self.stalled_at is not None and sent_at >= self.stalled_at:
            self.stalled_at = None

    def keep_step(self, beat_us: int, now: Instant) -> None:
        """The leader has just asked for this member's promise again, and writes its record with it: read that soon.

        The wait for the store's vote begins with the reading; out of step it may be a whole heartbeat late.
        """
        if not self.hurried:
            self.next = min(after(now, beat_us // 16), after(self.asked_at, beat_us + beat_us // 2))


class Standing:
    """Whether this node stands: what an administrator said, invitations, and the time to hold back."""

    __slots__ = (
        "_entropy",
        "ahead_until",
        "back_off_until",
        "electable",
        "invited_above",
        "invited_until",
        "no_epoch",
        "passed_us",
        "passing_since",
        "paused",
    )

    def __init__(self, entropy: Entropy, now: Instant, *, electable: bool, paused: bool) -> None:
        self._entropy = entropy
        self.electable = electable
        self.paused = paused
        """While automatic failover is paused nobody stands unless it is invited."""
        self.back_off_until = self.invited_until = self.ahead_until = self.passing_since = now
        self.invited_above = self.passed_us = 0
        self.no_epoch = ""
        """Why no epoch could be picked when this node stood last, in a sentence; empty when one could."""

    def start_ahead(self, now: Instant) -> None:
        """This node was invited, and the others hold back for a moment."""
        self.back_off_until = now
        self.ahead_until = after(now, HEAD_START_US)

    def invite(self, until: Instant, highest_led: int) -> None:
        """Stand until then even while failover is paused, unless somebody comes to lead meanwhile."""
        self.invited_until, self.invited_above = until, highest_led

    def is_invited(self, now: Instant, highest_led: int) -> bool:
        """Return whether an invitation stands: it is for once, and over as soon as somebody has led since."""
        return now < self.invited_until and highest_led <= self.invited_above

    def hold_back(self, now: Instant, lease_us: int, *, asked_members: bool) -> None:
        """An attempt has failed: others may have their turn.

        What a leader gives back reaches the members at different times: one that answers before it arrived refuses, and
        would not a moment later. Another has tried a higher epoch, of which this node hears by being refused. So a node
        that was invited asks again within the head start that it has.
        """
        if asked_members and now < self.ahead_until:
            self.back_off_until = after(now, 1_000 + self._entropy.below(3_000))
        else:
            self.back_off_until = after(now, self._entropy.below(max(1, min(US_PER_S, lease_us // 4))))

    def let_pass(self, now: Instant) -> None:
        """A leader that releases invites one member; the others hold back, so that they do not split the votes.

        Not for ever: whoever may write to the store could make up enough words of releases to stop every election.
        """
        if now - self.passing_since >= 2 * PASS_US:
            self.passing_since, self.passed_us = now, 0
        until = after(now, HEAD_START_US + self._entropy.below(40_000))
        longer_us = until - max(now, self.back_off_until)
        if longer_us > 0 and self.passed_us + longer_us <= PASS_US:
            self.passed_us += longer_us
            self.back_off_until = until
