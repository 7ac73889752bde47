"""The log of changes in SQL: the second way in which a node hears that a cached fact has changed.

Written in the transaction of the change itself, so a change without its line, or a line without its change, does not
exist. Every process reads it every two seconds; that is what bounds staleness when Redis' push channel is broken.
"""

from typing import Final, NamedTuple, Protocol

from rppam.domain.cached import Change

POLL_MS: Final = 2_000
OVERLAP_MS: Final = 10_000
"""How far back each look goes behind the newest line seen: transactions become visible in another order than their
numbers, but none stays open for longer than this (the database ends it)."""
KEPT_MS: Final = 60 * 60_000
"""Older lines are deleted. More than any cached copy lives, with room for clocks that differ."""


class Mark(NamedTuple):
    """How far somebody has read, by the database's clock. Nothing was read yet: ``made_at_ms`` is 0."""

    made_at_ms: int = 0


class ChangeLog(Protocol):
    """The log."""

    async def since(self, mark: Mark) -> tuple[list[Change], Mark]:
        """All changes since ``mark`` less :data:`OVERLAP_MS`, and the new mark. Changes may come twice.

        With the first mark: those of the last :data:`KEPT_MS`. Raises a
        :class:`~rppam.domain.errors.database.DatabaseError`.
        """
        ...
