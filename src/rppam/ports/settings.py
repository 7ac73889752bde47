"""Hot configuration as everybody who obeys it sees it."""

from typing import Protocol, TypeVar

from rppam.domain.setting import InForce, Setting

T = TypeVar("T")


class HotSettings(Protocol):
    """What is in force in this process."""

    def current(self, setting: Setting[T]) -> T:
        """The value in force here now. Never waits, never fails: the near copy, else the last one known, else the
        default."""
        ...

    async def get(self, setting: Setting[T]) -> InForce[T]:
        """The value and its revision, asking cache and SQL where the near copy may not be used.

        Raises a :class:`~rppam.domain.errors.database.DatabaseError` when nobody can tell.
        """
        ...
