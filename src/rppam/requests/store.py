"""Requests and grants in SQL: each act is one transaction, on any node, with or without a leader.

The transaction locks the request, looks at the people concerned, has the machine decide, and writes state, grant and
event together. Two decisions at one instant therefore follow each other, and the second is judged by what the first has
left. Time is the database's. What has run out counts as over before anybody has written that down.
"""

import json
import uuid
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, insert, or_, select

from rppam.access.accounts.store import locked_row
from rppam.access.accounts.tables import users
from rppam.access.passkeys.store import has_factor
from rppam.cluster.health.ports import Authority
from rppam.db.database import Database
from rppam.db.engine import now_ms
from rppam.db.fence import require_leadership
from rppam.db.store import SqlStore, reads, writes
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.requests.errors import (
    AskedAlready,
    ChangedMeanwhile,
    DecisionRefused,
    FactorNeeded,
    GrantUnknown,
    NotPossible,
    QuotaUsed,
    RequestError,
)
from rppam.requests.machine import (
    MINUTE_MS,
    Cancel,
    Decide,
    Event,
    Outcome,
    Refusal,
    RefusedError,
    Request,
    Review,
    Revoke,
    State,
    Tick,
    Verdict,
    begin,
    running_until,
    step,
)
from rppam.requests.model import FactorRule, Grant, ObjectKind, Policy, Record, Right, Rules, Wanted
from rppam.requests.policies_store import policies_in
from rppam.requests.policy import check_wanted, chosen, terms_of
from rppam.requests.rows_store import (
    Stored,
    columns_of,
    grants_of,
    locked,
    read,
    records_of,
    stored_of,
    unknown,
)
from rppam.requests.settling_store import record_refusal, settle
from rppam.requests.standing_store import chosen_approvers, enabled_among, groups_of, standings
from rppam.requests.tables import access_grants, access_requests, request_approvers, request_decisions
from rppam.requests.telling_store import tell_new

_R, _G = access_requests.c, access_grants.c
_DAY_MS: Final = 24 * 60 * MINUTE_MS
FindObject = Callable[[Connection, ObjectKind, str], str]
"""The name of what access is asked for. Raises :class:`RequestError` where there is none."""
EXTENSION_REFUSED: Final = "only a grant whose time runs is made longer"


class Query(NamedTuple):
    """Which requests or grants."""

    viewer: str | None = None
    """Only what concerns this account: asked for by it, or for it to decide."""
    requester: str | None = None
    states: tuple[State, ...] = ()
    to_decide: str | None = None
    """Pending ones that this account may decide about."""
    to_review: bool = False
    after: str | None = None
    size: int = 50


