"""Hot configuration as everybody who obeys it sees it, and the place where it is kept."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

from rppam.cluster.health.ports import Authority
from rppam.settings.model import InForce, Setting, StoredSetting

T = TypeVar("T")


class HotSettings(Protocol):
    """What is in force in this process."""

    def current(self, setting: Setting[T]) -> T:
        """The value in force here now. Never waits, never fails: the near copy, else the last one known, else the
        default."""
        ...

    async def get(self, setting: Setting[T]) -> InForce[T]:
        """The value and its revision, asking cache and SQL where the near copy may not be used.

        Raises a :class:`~rppam.db.errors.DatabaseError` when nobody can tell.
        """
        ...


class Settled(NamedTuple):
    """What became of a write."""

    stored: StoredSetting
    """The revision in force now."""
    is_new: bool
    """Whether this write made it; else an earlier one had set the same value."""


class SettingsStore(Protocol):
    """Where settings are kept, each with its past. Every method raises a
    :class:`~rppam.db.errors.DatabaseError`."""

    async def read(self, name: str) -> StoredSetting | None:
        """The revision in force; ``None`` when nobody has ever set it."""
        ...

    async def read_all(self) -> Sequence[StoredSetting]:
        """All that were ever set, also those that only another release knows, by name."""
        ...

    async def revision(self, name: str, revision: int) -> StoredSetting | None:
        """An earlier revision, or the one in force."""
        ...

    async def history(self, name: str, below: int | None, count: int) -> Sequence[StoredSetting]:
        """At most ``count`` revisions, the newest first; those below ``below``, or from the one in force on."""
        ...

    async def write(
        self, authority: Authority, node: str, name: str, value: str, author: str, expected: Sequence[int] | None
    ) -> Settled:
        """A new revision, if the fence lets ``authority`` write and one of ``expected`` (0: never set) is in force;
        all in one transaction with its line in the log of changes. A value that is in force already makes no revision.

        Raises :class:`~rppam.http.errors.FencedError` or
        :class:`~rppam.settings.errors.SettingChanged`; then nothing has changed.
        """
        ...
