"""What runs only while this node leads, and must have stopped before the record is released.

Stopping is bounded by the time the lease leaves for it; a duty that does not stop in time is named in the log, and its
writes are refused by the fence all the same.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

log = logging.getLogger("rppam.duties")


class Duty(Protocol):
    """One thing only a leader does."""

    name: str

    def start(self, epoch: int) -> None:
        """Leadership began at ``epoch``."""
        ...

    async def stop(self) -> None:
        """Leadership ended: when this returns, nothing of it acts any more."""
        ...


class Duties:
    """All duties of this node, in order; they stop in the opposite order."""

    def __init__(self, duties: tuple[Duty, ...], bounded: Callable[[Awaitable[None]], Awaitable[None]]) -> None:
        self._duties = duties
        self._bounded = bounded

    def start(self, epoch: int) -> None:
        """Start them all."""
        for duty in self._duties:
            duty.start(epoch)

    async def stop(self, epoch: int) -> None:
        """Stop them all; each is bounded."""
        for duty in reversed(self._duties):
            try:
                await self._bounded(duty.stop())
            except TimeoutError:
                log.error("%s did not stop in time after epoch %d; its writes are fenced", duty.name, epoch)  # noqa: TRY400