class SqlRequests(SqlStore):
    """See the module."""

    def __init__(self, database: Database, find_object: FindObject) -> None:
        super().__init__(database)
        self._find_object = find_object

    # ---- looking -----------------------------------------------------------------------------------------------------

    @reads
    def get(self, connection: Connection, ident: str) -> Record:
        """One request. Raises :class:`RequestUnknown`."""
        return records_of(connection, [read(connection, ident)])[0]

    @reads
    def page(self, connection: Connection, query: Query) -> tuple[list[Record], str | None]:
        """Requests, the newest first, and the id after which the next page begins."""
        wanted = select(access_requests).where(*_conditions(connection, query))
        wanted = wanted.order_by(_R.created_at.desc(), _R.id.desc()).limit(query.size + 1)
        rows = list(connection.execute(wanted))
        found = records_of(connection, stored_of(connection, rows[: query.size]))
        return found, found[-1].request.id if len(rows) > query.size else None

    @reads
    def grants(
        self, connection: Connection, user_id: str | None, *, live: bool, after: str | None, size: int
    ) -> tuple[list[Grant], str | None]:
        """Grants, the newest first, of one account or of all, and the id after which the next page begins."""
        order = (_G.created_at.desc(), _G.id.desc())
        # Of the small rows first: of many grants, few are joined with their requests.
        wanted = select(_G.id).order_by(*order).limit(size + 1)
        if user_id is not None:
            wanted = wanted.where(_G.user_id == user_id)
        if live:
            now = now_ms(connection)
            wanted = wanted.where(_G.ended_at.is_(None), or_(_G.until.is_(None), _G.until > now))
            wanted = wanted.where(or_(_G.until.is_not(None), _G.use_by.is_(None), _G.use_by > now))
        if after is not None:
            wanted = wanted.where(_older(_G, after))
        idents = list(connection.scalars(wanted))
        shown = connection.execute(_grants().where(_G.id.in_(idents[:size])).order_by(*order)).all()
        return grants_of(connection, shown), idents[size - 1] if len(idents) > size else None

    @reads
    def grant(self, connection: Connection, ident: str) -> Grant:
        """One grant. Raises :class:`GrantUnknown`."""
        return _grant(connection, ident)

    @reads
    def due(self, connection: Connection, count: int) -> list[str]:
        """Requests that time alone changes, or that the end of their requester does."""
        wanted = select(_R.id).where(_R.due_at <= now_ms(connection)).order_by(_R.due_at).limit(count)
        return list(connection.execute(wanted).scalars())

    @reads
    def of_gone_requesters(self, connection: Connection, count: int) -> list[str]:
        """Open requests of accounts that are disabled or deleted."""
        gone = select(users.c.id).where(or_(users.c.disabled, users.c.deleted_at.is_not(None)))
        wanted = select(_R.id).where(_R.due_at.is_not(None), _R.requester.in_(gone)).limit(count)
        return list(connection.execute(wanted).scalars())

    # ---- asking ------------------------------------------------------------------------------------------------------

    @writes
    def create(self, connection: Connection, user_id: str, wanted: Wanted) -> Record:
        """Ask for access; it is granted at once where the policy says so. Raises a :class:`RequestError`."""
        locked_row(connection, user_id)  # what one account asks for is judged one after the other
        name = self._find_object(connection, wanted.kind, wanted.object_id)
        wanted = wanted._replace(object_name=name)
        now = now_ms(connection)
        policy = chosen(policies_in(connection), user_id, groups_of(connection, user_id))
        check_wanted(policy.rules, wanted, now)
        _check_factor(connection, user_id, policy.rules, wanted)
        _check_new(connection, user_id, wanted, policy.rules, now)
        ident = _insert(connection, user_id, wanted, policy, now, extends="")
        return records_of(connection, [read(connection, ident)])[0]

    @writes
    def extend(
        self, connection: Connection, ident: str, user_id: str, minutes: int, reason: str, factor: str
    ) -> Record:
        """Ask for more time for a grant that runs. Raises a :class:`RequestError`."""
        extended = locked(connection, ident)
        request = extended.request
        if request.requester != user_id:
            raise unknown()
        locked_row(connection, user_id)
        now = now_ms(connection)
        until = running_until(request, now)
        if until is None:
            raise NotPossible(EXTENSION_REFUSED)
        made = select(_R.state).where(_R.extends == ident)
        states = list(connection.execute(made).scalars())
        if State.PENDING in states:
            raise AskedAlready("an extension of it waits for a decision already")
        if states.count(State.APPROVED) >= extended.rules.extensions:
            raise NotPossible(f"its policy allows {extended.rules.extensions} extensions, and there were as many")
        row = extended.row
        wanted = Wanted(
            ObjectKind(row.object_kind), row.object_id, row.object_name, tuple(map(Right, row.rights.split(","))),
            minutes, reason, factor=factor,
        )  # fmt: skip
        policy = chosen(policies_in(connection), user_id, groups_of(connection, user_id))
        check_wanted(policy.rules, wanted, now)
        _check_factor(connection, user_id, policy.rules, wanted)
        made_id = _insert(connection, user_id, wanted, policy, now, extends=ident, decide_by=until)
        return records_of(connection, [read(connection, made_id)])[0]

    # ---- deciding ----------------------------------------------------------------------------------------------------

    @writes
    def decide(
        self,
        connection: Connection,
        ident: str,
        by: str,
        verdict: Verdict,
        *,
        note: str = "",
        factor: str = "",
        seen: int | None = None,
    ) -> Record:
        """Approve or deny, as ``by``; ``seen`` is the version that they have looked at. Raises a
        :class:`RequestError`."""
        found = locked(connection, ident)
        request = found.request
        if by not in {one.user for one in request.approvers} and by != request.requester:
            raise DecisionRefused(_REFUSED[Refusal.NOT_AN_APPROVER])
        _check_seen(found, seen)
        if factor == "" and _asks(connection, by, found.rules.factor):
            raise FactorNeeded(
                "this decision needs a second factor; send the authenticator's code as 'code', or 'passkey'"
            )
        concerned = {by, *(one.approver for one in request.decisions)}
        people = standings(connection, ident, request.requester, concerned)
        is_enabled = request.requester in enabled_among(connection, [request.requester])
        now = now_ms(connection)
        extended = running_until(read(connection, request.extends).request, now) if request.extends else None
        decision = Decide(by, verdict, people, is_enabled, extended)
        outcome = _outcome(request, decision, now)
        row = {"request_id": ident, "approver": by, "verdict": verdict.value, "at": now, "note": note, "factor": factor}
        connection.execute(insert(request_decisions).values(**row))
        settle(connection, found, outcome, decision, now, note)
        return records_of(connection, [read(connection, ident)])[0]

    @writes
    def tell_refused(self, connection: Connection, ident: str, verdict: Verdict, why: str) -> None:
        """Record that a decision was refused, which is no part of the transaction that was."""
        record_refusal(connection, read(connection, ident), verdict, why)

    @writes
    def cancel(self, connection: Connection, ident: str, by: str) -> Record:
        """Take a request back, or give the access back. Raises a :class:`RequestError`."""
        found = locked(connection, ident)
        if found.request.requester != by:
            raise unknown()
        return _stepped(connection, found, Cancel(by), now_ms(connection), "")

    @writes
    def review(self, connection: Connection, ident: str, by: str, note: str) -> Record:
        """Close the review of an emergency. Raises a :class:`RequestError`."""
        found = locked(connection, ident)
        return _stepped(connection, found, Review(by), now_ms(connection), note)

    @writes
    def revoke(self, connection: Connection, grant_id: str, why: str, seen: int | None = None) -> Grant:
        """Take a grant away. Raises :class:`GrantUnknown`, :class:`NotPossible`, :class:`ChangedMeanwhile`."""
        grant = _grant(connection, grant_id)
        found = locked(connection, grant.request_id)
        if seen is not None and _grant(connection, grant_id).version != seen:
            raise ChangedMeanwhile("the grant has changed since the version that was sent")
        _stepped(connection, found, Revoke(why), now_ms(connection), why)
        return _grant(connection, grant_id)

    @writes
    def tick(self, connection: Connection, authority: Authority, node: str, ident: str) -> None:
        """Have time do its work on one request. Raises :class:`~rppam.http.errors.FencedError`."""
        require_leadership(connection, authority.epoch, node, authority.boot_id)
        found = locked(connection, ident)
        is_enabled = found.request.requester in enabled_among(connection, [found.request.requester])
        why = "" if is_enabled else "the account was disabled"
        _stepped(connection, found, Tick(is_enabled), now_ms(connection), why)


