"""Votes: how long do the promises held at this moment carry a leader?

A voter's **promise** says "until then, I support nobody else". A node may lead while it holds unexpired promises worth
more than half of all votes, so its deadline is the moment at which that stops being true. While a change of the
electorate is pending there are two bodies, and more than half is needed in each. Any two majorities share a voter and a
voter never promises twice at a time: that is the whole of the safety argument, and the rest of the design makes each
voter keep its word. This module only counts; it does not know who the voters are or how they promise.
"""

from collections.abc import Collection, Mapping
from typing import Final

from rppam.cluster.consensus.membership import STORE
from rppam.kernel.instant import Instant

SELF: Final = "(self)"
"""A node's own vote for itself, where only the record decides."""

Weights = Mapping[str, int]
"""Votes by voter."""

STORE_AND_SELF: Final[Weights] = {STORE: 1, SELF: 1}
"""The electorate when the record decides: the store's vote and the node's own are needed, both."""


def is_majority(voters: Collection[str], *bodies: Weights) -> bool:
    """Whether ``voters`` have more than half of the votes of every body."""
    return all(2 * sum(body.get(voter, 0) for voter in voters) > sum(body.values()) for body in bodies)


class Ledger:
    """The promises one node holds, and what they are worth together."""

    __slots__ = ("_deadline", "_until", "bodies", "longest")

    def __init__(self, *bodies: Weights) -> None:
        self.bodies = bodies
        self._until: dict[str, Instant] = {}
        self._deadline: Instant | None = None
        self.longest: Instant | None = None
        """The latest that :attr:`deadline` ever was, under whatever votes: something may still act by that."""

    def reweigh(self, *bodies: Weights) -> None:
        """Other votes from now on. Promises stay: what they are worth changes."""
        self.bodies = bodies
        self._carry()

    def promise(self, voter: str, until: Instant) -> None:
        """Record a promise that ends at ``until``. A promise is never shortened; an earlier end is ignored."""
        before = self._until.get(voter)
        if before is None or until > before:
            self._until[voter] = until
            self._carry()

    def withdraw(self, voter: str) -> None:
        """What ``voter`` promised counts for nothing any more."""
        if self._until.pop(voter, None) is not None:
            self._carry()

    def clear(self) -> None:
        """Forget all promises: this node claims nothing any more."""
        self._until.clear()
        self._deadline = self.longest = None

    @property
    def deadline(self) -> Instant | None:
        """The instant until which promises worth more than half of all votes hold; ``None`` without a majority."""
        return self._deadline

    @property
    def promises(self) -> dict[str, Instant]:
        """Who promised until when."""
        return dict(self._until)

    def holds(self, voter: str, now: Instant) -> bool:
        """Whether ``voter``'s promise still runs."""
        until = self._until.get(voter)
        return until is not None and now < until

    def deadline_under(self, *bodies: Weights) -> Instant | None:
        """What :attr:`deadline` would be with other votes."""
        earliest: Instant | None = None
        for body in bodies:
            until = self._carried_until(body)
            if until is None:
                return None
            earliest = until if earliest is None else min(earliest, until)
        return earliest

    def _carry(self) -> None:
        self._deadline = self.deadline_under(*self.bodies)
        if self._deadline is not None and (self.longest is None or self._deadline > self.longest):
            self.longest = self._deadline

    def _carried_until(self, body: Weights) -> Instant | None:
        half = sum(body.values()) / 2
        gathered = 0
        for voter, until in sorted(self._until.items(), key=lambda item: -item[1]):
            gathered += body.get(voter, 0)
            if gathered > half:
                return until
        return None
