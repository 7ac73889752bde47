"""The JSON of requests and grants, and how it is made of what is kept."""

from typing import Annotated, Final

from fastapi import Path
from pydantic import AwareDatetime, Field, SecretStr

from rppam.access.passkeys.schemas import Answer
from rppam.http.schemas import Flag, Shape
from rppam.http.times import iso_utc, iso_utc_ms
from rppam.kernel.instant import WallMs
from rppam.requests.machine import State, Verdict
from rppam.requests.model import MINUTES_MAX, REASON_CHARS, Grant, ObjectKind, Record, Right

ID: Final = "^[0-9a-zA-Z-]{1,36}$"
TEXT: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
"""Lines and tabs, and no other control: PostgreSQL takes no NUL, and a terminal obeys the rest."""
Ident = Annotated[str, Field(pattern=ID)]
Text = Annotated[str, Field(max_length=REASON_CHARS, pattern=TEXT)]
Reason = Annotated[str, Field(min_length=1, max_length=REASON_CHARS, pattern=TEXT)]
Minutes = Annotated[int, Field(ge=1, le=MINUTES_MAX, strict=True)]
Code = Annotated[SecretStr, Field(min_length=1, max_length=64)]
Seen = Annotated[int, Field(ge=1, strict=True)]
RequestId = Annotated[str, Path(alias="requestId", pattern=ID)]
GrantId = Annotated[str, Path(alias="grantId", pattern=ID)]


class AccessRequest(Shape):
    """What access is asked for: to an account on a target, or to an entry of the vault."""

    account_id: Ident | None = None
    entry_id: Ident | None = None
    rights: Annotated[list[Right], Field(min_length=1, max_length=len(Right))] = Field(default=[Right.USE])
    minutes: Minutes = 60
    """Cut to the maximum of the policy."""
    reason: Reason
    starts_at: AwareDatetime | None = None
    """Not before; ISO 8601 with an offset. Left out: once it is approved."""
    emergency: Flag = False
    """Granted at once, for the time that the policy allows; it is told to many, and somebody else reviews it."""
    code: Code | None = None
    """A code of the authenticator, where the policy asks an emergency for one."""
    passkey: Answer | None = None
    """In the place of `code`: what a passkey answered to POST /api/v1/auth/webauthn/prove."""


class DecisionRequest(Shape):
    """A decision about a request."""

    note: Text = ""
    code: Code | None = None
    """A code of the authenticator, where the policy asks for one."""
    passkey: Answer | None = None
    """In the place of `code`: what a passkey answered to POST /api/v1/auth/webauthn/prove."""
    version: Seen | None = None
    """The version that was looked at: with it, no decision is about something else (409)."""


class ExtensionRequest(Shape):
    """More time for a grant that runs."""

    minutes: Minutes
    reason: Reason
    code: Code | None = None
    passkey: Answer | None = None


class ReviewRequest(Shape):
    """What came of looking at an emergency."""

    note: Reason


class RevokeRequest(Shape):
    """Why access is taken away."""

    reason: Reason
    version: Seen | None = None


class ApproverShape(Shape):
    """Somebody who may decide, and what they have decided."""

    id: str
    username: str
    since: str | None
    """Stands in for others from then on; null: from the beginning."""
    verdict: Verdict | None
    decided_at: str | None
    note: str


class RequestShape(Shape):
    """A request for access. Times are ISO 8601, UTC, by the database's clock."""

    id: str
    state: State
    version: int
    """Grows with each change."""
    requester_id: str
    requester: str
    object_kind: ObjectKind
    object_id: str
    object_name: str
    rights: list[Right]
    reason: str
    minutes: int
    """As it was cut to the policy."""
    policy: str
    approvals_needed: int
    approvals: int
    approvers: list[ApproverShape]
    created_at: str
    decide_by: str
    starts_at: str | None
    use_by: str | None
    """Without use until then it expires; null once its time runs."""
    begins_at: str | None
    expires_at: str | None
    """The end of the access; null while its time does not run."""
    extends: str | None
    """The request whose grant this one makes longer."""
    emergency: bool
    reviewed: bool
    """False: an emergency that somebody else still has to look at."""
    grant_id: str | None
    ended_at: str | None
    why: str


class RequestPage(Shape):
    """A page of requests."""

    items: list[RequestShape]
    next: str | None
    """What to send as `after` for the next page; null on the last one."""


class GrantShape(Shape):
    """Access that somebody has or had. Times are ISO 8601, UTC, by the database's clock."""

    id: str
    request_id: str
    user_id: str
    user: str
    object_kind: ObjectKind
    object_id: str
    object_name: str
    rights: list[Right]
    state: State
    version: int
    created_at: str
    begins_at: str | None
    expires_at: str | None
    use_by: str | None
    ended_at: str | None
    ended_why: str


class GrantList(Shape):
    """A page of grants, the newest first."""

    items: list[GrantShape]
    next: str | None
    """What to send as `after` for the next page; null on the last one."""


def request_shape(record: Record) -> RequestShape:
    """What people and scripts see of a request."""
    request, wanted = record.request, record.wanted
    decided = {one.approver: one for one in request.decisions}
    return RequestShape(
        id=request.id,
        state=request.state,
        version=record.version,
        requester_id=request.requester,
        requester=record.requester_name,
        object_kind=wanted.kind,
        object_id=wanted.object_id,
        object_name=wanted.object_name,
        rights=list(wanted.rights),
        reason=wanted.reason,
        minutes=request.terms.minutes,
        policy=record.policy,
        approvals_needed=request.terms.needed,
        approvals=sum(1 for one in request.decisions if one.verdict is Verdict.APPROVE),
        approvers=[
            ApproverShape(
                id=one.user,
                username=record.approver_names.get(one.user, ""),
                since=_time(one.since or None),
                verdict=decided[one.user].verdict if one.user in decided else None,
                decided_at=_time(decided[one.user].at) if one.user in decided else None,
                note=record.notes.get(one.user, ""),
            )
            for one in request.approvers
        ],
        created_at=iso_utc_ms(record.created_at),
        decide_by=iso_utc(WallMs(request.decide_by)),
        starts_at=_time(request.starts_at),
        use_by=_time(request.use_by) if request.begins_at is None else None,
        begins_at=_time(request.begins_at),
        expires_at=_time(request.until),
        extends=request.extends or None,
        emergency=request.emergency,
        reviewed=request.reviewed,
        grant_id=record.grant_id or None,
        ended_at=_time(record.ended_at),
        why=record.why,
    )


def grant_shape(grant: Grant) -> GrantShape:
    """What people and scripts see of a grant."""
    return GrantShape(
        id=grant.id,
        request_id=grant.request_id,
        user_id=grant.user_id,
        user=grant.user_name,
        object_kind=grant.kind,
        object_id=grant.object_id,
        object_name=grant.object_name,
        rights=list(grant.rights),
        state=State(grant.state),
        version=grant.version,
        created_at=iso_utc_ms(grant.created_at),
        begins_at=_time(grant.begins_at),
        expires_at=_time(grant.until),
        use_by=_time(grant.use_by) if grant.begins_at is None else None,
        ended_at=_time(grant.ended_at),
        ended_why=grant.ended_why,
    )


def _time(at: int | None) -> str | None:
    return None if at is None else iso_utc(WallMs(at))
