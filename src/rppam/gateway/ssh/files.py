"""Tells the ledger what a channel of SFTP carries.

It stands where a tape stands: it hears both directions and shows everything at once. What it tells is written by one
task in batches, tried again while the database is away; where more waits to be written than :data:`FULL`, the channel
stands still, so that nothing is carried that is not told.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rppam.db.errors import DatabaseError
from rppam.gateway.ports import NoTape
from rppam.gateway.sftp import Change, SftpAudit, Transfer
from rppam.ledger.model import Entity

if TYPE_CHECKING:
    from rppam.gateway.ssh.live import LiveAccess

log: Final = logging.getLogger("rppam.gateway")
FULL: Final = 500
BATCH: Final = 100
GIVE_UP_S: Final = 30.0
_RETRY_S: Final = 0.5


class FileTape(NoTape):
    """See the module. Implements :class:`~rppam.gateway.ports.Tape`."""

    def __init__(self, access: "LiveAccess") -> None:
        super().__init__()
        self._access = access
        self._audit = SftpAudit(self._tell, self._lost)
        self._notes: list[tuple[str, dict[str, Any]]] = []
        self._came = asyncio.Event()
        self._paused: Callable[[bool], None] = lambda _: None
        self._is_begun = self._is_over = False
        self._all_written = asyncio.Event()

    def output(self, data: bytes, is_error: bool, show: Callable[[], None]) -> None:
        """What the target said."""
        self._begin()
        if not is_error:
            self._audit.down(data)
        super().output(data, is_error, show)

    def input(self, data: bytes) -> None:
        """What the user sent."""
        self._begin()
        self._audit.up(data)

    def on_room(self, paused: Callable[[bool], None]) -> None:
        """See :class:`~rppam.gateway.ports.Tape`."""
        self._paused = paused

    async def close(self, how: str) -> None:
        """Tell of what is still open, and wait until all is written."""
        del how
        self._audit.close()
        self._is_over = True
        self._came.set()
        if self._is_begun:
            await self._all_written.wait()

    def _begin(self) -> None:
        """Have the session wait for what is to be written: its end comes after it."""
        if not self._is_begun:
            self._is_begun = True
            self._access.spawn(self._write())

    def _tell(self, one: Transfer | Change) -> None:
        facts: dict[str, Any] = one._asdict()
        if isinstance(one, Transfer) and not one.sha256:
            facts["sha256"] = None
        self._add("file.transfer" if isinstance(one, Transfer) else "file.change", facts)

    def _lost(self, why: str) -> None:
        log.warning("what the session %s carries by SFTP is told no more: %s", self._access.new.id, why)
        self._add("file.untold", {"why": why})

    def _add(self, action: str, facts: dict[str, Any]) -> None:
        self._notes.append((action, facts))
        self._came.set()
        if len(self._notes) == FULL:
            self._paused(True)

    async def _write(self) -> None:
        while not (self._is_over and not self._notes):
            await self._came.wait()
            self._came.clear()
            while batch := self._notes[:BATCH]:
                await self._written(batch)
                was_full = len(self._notes) >= FULL
                del self._notes[: len(batch)]
                if was_full and len(self._notes) < FULL:
                    self._paused(False)
        self._all_written.set()

    async def _written(self, batch: list[tuple[str, dict[str, Any]]]) -> None:
        new = self._access.new
        until = asyncio.get_running_loop().time() + GIVE_UP_S
        while True:
            with contextlib.suppress(DatabaseError):
                target = Entity("access-session", new.id, new.target)
                await self._access.store.note_all(target, self._access.actor, batch)
                return
            if asyncio.get_running_loop().time() > until:
                log.error("%d files of the session %s could not be recorded", len(batch), new.id)
                return
            await asyncio.sleep(_RETRY_S)