# ---- parts of transactions -------------------------------------------------------------------------------------------


def _insert(
    connection: Connection,
    user_id: str,
    wanted: Wanted,
    policy: Policy,
    now: int,
    *,
    extends: str,
    decide_by: int | None = None,
) -> str:
    """Make the request with its approvers, and what follows at once."""
    terms = terms_of(policy.rules, wanted, now)
    approvers = chosen_approvers(connection, user_id, policy.rules, terms, now)
    terms = terms._replace(denials=max(1, min(terms.denials, len(approvers))))
    ident = str(uuid.uuid4())
    request = Request(
        id=ident,
        requester=user_id,
        terms=terms,
        approvers=tuple(one.approver for one in approvers),
        state=State.PENDING,
        decide_by=min(now + terms.decide_ms, decide_by or now + terms.decide_ms),
        starts_at=wanted.starts_at,
        extends=extends,
        emergency=wanted.emergency,
        reviewed=not wanted.emergency,
    )
    columns = {
        "id": ident,
        "requester": user_id,
        "object_kind": wanted.kind.value,
        "object_id": wanted.object_id,
        "object_name": wanted.object_name[:300],
        "rights": ",".join(one.value for one in wanted.rights),
        "reason": wanted.reason,
        "factor": wanted.factor,
        "policy": policy.name,
        "terms": json.dumps(terms._asdict()),
        "rules": json.dumps(policy.rules._asdict()),
        "created_at": now,
        "extends": extends,
        "emergency": wanted.emergency,
        "why": "",
        "version": 1,
    }
    connection.execute(insert(access_requests).values(**columns, **columns_of(request)))
    if approvers:
        rows = [{"request_id": ident, **one._asdict()} for one in approvers]
        connection.execute(insert(request_approvers), [{**row, "user_id": row.pop("user")} for row in rows])
    target = Entity("request", ident, wanted.object_name)
    record(connection, "request.create", target, reason=wanted.reason, details=_facts(wanted, policy, request))
    made = read(connection, ident)
    tell_new(connection, made)
    settle(connection, made, begin(request, now), None, now, "")
    return ident


def _facts(wanted: Wanted, policy: Policy, request: Request) -> dict[str, Any]:
    return {
        "object": f"{wanted.kind.value} {wanted.object_id}",
        "rights": [one.value for one in wanted.rights],
        "minutes": request.terms.minutes,
        "policy": policy.name,
        "approvals": request.terms.needed,
        "emergency": wanted.emergency,
        "extends": request.extends,
    }


def _stepped(connection: Connection, found: Stored, event: Event, now: int, why: str) -> Record:
    """Have the machine decide and write what follows; the request then."""
    settle(connection, found, _outcome(found.request, event, now), event, now, why)
    return records_of(connection, [read(connection, found.request.id)])[0]


def _outcome(request: Request, event: Event, now: int) -> Outcome:
    try:
        return step(request, event, now)
    except RefusedError as error:
        raise _refused(error.refusal, request) from None


