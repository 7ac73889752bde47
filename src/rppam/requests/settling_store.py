"""What follows from a step of the machine, in the transaction that it is taken in: rows, grant, events, extensions.

The row is written only while it has the version that was read. It is locked, so that always holds; where it does not,
the transaction is undone and nothing has happened.
"""

import uuid
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from rppam.db.engine import rows_changed
from rppam.ledger.model import Entity, Outcome as Result
from rppam.ledger.record import record
from rppam.requests.errors import ChangedMeanwhile
from rppam.requests.machine import (
    Cancel,
    Decide,
    Effect,
    Event,
    Orphan,
    Outcome,
    Prolong,
    Request,
    Revoke,
    State,
    Verdict,
    step,
)
from rppam.requests.rows_store import Stored, columns_of, locked, read
from rppam.requests.tables import access_grants, access_requests
from rppam.requests.telling_store import tell
from rppam.vault.checkout_store import end_of_grant

_R, _G = access_requests.c, access_grants.c
_DECISIONS: Final = {Verdict.APPROVE: "request.approve", Verdict.DENY: "request.deny"}
_WHY: Final = {
    State.ENDED: "its time has passed",
    State.EXPIRED: "it was not used in time",
    State.CANCELLED: "given back",
}


def settle(connection: Connection, found: Stored, outcome: Outcome, event: Event | None, now: int, why: str) -> None:
    """Write what ``event`` has made of a request, and all that follows from it. Raises :class:`ChangedMeanwhile`."""
    request = outcome.request
    if request == found.request and not outcome.effects:
        return
    columns = columns_of(request) | {"version": found.version + 1}
    if Effect.OVER in outcome.effects:
        columns |= {"ended_at": now, "why": (why or _why(request, event))[:1000]}
    unchanged = (_R.id == request.id) & (_R.version == found.version)
    if rows_changed(connection, update(access_requests).where(unchanged).values(**columns)) != 1:
        raise ChangedMeanwhile("the request was changed at the same time")
    _record_act(connection, found, outcome, event, why)
    tell(connection, found, outcome, event, why or (_why(request, event) if Effect.OVER in outcome.effects else ""))
    for effect in outcome.effects:
        if effect is Effect.GRANT:
            _make_grant(connection, found, request, now)
        elif effect is Effect.RUN:
            _run(connection, found, request, event)
        elif effect is Effect.END:
            _end(connection, found, request, event, now, why)
        elif effect is Effect.PROLONG:
            extended = locked(connection, request.extends)
            prolong = Prolong(request.terms.minutes)
            settle(connection, extended, step(extended.request, prolong, now), prolong, now, request.id)
        elif effect is Effect.OVER and not request.extends:
            _orphan(connection, request, now)


def record_refusal(connection: Connection, found: Stored, verdict: Verdict, why: str) -> None:
    """Record that somebody who may not has tried to decide."""
    record(connection, _DECISIONS[verdict], _entity(found), outcome=Result.FAILURE, reason=why)


def _record_act(connection: Connection, found: Stored, outcome: Outcome, event: Event | None, why: str) -> None:
    request, target = outcome.request, _entity(found)
    if isinstance(event, Decide):
        is_enough = Effect.GRANT in outcome.effects or Effect.PROLONG in outcome.effects
        record(connection, _DECISIONS[event.verdict], target, reason=why, details={"granted": is_enough})
    elif isinstance(event, Cancel | Orphan):
        record(connection, "request.cancel", target, reason=why or _why(request, event))
    elif Effect.REVIEWED in outcome.effects:
        record(connection, "request.review", target, reason=why)
    elif request.state is State.EXPIRED and Effect.OVER in outcome.effects:
        record(connection, "request.expire", target)


def _make_grant(connection: Connection, found: Stored, request: Request, now: int) -> None:
    row, ident = found.row, str(uuid.uuid4())
    connection.execute(
        insert(access_grants).values(
            id=ident,
            request_id=request.id,
            user_id=request.requester,
            object_kind=row.object_kind,
            object_id=row.object_id,
            rights=row.rights,
            created_at=now,
            begins_at=request.begins_at,
            until=request.until,
            use_by=request.use_by,
            ended_why="",
            version=1,
        )
    )
    facts = {
        "request": request.id,
        "user": request.requester,
        "object": f"{row.object_kind} {row.object_id}",
        "rights": row.rights.split(","),
        "minutes": request.terms.minutes,
    }
    record(connection, "grant.create", Entity("grant", ident, row.object_name), details=facts)


def _run(connection: Connection, found: Stored, request: Request, event: Event | None) -> None:
    grant = _change_grant(connection, request, {"begins_at": request.begins_at, "until": request.until})
    target = Entity("grant", grant, found.row.object_name)
    facts: dict[str, Any] = {"until": request.until}
    if isinstance(event, Prolong):
        record(connection, "grant.extend", target, details=facts | {"minutes": event.minutes})
    else:
        record(connection, "grant.begin", target, details=facts | {"from": request.begins_at})


def _end(connection: Connection, found: Stored, request: Request, event: Event | None, now: int, why: str) -> None:
    reason = why or _why(request, event)
    grant = _change_grant(connection, request, {"ended_at": now, "ended_why": reason[:1000]})
    target = Entity("grant", grant, found.row.object_name)
    end_of_grant(connection, grant)
    action = "grant.revoke" if request.state is State.REVOKED else "grant.end"
    record(connection, action, target, reason=reason)


def _change_grant(connection: Connection, request: Request, columns: dict[str, Any]) -> str:
    grant: str = connection.execute(select(_G.id).where(_G.request_id == request.id)).scalar_one()
    connection.execute(update(access_grants).where(_G.id == grant).values(**columns, version=_G.version + 1))
    return grant


def _orphan(connection: Connection, request: Request, now: int) -> None:
    """Extensions that still wait have nothing to extend any more."""
    waiting = select(_R.id).where(_R.extends == request.id, _R.state == State.PENDING.value)
    for ident in connection.execute(waiting).scalars().all():
        connection.execute(select(_R.id).where(_R.id == ident).with_for_update())
        extension = read(connection, ident)
        if not extension.request.is_final and now < extension.request.decide_by:
            settle(connection, extension, step(extension.request, Orphan(), now), Orphan(), now, "")


def _entity(found: Stored) -> Entity:
    return Entity("request", found.request.id, found.row.object_name)


def _why(request: Request, event: Event | None) -> str:
    if isinstance(event, Orphan):
        return "what it was to extend is over"
    if isinstance(event, Cancel):
        return "given back" if request.state is State.ENDED else "cancelled by the requester"
    if isinstance(event, Revoke):
        return event.why
    if isinstance(event, Decide):
        return "denied" if event.verdict is Verdict.DENY else "approved"
    if request.state is State.EXPIRED and request.use_by is None:
        return "it was not decided in time"
    return _WHY.get(request.state, "")
