"""``GET /api/v1/events``: that something changed, and how the cluster is, for pages that stay open.

The ledger is the log that these events come from: every change is recorded there in its own transaction, so none is
missing, and a position in it means the same on every node. A page that lost its node asks another with the last
position. Only *that* something of a kind changed is said, and to those who may read the ledger, what; the page then
asks with its own rights.

Rows become visible in another order than they are numbered, so the last :data:`LOOK_BACK` are looked at again each
time, and a page may hear of one twice, by the same position. After a gap larger than :data:`WINDOW` it is told so.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Header, Query
from sqlalchemy import Connection, select

from rppam.access.accounts.model import AccountRole
from rppam.access.rbac.policy import Caller
from rppam.access.sessions.model import Identity
from rppam.console.pages import BUILD
from rppam.db.database import Database
from rppam.db.errors import DatabaseError
from rppam.db.store import SqlStore, reads
from rppam.foundation import Foundation
from rppam.http.errors import ForbiddenError
from rppam.http.routes import SIGNED_IN, Kind, declare
from rppam.http.services import Here
from rppam.http.streams import Event, EventStream
from rppam.http.times import iso_utc_ms
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS
from rppam.kernel.services import Services
from rppam.ledger.tables import audit_events
from rppam.manager.cluster_events import ClusterWatch, View

WINDOW: Final = 1_000
LOOK_BACK: Final = 64
LOOK_EVERY_S: Final = 0.4
ALIVE_EVERY_S: Final = 4.0
_SEES: Final = frozenset({AccountRole.ADMIN, AccountRole.AUDITOR})
events = APIRouter(tags=["events"])
Position = Annotated[int | None, Query(ge=0, description="The position reached: events behind it come first")]
_E: Final = audit_events.c


class Change(NamedTuple):
    """One event of the ledger, as far as a page hears of it."""

    position: int
    kind: str
    action: str
    id: str
    outcome: str


class LedgerTail(SqlStore):
    """The newest events of the ledger, looked up once for all streams of a process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database)
        self._clock = clock
        self._looked_at = 0
        self._looking = asyncio.Lock()
        self.known: dict[int, Change] = {}

    async def look(self) -> None:
        """Learn what is new, unless another stream just did. While the database is away nothing is new."""
        async with self._looking:
            now = self._clock.now()
            if self.known and now - self._looked_at < LOOK_EVERY_S * 500 * US_PER_MS:
                return
            self._looked_at = now
            try:
                found = await self._behind(max(self.known, default=0) - LOOK_BACK)
            except DatabaseError:
                return
            self.known.update((one.position, one) for one in found if one.position not in self.known)
            for old in sorted(self.known)[:-WINDOW]:
                del self.known[old]

    @reads
    def _behind(self, connection: Connection, position: int) -> list[Change]:
        columns = (_E.seq, _E.object_kind, _E.action, _E.object_id, _E.outcome)
        wanted = select(*columns).where(_E.seq > position).order_by(_E.seq.desc()).limit(WINDOW)
        return [Change(*row) for row in connection.execute(wanted)]


@events.get("/api/v1/events", summary="That something changed, as it happens", response_model=None)
@declare(SIGNED_IN, kind=Kind.EVENTS)
async def stream_changes(
    services: Here,
    caller: Caller,
    after: Position = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", pattern="^[0-9]{1,18}$")] = None,
) -> EventStream:
    """Server-sent events for a page that stays open. `hello` comes first: the node, its time, the console's build, and
    `gap` where more happened behind `after` than can be told. `changed` names the kind of thing that changed, with its
    `position`, which is also the event's id: another node goes on from there. `cluster` is how the cluster is, `alive`
    comes every four seconds, and `end` says why the stream ends.

    One event may come twice, with the same `position`. Administrators and auditors also hear the action and the id.
    """
    start = after if after is not None else None if last_event_id is None else int(last_event_id)
    sees = _sees(caller)

    def still_may(now: Identity) -> None:
        if _sees(now) is not sees:
            raise ForbiddenError("the roles have changed; open the stream again")

    return EventStream(_told(services, start, sees=sees), still_may)


async def _told(services: Services, start: int | None, *, sees: bool) -> AsyncIterator[Event | None]:
    base, tail, watch = services.get(Foundation), services.get(LedgerTail), services.get(ClusterWatch)
    loop = asyncio.get_running_loop()
    await tail.look()
    oldest, newest = min(tail.known, default=0), max(tail.known, default=0)
    position = newest if start is None else start
    gap = start is not None and (start > newest or (start < oldest - 1 and len(tail.known) >= WINDOW))
    told = {one for one in tail.known if one <= position - (LOOK_BACK if start is not None else 0)}
    now = {"time": iso_utc_ms(base.session_clock.wall_ms())}
    yield Event("hello", {**now, "node": base.node, "build": BUILD, "gap": gap, "position": position}, str(position))
    seen: View | None = None
    said_s = loop.time()
    while True:
        for change in [tail.known[one] for one in sorted(tail.known.keys() - told)]:
            told.add(change.position)
            position = max(position, change.position)
            said_s = loop.time()
            yield Event("changed", change._asdict() if sees else _hidden(change), str(position))
        told &= tail.known.keys()
        view = watch.view()
        if seen is None or _standing(view) != _standing(seen):
            seen, said_s = view, loop.time()
            yield Event("cluster", view if sees else _outline(view))
        if loop.time() - said_s >= ALIVE_EVERY_S:
            said_s = loop.time()
            yield Event("alive", {})
        yield None
        await asyncio.sleep(LOOK_EVERY_S)
        await tail.look()


def _sees(identity: Identity) -> bool:
    return not identity.roles.isdisjoint(_SEES)


def _hidden(change: Change) -> dict[str, Any]:
    return {"position": change.position, "kind": change.kind}


def _standing(view: View) -> View:
    return {name: value for name, value in view.items() if name != "time"}


def _outline(view: View) -> View:
    """What everybody may know: whether there is a leader, and whether all is well."""
    cluster = {**view["cluster"], "quorumReason": "", "redisReason": "", "warnings": []}
    return {**view, "members": {}, "findings": [], "cluster": cluster}
