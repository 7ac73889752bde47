"""What promises are worth: how long do those held at this moment carry a leader?

A node may lead while it holds unexpired promises worth more than half of all votes, so its deadline is the moment at
which that stops being true. While a change of the members is pending there are two sets of votes, and more than half is
needed in each. This only counts; it does not know who the voters are or how they promise.
"""

from collections.abc import Collection, Mapping
from typing import Final

from rppam.kernel.instant import Instant

STORE: Final = "(store)"
"""Name of the store as a voter; no node can have it."""
Weights = Mapping[str, int]
"""Votes by voter."""


def is_majority(voters: Collection[str], *sets: Weights) -> bool:
    """Return whether ``voters`` have more than half of the votes of every set."""
    return all(2 * sum(votes.get(voter, 0) for voter in voters) > sum(votes.values()) for votes in sets)


class Promises:
    """The promises that one node holds, and until when they carry it together."""

    __slots__ = ("_sets", "deadline", "held", "longest")

    def __init__(self, *sets: Weights) -> None:
        self._sets = sets
        self.held: Mapping[str, Instant] = {}
        """Who promised until when. Never changed in place."""
        self.deadline: Instant | None = None
        """Until when promises worth more than half of all votes hold; ``None`` without a majority."""
        self.longest: Instant | None = None
        """The latest that :attr:`deadline` ever was, under whatever votes: something may still act by that."""

    def reweigh(self, *sets: Weights) -> None:
        """Other votes from now on. Promises stay: what they are worth changes."""
        self._sets = sets
        self._carry()

    def add(self, voter: str, until: Instant) -> None:
        """Record a promise that ends at ``until``. A promise is never shortened; an earlier end is ignored."""
        before = self.held.get(voter)
        if before is None or until > before:
            self.held = {**self.held, voter: until}
            self._carry()

    def withdraw(self, voter: str) -> None:
        """What ``voter`` promised counts for nothing any more."""
        if voter in self.held:
            self.held = {name: until for name, until in self.held.items() if name != voter}
            self._carry()

    def holds(self, voter: str, now: Instant) -> bool:
        """Return whether ``voter``'s promise still runs."""
        until = self.held.get(voter)
        return until is not None and now < until

    def deadline_under(self, *sets: Weights) -> Instant | None:
        """What :attr:`deadline` would be with other votes."""
        earliest: Instant | None = None
        for votes in sets:
            until = self._carried_until(votes)
            if until is None:
                return None
            earliest = until if earliest is None else min(earliest, until)
        return earliest

    def _carry(self) -> None:
        self.deadline = self.deadline_under(*self._sets)
        if self.deadline is not None and (self.longest is None or self.deadline > self.longest):
            self.longest = self.deadline

    def _carried_until(self, votes: Weights) -> Instant | None:
        half = sum(votes.values()) / 2
        gathered = 0
        for voter, until in sorted(self.held.items(), key=lambda item: -item[1]):
            gathered += votes.get(voter, 0)
            if gathered > half:
                return until
        return None