_REFUSED: Final = {
    Refusal.OWN: "nobody decides about their own request",
    Refusal.NOT_AN_APPROVER: "you are no approver of this request",
    Refusal.TOO_EARLY: "you stand in for its approvers, whose time to decide has not passed",
    Refusal.DISABLED: "your account is disabled",
    Refusal.NO_LONGER: "you were an approver when access was asked for, and are none any more",
}


def _refused(refusal: Refusal, request: Request) -> RequestError:
    if refusal in _REFUSED:
        return DecisionRefused(_REFUSED[refusal])
    sentences = {
        Refusal.OVER: f"it is {request.state.value} or its time is over",
        Refusal.TWICE: "you have decided about it already",
        Refusal.REQUESTER_DISABLED: "the account that asks is disabled",
        Refusal.NOT_GRANTED: f"it is {request.state.value}: there is no access to take away or to extend",
        Refusal.NOTHING_TO_REVIEW: "it is no emergency that waits for a review",
    }
    return NotPossible(sentences.get(refusal, refusal.value))


def _check_seen(found: Stored, seen: int | None) -> None:
    if seen is not None and seen != found.version:
        raise ChangedMeanwhile(f"it has version {found.version}, and version {seen} was sent")


def _asks(connection: Connection, user_id: str, rule: FactorRule) -> bool:
    return rule is FactorRule.REQUIRED or (rule is FactorRule.ENROLLED and has_factor(connection, user_id))


def _check_factor(connection: Connection, user_id: str, rules: Rules, wanted: Wanted) -> None:
    """An emergency, which nobody approves, needs the factor of the requester."""
    if wanted.emergency and not wanted.factor and _asks(connection, user_id, rules.factor):
        raise FactorNeeded("an emergency needs a second factor; send the authenticator's code as 'code', or 'passkey'")


def _check_new(connection: Connection, user_id: str, wanted: Wanted, rules: Rules, now: int) -> None:
    same = (_R.requester == user_id, _R.object_kind == wanted.kind.value, _R.object_id == wanted.object_id)
    if not wanted.emergency:
        waiting = select(_R.id).where(*same, _R.state == State.PENDING.value, _R.extends == "", _R.decide_by > now)
        there = connection.execute(waiting).scalars().first()
        if there is not None:
            raise AskedAlready(f"the request {there} for the same waits for a decision")
        return
    recent = select(func.count()).where(_R.requester == user_id, _R.emergency, _R.created_at > now - _DAY_MS)
    used: int = connection.execute(recent).scalar_one()
    if used >= rules.emergencies_per_day:
        raise QuotaUsed(f"there were {used} emergencies within 24 hours; the policy allows {rules.emergencies_per_day}")


def _conditions(connection: Connection, query: Query) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    for whom in filter(None, (query.viewer, query.to_decide)):
        mine = select(request_approvers.c.request_id).where(request_approvers.c.user_id == whom)
        if whom is query.to_decide and query.to_decide is not None:
            done = select(request_decisions.c.request_id).where(request_decisions.c.approver == whom)
            now = now_ms(connection)
            mine = mine.where(request_approvers.c.since <= now)
            wanted += [_R.state == State.PENDING.value, _R.decide_by > now, _R.id.in_(mine), _R.id.not_in(done)]
        else:
            wanted.append(or_(_R.requester == whom, _R.id.in_(mine)))
    if query.requester is not None:
        wanted.append(_R.requester == query.requester)
    if query.states:
        wanted.append(_R.state.in_([one.value for one in query.states]))
    if query.to_review:
        wanted += [_R.emergency, _R.reviewed.is_(False)]
    if query.after is not None:
        wanted.append(_older(_R, query.after))
    return wanted


def _older(columns: Any, ident: str) -> ColumnElement[bool]:
    """What comes after the row of this id; nothing where there is none."""
    at = select(columns.created_at).where(columns.id == ident).scalar_subquery()
    return or_(columns.created_at < at, (columns.created_at == at) & (columns.id < ident))


def _grants() -> Any:
    own = (_G.user_id, _G.begins_at, _G.until, _G.use_by, _G.ended_why, _G.rights)
    named = (_G.id.label("grant_id"), _G.created_at.label("granted_at"), _G.ended_at.label("over_at"))
    request = (_R.id, _R.object_kind, _R.object_id, _R.object_name, _R.state)
    return select(*own, *named, _G.version.label("grant_version"), *request).join_from(
        access_grants, access_requests, _G.request_id == _R.id
    )


def _grant(connection: Connection, ident: str) -> Grant:
    found = grants_of(connection, connection.execute(_grants().where(_G.id == ident)).all())
    if not found:
        raise GrantUnknown("no grant has this id")
    return found[0]
