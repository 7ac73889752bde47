"""A task that has had nothing from the database for long: what health says of it while the database is well.

One that does not answer at all is told by the watch over it, and tasks that wait for it are nobody's news. But a table
that is locked, or a statement that takes longer than it may, stops one task for ever while everything else goes on.
"""

from typing import Final

from rppam.db.errors import DatabaseError

PATIENCE_S: Final = 60.0


class StillWaits(str):
    """A sentence about such a task. Health shows it only where the database is well."""

    __slots__ = ()


class Waiting:
    """How long one task has had nothing."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._since_s: float | None = None

    def over(self) -> None:
        """It had what it asked for."""
        self._since_s = None

    def told(self, error: DatabaseError, now_s: float) -> StillWaits | None:
        """What to say of it, once it lasts."""
        self._since_s = now_s if self._since_s is None else self._since_s
        if now_s - self._since_s < PATIENCE_S:
            return None
        return StillWaits(
            f"{self._name} gets nothing from the database, again and again, while others do: {error}. See which "
            "statement waits or is cut off there (pg_stat_activity, and the log of PostgreSQL)"
        )
