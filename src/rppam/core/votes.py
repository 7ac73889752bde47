"""Votes: how long do the promises held at this moment carry a leader?

A voter's **promise** says "until then, I support nobody else". A node may lead while it holds unexpired promises worth
more than half of all votes, so its deadline is the moment at which that stops being true. Any two majorities share a
voter and a voter never promises twice at a time: that is the whole of the safety argument, and the rest of the design
makes each voter keep its word. This module only counts; it does not know who the voters are or how they promise.
"""

from collections.abc import Mapping
from typing import Final

from rppam.domain.instant import Instant

STORE: Final = "(store)"
"""Name of the store as a voter; no node can have it."""
SELF: Final = "(self)"
"""A node's own vote for itself."""

STORE_AND_SELF: Final[Mapping[str, int]] = {STORE: 1, SELF: 1}
"""The electorate when the record decides: the store's vote and the node's own are needed, both."""


class Ledger:
    """The promises one node holds, and what they are worth together."""

    __slots__ = ("_deadline", "_half", "_until", "weights")

    def __init__(self, weights: Mapping[str, int]) -> None:
        self.weights = dict(weights)
        self._half = sum(self.weights.values()) / 2
        self._until: dict[str, Instant] = {}
        self._deadline: Instant | None = None

    def promise(self, voter: str, until: Instant) -> None:
        """Record a promise that ends at ``until``. A promise is never shortened; an earlier end is ignored."""
        before = self._until.get(voter)
        if voter in self.weights and (before is None or until > before):
            self._until[voter] = until
            self._deadline = self._count()

    def clear(self) -> None:
        """Forget all promises: this node claims nothing any more."""
        self._until.clear()
        self._deadline = None

    @property
    def deadline(self) -> Instant | None:
        """The instant until which promises worth more than half of all votes hold; ``None`` without a majority."""
        return self._deadline

    @property
    def promises(self) -> dict[str, Instant]:
        """Who promised until when, for people."""
        return dict(self._until)

    def _count(self) -> Instant | None:
        gathered = 0
        for voter, until in sorted(self._until.items(), key=lambda item: -item[1]):
            gathered += self.weights[voter]
            if gathered > self._half:
                return until
        return None
