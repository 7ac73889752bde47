"""Recording acts that are no change of the database: orders to the cluster.

That an order was taken is recorded before it is carried out, and what became of it afterwards, with the id of the first
event: an order whose process is killed in between is in the ledger, without an end. Such an act must be possible while
the database is away, so it waits for its first event for no longer than :data:`TAKE_MS`, and where either cannot be
recorded a line in the log says so. What changes the database is recorded in its own transaction instead
(:mod:`rppam.ledger.record`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial, wraps
from typing import Any, Final, NamedTuple, TypeVar

from rppam.db.database import Database
from rppam.db.errors import DatabaseError
from rppam.kernel.errors import RppamError
from rppam.kernel.services import Services
from rppam.ledger.events import ACTIONS
from rppam.ledger.model import Entity, Outcome
from rppam.ledger.record import record

log: Final = logging.getLogger("rppam.audit")
TAKE_MS: Final = 1_000
TAKEN: Final = "order.take"
BROKEN_OFF: Final = "it was broken off, so nobody here knows whether it was carried out"
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])


class Act(NamedTuple):
    """What is recorded of an act."""

    action: str
    target: Entity | None = None
    details: Mapping[str, Any] | None = None


class Recorder:
    """Records in transactions of their own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, act: Act) -> str:
        """Record that ``act`` is about to be done; the event's id. Empty, and the log says why, where that failed."""
        target = act.target or Entity(ACTIONS[act.action].object)
        work = partial(record, action=TAKEN, target=target, details={"action": act.action})
        try:
            return await self._database.write(work, timeout_ms=TAKE_MS)
        except DatabaseError as error:
            log.error("%s is carried out and could not be recorded before: %s", act.action, error)  # noqa: TRY400
            return ""

    async def record(self, act: Act, outcome: Outcome = Outcome.SUCCESS, reason: str = "", *, taken: str = "") -> None:
        """Record what became of ``act``, or say in the log why that failed. ``taken``: the id of its first event."""
        action, target, details = act
        facts = {**(details or {}), **({"order": taken} if taken else {})}
        work = partial(record, action=action, target=target, details=facts, outcome=outcome, reason=reason)
        try:
            await self._database.write(work)
        except DatabaseError as error:
            log.error("%s (%s) could not be recorded: %s", action, outcome.value, error)  # noqa: TRY400


def recorded(act: Callable[[Mapping[str, Any]], Act]) -> Callable[[Handler], Handler]:
    """Record that the route below is asked, and what becomes of it; ``act`` makes the record from its arguments.

    Stands between ``declare`` and the handler, which has a parameter ``services``.
    """

    def mark(handler: Handler) -> Handler:
        @wraps(handler)
        async def answered(**arguments: Any) -> Any:
            services: Services = arguments["services"]
            recorder, done = services.get(Recorder), act(arguments)
            taken = await recorder.take(done)
            try:
                answer = await handler(**arguments)
            except BaseException as error:
                # The request may be broken off once more: what became of it is written all the same.
                await asyncio.shield(recorder.record(done, Outcome.FAILURE, _why(error), taken=taken))
                raise
            await asyncio.shield(recorder.record(done, taken=taken))
            return answer

        return answered  # type: ignore[return-value]  # the same signature, by wraps

    return mark


def _why(error: BaseException) -> str:
    if isinstance(error, RppamError):
        return f"{error.row.code}: {error}"
    return f"it failed: {type(error).__name__}" if isinstance(error, Exception) else BROKEN_OFF
