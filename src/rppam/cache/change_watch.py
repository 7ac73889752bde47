"""Reads the log of changes every two seconds and tells of each change once, in every process that answers requests.

It is what bounds staleness when Redis does not push: a change is known everywhere ``POLL_MS``
after its commit, and the time of one look later. A look that fails is said once and made up for by the next, which
reads on from where the last good one ended.

What it does not promise: that a change was not heard of before.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from rppam.cache.change_log_port import POLL_MS, ChangeLog, Mark
from rppam.cache.model import Change
from rppam.db.errors import DatabaseError
from rppam.kernel.instant import WallMs

log: Final = logging.getLogger("rppam.cache")
FIRST_EVERY_S: Final = 0.1
"""Until the log has been read once nothing that is cached is believed, so the first look is not waited for."""


class ChangeWatch:
    """One process's look at the log."""

    def __init__(
        self,
        changes: ChangeLog,
        told: Callable[[Sequence[Change]], object],
        learn: Callable[[WallMs], object] = lambda _: None,
    ) -> None:
        """``told`` gets what is new after each look, which may be nothing; the first time all that is kept.

        ``learn`` gets the database's time, before ``told`` is called.
        """
        self._log, self._told, self._learn = changes, told, learn
        self._mark = Mark()
        self._seen: frozenset[Change] = frozenset()
        self._has_looked = False
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why the last look failed; empty when it did not."""
        return self._problem

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_MS / 1000 if self._has_looked else FIRST_EVERY_S)

    async def look(self) -> None:
        """Look once."""
        try:
            found, mark, now = await self._log.since(self._mark)
        except DatabaseError as error:
            if not self._problem and self._has_looked:
                log.warning("the log of changes cannot be read; changes made elsewhere show late here: %s", error)
            self._problem = str(error)
            return
        self._problem = ""
        self._learn(now)
        # Each look goes back behind the last; what it finds there again was told then.
        news = [change for change in found if change not in self._seen]
        self._mark, self._seen, self._has_looked = mark, frozenset(found), True
        self._told(news)
