"""What runs only while this node leads, and must have stopped before the record is released.

Each attempt to stop is bounded by the time the lease leaves for it; a task that has not stopped is named in the log.
Nothing is released before it has, whatever kept it from stopping: see :meth:`LeaderTasks.stop`. The fence refuses its
writes all the same.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from rppam.kernel.errors import RppamError

log = logging.getLogger("rppam.duties")


class LeaderTask(Protocol):
    """One thing only a leader does."""

    name: str

    def start(self, epoch: int) -> None:
        """Leadership began at ``epoch``."""
        ...

    async def stop(self) -> None:
        """Leadership ended: when this returns, nothing of it acts any more. May be asked again when it raised.

        Raises :class:`~rppam.kernel.errors.RppamError` when something of it may still act.
        """
        ...


class LeaderTasks:
    """All duties of this node, in order; they stop in the opposite order."""

    def __init__(self, duties: tuple[LeaderTask, ...], bounded: Callable[[Awaitable[None]], Awaitable[None]]) -> None:
        self._duties = duties
        self._bounded = bounded

    def start(self, epoch: int) -> None:
        """Start them all."""
        for duty in self._duties:
            duty.start(epoch)

    async def stop(self, epoch: int) -> bool:
        """Stop them all, each within its bound; whether all have. If not, nothing may be released yet, and they are
        to be asked again."""
        stopped = True
        for duty in reversed(self._duties):
            try:
                await self._bounded(duty.stop())
            except Exception as error:  # noqa: BLE001 - whatever it is, this one has not stopped
                stopped = False
                why = (str(error) or "not in time") if isinstance(error, RppamError | TimeoutError) else repr(error)
                log.error("%s has not stopped after epoch %d (%s); nothing is released yet", duty.name, epoch, why)  # noqa: TRY400
        return stopped
