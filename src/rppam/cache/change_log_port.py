"""The log of changes in SQL: the second way in which a node hears that a cached fact has changed.

Written in the transaction of the change itself, so a change without its line, or a line without its change, does not
exist. Every process reads it every two seconds; that is what bounds staleness when Redis' push channel is broken.
"""

from typing import Final, NamedTuple, Protocol

from rppam.cache.model import Change
from rppam.kernel.instant import WallMs

POLL_MS: Final = 2_000
OVERLAP_MS: Final = 10_000
"""How far back each look goes behind the newest line seen, for transactions that become visible in another order than
their numbers. A transaction that stays open for longer leaves a :class:`Gap`."""
KEPT_MS: Final = 60 * 60_000
"""Older lines are deleted. More than any cached copy lives, with room for clocks that differ; and more than any
transaction stays open, whatever ``database.timeoutMs`` a node has."""


class Gap(NamedTuple):
    """A number that no line has, below one that is there: its transaction may still be open, or was undone."""

    number: int
    since_ms: int
    """When it was first missed, by the database's clock."""


class Mark(NamedTuple):
    """How far somebody has read. Nothing was read yet: ``made_at_ms`` is 0."""

    made_at_ms: int = 0
    """Of the newest line seen, by the database's clock."""
    number: int = 0
    """The highest number of a line."""
    holes: tuple[Gap, ...] = ()


class Look(NamedTuple):
    """What one look at the log brought."""

    found: list[Change]
    mark: Mark
    now: WallMs
    """What time it is, by the database's clock."""


class ChangeLog(Protocol):
    """The log."""

    async def since(self, mark: Mark) -> Look:
        """All changes that became visible since ``mark``, however long their transactions were open. Changes may come
        twice: those of the last :data:`OVERLAP_MS` do.

        With the first mark: those of the last :data:`KEPT_MS`. Raises a
        :class:`~rppam.db.errors.DatabaseError`.
        """
        ...
