"""Hot configuration that nobody has set (:class:`rppam.settings.ports.HotSettings`): every default, for ever."""

from typing import TypeVar

from rppam.settings.model import InForce, Setting

T = TypeVar("T")


class DefaultSettings:
    """See the module."""

    def current(self, setting: Setting[T]) -> T:
        """Its default."""
        return setting.default

    async def get(self, setting: Setting[T]) -> InForce[T]:
        """Its default, which is no revision."""
        return InForce(setting.default, 0)
