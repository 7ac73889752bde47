"""What becomes of a node's licence, in the ledger: each change once.

Decides what is new since the last event about this node's licence, which may be of an earlier life. A node goes by the
file that it read when it started, so does this. What it does not promise: an event while the database is away; it
follows when it is back.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from rppam.db.database import Database
from rppam.http.times import iso_utc
from rppam.kernel.clock import Clock
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity, Outcome
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
from rppam.licence.events import EXPIRE, INSTALL, REFUSE, REMOVE, WARN
from rppam.licence.model import Licence, LicenceState, state_of

_STAGES: Final = {INSTALL: 0, WARN: 1, EXPIRE: 2}
_REACHED: Final = {LicenceState.EXPIRING: WARN, LicenceState.EXPIRED: EXPIRE}
Found = tuple[Licence | None, str]
"""The licence in force, and why the file is not used."""


class Last(NamedTuple):
    """The last event about a node's licence."""

    action: str
    licence: str
    """Its id; empty for none."""
    reason: str


NEVER: Final = Last("", "", "")


def due(last: Last, found: Found, now: WallMs) -> list[str]:
    """Which actions are to be recorded now."""
    licence, problem = found
    if licence is None:
        if problem:
            return [] if (last.action, last.reason) == (REFUSE, problem) else [REFUSE]
        return [] if last.action in {"", REMOVE} else [REMOVE]
    is_known = last.action in _STAGES and last.licence == licence.id
    actions = [] if is_known else [INSTALL]
    reached = _REACHED.get(state_of(licence, now), INSTALL)
    if _STAGES[reached] > (_STAGES[last.action] if is_known else 0):
        actions.append(reached)
    return actions


class LicenceJournal:
    """See the module. One for each node."""

    def __init__(self, database: Database, node: str, clock: Clock, read: Callable[[], Found]) -> None:
        """``read`` is called at the first look."""
        self._database, self._node, self._clock, self._read = database, node, clock, read
        self._found: Found | None = None
        self._last: Last | None = None

    async def look(self) -> str:
        """Record what is new; no warning: health has its own. Raises a ``DatabaseError``."""
        if self._found is None:
            self._found = self._read()
        if self._last is None:
            self._last = await self._known()
        found = self._found
        actions = due(self._last, found, self._clock.wall_ms())
        if actions:
            await self._database.write(lambda connection: self._write(connection, actions, found))
            licence, problem = found
            self._last = Last(actions[-1], "" if licence is None else licence.id, problem)
        return ""

    async def _known(self) -> Last:
        wanted = Query("license.", object=self._node, newest=True, limit=1)
        for event in await SqlLedger(self._database).events(wanted):
            body = event.body
            return Last(body["action"], str(body["details"].get("id", "")), body["reason"])
        return NEVER

    def _write(self, connection: Connection, actions: list[str], found: Found) -> None:
        licence, problem = found
        details = {} if licence is None else _facts(licence)
        outcome = Outcome.FAILURE if problem else Outcome.SUCCESS
        for action in actions:
            target = Entity("node", self._node, self._node)
            record(connection, action, target, outcome=outcome, reason=problem, details=details)


def _facts(licence: Licence) -> dict[str, Any]:
    return {
        "id": licence.id,
        "customer": licence.customer,
        "tier": licence.tier.value,
        "maxNodes": licence.max_nodes,
        "expiresAt": iso_utc(licence.expires_at),
    }
