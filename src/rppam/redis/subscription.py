"""One listener on one channel of a link."""

from collections.abc import Awaitable, Callable

Listener = Callable[[bytes], object]
"""Gets the payload of a message."""


class Subscription:
    """One listener on one channel; :meth:`close` ends it. Made by ``Link.subscribe``."""

    def __init__(self, channel: bytes, listener: Listener, end: Callable[["Subscription"], Awaitable[None]]) -> None:
        self.channel = channel
        self.listener = listener
        self._end = end

    async def close(self) -> None:
        """Hear no more. Safe to call twice and while the link is down."""
        await self._end(self)
