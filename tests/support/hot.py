"""Hot configuration that nobody has set: every default, for ever."""

from typing import TypeVar

from rppam.settings.hot import LiveSettings
from rppam.settings.model import InForce, Setting

T = TypeVar("T")


class DefaultSettings(LiveSettings):
    """See the module."""

    def __init__(self) -> None:
        """It asks neither SQL nor a cache."""

    def current(self, setting: Setting[T]) -> T:
        """Its default."""
        return setting.default

    async def get(self, setting: Setting[T]) -> InForce[T]:
        """Its default, which is no revision."""
        return InForce(setting.default, 0)
