"""A record that contradicts the leader, where the store has no vote: the members are asked who leads.

While most members' promises to this leader run, nobody else can have come to lead; so a record of somebody else at its
epoch or above is made up by whoever may write to the store, or this host's boot-time clock stood still. Only the
members can tell which: either most of them confirm the leader to questions that were asked after the record was read,
or it has been replaced. Where the store has a vote, its record is not doubted: it is that vote.

It decides nothing about permission, which runs on as long as the promises do.
"""

from typing import Final

from rppam.cluster.consensus.ledger import Weights, is_majority
from rppam.cluster.consensus.messages import Refusal, Vote
from rppam.cluster.consensus.record import Record
from rppam.kernel.instant import Instant

REFUTED: Final = (
    "a leadership record that no leader wrote. Most members have confirmed {node} since and Redis has no vote here, so "
    "leadership is kept; see who else may write these keys: ACL LIST. It names {holder} at epoch {epoch}"
)
UNSIGNED: Final = (
    "a leadership record that no leader wrote: the cluster key did not sign it, so it is worth nothing; see who else "
    "may write these keys: ACL LIST. (A node of an older release signs none.) It names {holder} at epoch {epoch}"
)
PUT_BACK: Final = (
    "an old leadership record that somebody put back: this node had written over it on this very server. Others may "
    "take it for silence, so what Redis confirms is no promise for now; see who else may write these keys: ACL LIST. "
    "It names {holder} at epoch {epoch}, write {seq}"
)


class RecordChallenge:
    """What one leader has put to the members, and what they said."""

    __slots__ = ("_confirmed", "_denied", "_since", "record", "until")

    def __init__(self) -> None:
        self.record: Record | None = None
        """The last record that was put to the members."""
        self.until: Instant | None = None
        """By when they have to have confirmed the leader; ``None`` while nothing is in doubt."""
        self._since = Instant(0)
        self._confirmed: set[str] = set()
        self._denied: set[str] = set()

    def put(self, record: Record, now: Instant, until: Instant) -> bool:
        """The store shows ``record``; whether that is news. What is in doubt already is in no more doubt by another."""
        is_news = record != self.record
        self.record = record
        if is_news and self.until is None:
            self._since, self.until = now, until
            self._confirmed, self._denied = set(), set()
        return is_news

    def heard(self, vote: Vote, asked_at: Instant, *, counts: bool) -> None:
        """A member answered the leader. Other refusals than for another's sake say nothing of who leads."""
        if asked_at < self._since:
            return
        if vote.is_granted and counts:
            self._confirmed.add(vote.voter)
        elif vote.refusal is Refusal.PROMISED:
            self._denied.add(vote.voter)

    def is_refuted(self, *bodies: Weights) -> bool:
        """Whether most members have confirmed the leader since."""
        return self.until is not None and is_majority(self._confirmed, *bodies)

    def is_true(self, now: Instant, *bodies: Weights) -> bool:
        """Whether so many members deny the leader, or none of them answered in time, that it has been replaced."""
        if self.until is None:
            return False
        left = {name for body in bodies for name in body} - (self._denied - self._confirmed)
        return now >= self.until or not is_majority(left, *bodies)

    def settle(self) -> None:
        """Nothing is in doubt any more; the same record is not put again."""
        self.until = None

    def clear(self) -> None:
        """The leadership is over."""
        self.record = self.until = None
