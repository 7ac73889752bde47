"""Rows of requests and what they mean: reading one for a transaction, and what is written of it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, select

from rppam.access.accounts.tables import users
from rppam.kernel.instant import WallMs
from rppam.requests.errors import RequestUnknown
from rppam.requests.machine import Approver, CountsFrom, Decision, Request, State, Terms, Verdict, due
from rppam.requests.model import Grant, ObjectKind, Record, Right, Rules, Wanted, rules_of
from rppam.requests.tables import access_grants, access_requests, request_approvers, request_decisions

_R: Final = access_requests.c


class Stored(NamedTuple):
    """A request as a transaction has read it."""

    request: Request
    row: Row[Any]
    rules: Rules

    @property
    def version(self) -> int:
        """Of the row."""
        version: int = self.row.version
        return version


def unknown() -> RequestUnknown:
    """What is raised for a request that is not there, or not for the caller."""
    return RequestUnknown("no request for access has this id")


def read(connection: Connection, ident: str) -> Stored:
    """One request. Raises :class:`RequestUnknown`."""
    row = connection.execute(select(access_requests).where(_R.id == ident)).one_or_none()
    if row is None:
        raise unknown()
    return stored_of(connection, [row])[0]


def locked(connection: Connection, ident: str) -> Stored:
    """As :func:`read`, locked until the transaction ends, behind what it extends: always in this order."""
    extended = connection.execute(select(_R.extends).where(_R.id == ident)).scalar_one_or_none()
    for one in (extended, ident):
        if one:
            connection.execute(select(_R.id).where(_R.id == one).with_for_update())
    return read(connection, ident)


def stored_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[Stored]:
    """The requests of ``rows``, in their order."""
    idents = [row.id for row in rows]
    approvers = _grouped(connection.execute(_of(request_approvers, idents)))
    decisions = _grouped(connection.execute(_of(request_decisions, idents)))
    found = []
    for row in rows:
        given = sorted(decisions.get(row.id, ()), key=lambda one: (one.at, one.approver))
        request = Request(
            id=row.id,
            requester=row.requester,
            terms=_terms(json.loads(row.terms)),
            approvers=tuple(Approver(one.user_id, one.since) for one in approvers.get(row.id, ())),
            state=State(row.state),
            decide_by=row.decide_by,
            decisions=tuple(Decision(one.approver, Verdict(one.verdict), one.at) for one in given),
            starts_at=row.starts_at,
            use_by=row.use_by,
            begins_at=row.begins_at,
            until=row.until,
            warned=row.warned,
            extends=row.extends,
            emergency=row.emergency,
            reviewed=row.reviewed,
        )
        found.append(Stored(request, row, rules_of(json.loads(row.rules))))
    return found


def columns_of(request: Request) -> dict[str, Any]:
    """What of a row changes with its request."""
    return {
        "state": request.state.value,
        "decide_by": request.decide_by,
        "starts_at": request.starts_at,
        "use_by": request.use_by,
        "begins_at": request.begins_at,
        "until": request.until,
        "warned": request.warned,
        "reviewed": request.reviewed,
        "due_at": due(request),
    }


def records_of(connection: Connection, found: Sequence[Stored]) -> list[Record]:
    """Requests with the names that people read."""
    idents = [one.request.id for one in found]
    notes = _grouped(connection.execute(_of(request_decisions, idents)))
    grants = {
        row.request_id: row.id
        for row in connection.execute(
            select(access_grants.c.request_id, access_grants.c.id).where(access_grants.c.request_id.in_(idents))
        )
    }
    people = {one.request.requester for one in found}
    people |= {approver.user for one in found for approver in one.request.approvers}
    names = names_of(connection, people)
    return [
        Record(
            request=one.request,
            version=one.version,
            requester_name=names.get(one.request.requester, ""),
            policy=one.row.policy,
            wanted=wanted_of(one),
            created_at=WallMs(one.row.created_at),
            grant_id=grants.get(one.request.id, ""),
            ended_at=None if one.row.ended_at is None else WallMs(one.row.ended_at),
            why=one.row.why,
            approver_names={who.user: names.get(who.user, "") for who in one.request.approvers},
            notes={row.approver: row.note for row in notes.get(one.request.id, ())},
        )
        for one in found
    ]


def wanted_of(one: Stored) -> Wanted:
    """What was asked for."""
    row = one.row
    return Wanted(
        kind=ObjectKind(row.object_kind),
        object_id=row.object_id,
        object_name=row.object_name,
        rights=rights_of(row.rights),
        minutes=one.request.terms.minutes,
        reason=row.reason,
        starts_at=None if row.starts_at is None else WallMs(row.starts_at),
        emergency=row.emergency,
        factor=row.factor,
    )


def grants_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[Grant]:
    """The grants of rows that join both tables."""
    names = names_of(connection, {row.user_id for row in rows})
    return [
        Grant(
            id=row.grant_id,
            request_id=row.id,
            user_id=row.user_id,
            user_name=names.get(row.user_id, ""),
            kind=ObjectKind(row.object_kind),
            object_id=row.object_id,
            object_name=row.object_name,
            rights=rights_of(row.rights),
            state=row.state,
            created_at=WallMs(row.granted_at),
            begins_at=_moment(row.begins_at),
            until=_moment(row.until),
            use_by=_moment(row.use_by),
            ended_at=_moment(row.over_at),
            ended_why=row.ended_why,
            version=row.grant_version,
        )
        for row in rows
    ]


def rights_of(text: str) -> tuple[Right, ...]:
    """Rights as they are kept; one that this release does not know gives nothing."""
    return tuple(Right(one) for one in text.split(",") if one in set(Right))


def names_of(connection: Connection, idents: Iterable[str]) -> Mapping[str, str]:
    """The names of accounts by id, deleted ones included."""
    wanted = select(users.c.id, users.c.name).where(users.c.id.in_(sorted(set(idents))))
    return {row.id: row.name for row in connection.execute(wanted)}


def _of(table: Any, idents: Sequence[str]) -> Any:
    return select(table).where(table.c.request_id.in_(idents))


def _grouped(rows: Iterable[Row[Any]]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.request_id, []).append(row)
    return found


def _terms(found: Mapping[str, Any]) -> Terms:
    known = {name: value for name, value in found.items() if name in Terms._fields}
    return Terms(**known)._replace(counts_from=CountsFrom(found["counts_from"]))


def _moment(at: int | None) -> WallMs | None:
    return None if at is None else WallMs(at)
