"""What the client of a terminal is told where something else than its shell ends it."""

import asyncio
import contextlib
import logging
from typing import Any, Final

import asyncssh

from rppam.db.errors import DatabaseError
from rppam.gateway.errors import TargetProtocolError
from rppam.gateway.held_store import SqlHeld
from rppam.gateway.ssh.channel import one_line
from rppam.gateway.ssh.live import LiveAccess
from rppam.kernel.errors import RppamError

log: Final = logging.getLogger("rppam.gateway")


def ended(error: RppamError, *, again: bool, text: str = "") -> dict[str, Any]:
    """That it is over, in the words of ``error`` unless there are others; with ``again`` the client is to come again by
    itself."""
    return {"type": "end", "code": error.row.code, "text": text or one_line(error), "again": again}


async def is_taken(held: SqlHeld, access: LiveAccess) -> bool:
    """Whether somebody else has gone on with it; false also where nobody can tell."""
    found = None
    with contextlib.suppress(DatabaseError):
        found = await held.find(access.new.id)
    return found is not None and found.generation > access.generation


def trouble(opening: "asyncio.Task[None]") -> dict[str, Any]:
    """What is said of a terminal that could not be opened; nothing of one that is open, or is not yet."""
    error = opening.exception() if opening.done() else None
    if error is None:
        return {}
    if isinstance(error, RppamError):
        return ended(error, again=error.row.status == 503)
    if isinstance(error, (asyncssh.Error, OSError)):
        why = f"the target went away: {getattr(error, 'reason', '') or error}"
        return ended(TargetProtocolError(), again=True, text=why)
    log.error("a terminal could not be opened", exc_info=error)
    return ended(TargetProtocolError(), again=False, text="something unforeseen happened")
