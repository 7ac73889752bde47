"""Recording acts that are no change of the database: orders to the cluster.

Such an act must be possible while the database is away, so it is recorded afterwards, and where that fails a line in
the log says so. What changes the database is recorded in its own transaction instead (:mod:`rppam.ledger.record`).
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial, wraps
from typing import Any, Final, NamedTuple, TypeVar

from rppam.db.database import Database
from rppam.db.errors import DatabaseError
from rppam.kernel.errors import RppamError
from rppam.kernel.services import Services
from rppam.ledger.model import Entity, Outcome
from rppam.ledger.record import record

log: Final = logging.getLogger("rppam.audit")
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

    async def record(self, act: Act, outcome: Outcome = Outcome.SUCCESS, reason: str = "") -> None:
        """Record ``act``, or say in the log why that failed."""
        action, target, details = act
        work = partial(record, action=action, target=target, details=details, outcome=outcome, reason=reason)
        try:
            await self._database.write(work)
        except DatabaseError as error:
            log.error("%s (%s) could not be recorded: %s", action, outcome.value, error)  # noqa: TRY400


def recorded(act: Callable[[Mapping[str, Any]], Act]) -> Callable[[Handler], Handler]:
    """Record what becomes of the route below; ``act`` makes the record from the handler's arguments.

    Stands between ``declare`` and the handler, which has a parameter ``services``.
    """

    def mark(handler: Handler) -> Handler:
        @wraps(handler)
        async def answered(**arguments: Any) -> Any:
            services: Services = arguments["services"]
            recorder = services.get(Recorder)
            try:
                answer = await handler(**arguments)
            except RppamError as error:
                await recorder.record(act(arguments), Outcome.FAILURE, f"{error.row.code}: {error}")
                raise
            await recorder.record(act(arguments))
            return answer

        return answered  # type: ignore[return-value]  # the same signature, by wraps

    return mark
