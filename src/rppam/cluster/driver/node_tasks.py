"""What every node does again and again beside leadership, in the process that leadership runs in.

A task says in one sentence what an administrator should know; health shows it as a warning. A database that does not
answer is no warning of the task: health says that already.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from rppam.db.errors import DatabaseError
from rppam.kernel.errors import RppamError

log: Final = logging.getLogger("rppam.node")


class NodeTask:
    """See the module."""

    def __init__(self, name: str, every_s: float, work: Callable[[], Awaitable[str]]) -> None:
        """``work`` answers with a warning, or with nothing; it may raise an ``RppamError`` instead."""
        self.name: Final = name
        self._every_s, self._work = every_s, work
        self.warning = ""
        """As of the last round that could tell."""

    async def run(self) -> None:
        """Never returns."""
        while True:
            try:
                self._set(await self._work())
            except DatabaseError as error:
                log.debug("%s waits for the database: %s", self.name, error)
            except RppamError as error:
                self._set(f"{error.row.code}: {error}. {error.row.remedy}")
            except Exception as error:
                log.exception("%s failed", self.name)
                self.warning = f"{self.name} failed: {type(error).__name__}; look at this node's log"
            await asyncio.sleep(self._every_s)

    def _set(self, warning: str) -> None:
        if warning and warning != self.warning:
            log.error("%s: %s", self.name, warning)
        elif self.warning and not warning:
            log.info("%s: what was wrong is over", self.name)
        self.warning = warning
