"""What runs only while this node leads, and must have stopped before the record is released.

Each attempt to stop is bounded by the time the lease leaves for it; a task that has not stopped is named in the log.
Nothing is released before it has, or before a whole lease is over: from then on nobody waits for a release any more.
The fence refuses its writes all the same.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from rppam.cluster.driver.waiting import StillWaits, Waiting
from rppam.db.errors import DatabaseError
from rppam.kernel.errors import RppamError

log = logging.getLogger("rppam.duties")


class LeaderTask(Protocol):
    """One thing only a leader does."""

    name: str

    def start(self, epoch: int) -> None:
        """Leadership began at ``epoch``."""
        ...

    async def stop(self) -> None:
        """Leadership ended: when this returns, nothing of it acts any more. May be called again when it raised.

        Raises RppamError when something of it may still act.
        """
        ...


class LeaderTasks:
    """All of this node, in order; they stop in the opposite order."""

    def __init__(self, tasks: Sequence[LeaderTask], bounded: Callable[[Awaitable[None]], Awaitable[None]]) -> None:
        self._tasks = tasks
        self._bounded = bounded

    def start(self, epoch: int) -> None:
        for task in self._tasks:
            task.start(epoch)

    async def stop(self, epoch: int) -> bool:
        """Stop them all, each within its bound; return whether all have. If not, nothing may be released yet, and this
        is to be called again."""
        stopped = True
        for task in reversed(self._tasks):
            try:
                await self._bounded(task.stop())
            except Exception as error:  # noqa: BLE001 - whatever it is, this one has not stopped
                stopped = False
                why = (str(error) or "not in time") if isinstance(error, RppamError | TimeoutError) else repr(error)
                log.error("%s has not stopped after epoch %d (%s); nothing is released yet", task.name, epoch, why)  # noqa: TRY400
        return stopped


class LoopTask:
    """Work of a leader in a task of its own, which ends with leadership. Implements ``LeaderTask``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.trouble: RppamError | str = ""
        """What keeps it from its work now, for health; empty for nothing, and while this node does not lead."""
        self._running: asyncio.Task[None] | None = None

    def start(self, epoch: int) -> None:
        self.trouble = ""
        self._running = asyncio.get_running_loop().create_task(self.run(epoch), name=self.name)
        self._running.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Say that the work has ended by itself, which nobody foresaw: nothing else would until leadership changes."""
        if task is not self._running or task.cancelled() or (error := task.exception()) is None:
            return
        log.error("%s has ended", self.name, exc_info=error)
        self.trouble = (
            f"{self.name} has ended by {type(error).__name__}, and does nothing until another node leads: let one "
            "(rppam-ha-manager switchover), and look at this node's log"
        )

    async def stop(self) -> None:
        running = self._running
        if running is not None:
            # Who gave up waiting for it asks again: it has not stopped before it has ended, and is not broken off in
            # its tidying up by a second cancellation.
            if not running.cancelling():
                running.cancel()
            await asyncio.wait([running])
        self._running, self.trouble = None, ""

    async def run(self, epoch: int) -> None:
        """The work, until it is cancelled."""
        raise NotImplementedError


class RepeatedTask(LoopTask):
    """Work that a leader does again and again.

    A failure is logged once, until there is another or none, and stands in health; the work is tried again. Work that a
    thread of the database still does after ``stop`` is refused by the fence, if it writes with the epoch it was given.
    """

    def __init__(self, name: str, every_s: float, work: Callable[[int], Awaitable[object]]) -> None:
        """``work(epoch)`` runs when leadership begins, and ``every_s`` after it has ended."""
        super().__init__(name)
        self._every_s, self._work = every_s, work

    async def run(self, epoch: int) -> None:
        logged, waiting = "", Waiting(self.name)
        while True:
            problem, trouble = "", self.trouble
            try:
                await self._work(epoch)
                trouble = ""
                waiting.over()
            except DatabaseError as error:
                log.debug("%s waits for the database: %s", self.name, error)
                problem = logged  # health says that already
                told = waiting.told(error, asyncio.get_running_loop().time())
                if told and (not trouble or isinstance(trouble, StillWaits)):
                    trouble, problem = told, told
            except Exception as error:  # noqa: BLE001 - logged; the task goes on as long as this node leads
                trouble = error if isinstance(error, RppamError) else f"{self.name} failed: {type(error).__name__}"
                problem = str(error) if isinstance(error, RppamError) else repr(error)
            if problem and problem != logged:
                log.warning("%s failed and is tried again every %g s: %s", self.name, self._every_s, problem)
            elif logged and not problem:
                log.info("%s succeeds again", self.name)
            logged, self.trouble = problem, trouble
            await asyncio.sleep(self._every_s)
