"""Requests for access over REST: everybody asks for themselves, approvers decide, nobody about their own.

Any node answers, with or without a leader and Redis. A request is seen by who asks, by its approvers, and by those who
see everything; for others it does not exist.
"""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request

from rppam.access.accounts.api import own_id
from rppam.access.accounts.model import AccountRole
from rppam.access.passkeys.factor import shown_factor
from rppam.access.rbac.policy import Action, Caller, allows, check, lacking_role, rule_for
from rppam.access.sessions.api import caller_of
from rppam.access.sessions.model import Identity
from rppam.access.sessions.service import Sessions
from rppam.http.answers import BODY, NO_ACCOUNT, NO_DATABASE
from rppam.http.routes import SIGNED_IN, declare
from rppam.http.services import Here
from rppam.kernel.instant import WallMs
from rppam.kernel.services import Services
from rppam.requests.errors import DecisionRefused, RequestInvalid, RequestUnknown
from rppam.requests.machine import State, Verdict
from rppam.requests.model import PAGE_SIZE, PAGE_SIZE_MAX, ObjectKind, Record, Wanted
from rppam.requests.schemas import (
    ID,
    AccessRequest,
    DecisionRequest,
    ExtensionRequest,
    RequestId,
    RequestPage,
    RequestShape,
    ReviewRequest,
    request_shape,
)
from rppam.requests.standing_store import REVIEWING
from rppam.requests.store import Query as Which, SqlRequests
from rppam.vault.service import Vault

REQUESTS: Final = "/api/v1/access-requests"
APPROVALS: Final = "/api/v1/approvals"
requests = APIRouter(tags=["access requests"])
_HIDDEN: Final = "No request of this id, or one that the caller may not see"
_UNKNOWN: Final = {404: _HIDDEN, 503: NO_DATABASE}
_DECIDING: Final = {
    **BODY,
    **_UNKNOWN,
    403: "The caller may not decide about it (RPPAM-8504), or has to show a second factor (RPPAM-8508, RPPAM-8451)",
    409: "It is decided or over (RPPAM-8503), has changed since `version` (RPPAM-8509), or RPPAM-8452",
}
_ASKING: Final = {
    **BODY,
    403: "The token belongs to no account, or a second factor is needed (RPPAM-8508)",
    404: "What access is asked for does not exist",
    409: "The same was asked for already (RPPAM-8505), or too few could approve it (RPPAM-8506)",
    429: "The emergencies of a day are used up (RPPAM-8507)",
    503: NO_DATABASE,
}
PageSize = Annotated[int, Query(alias="pageSize", ge=1, le=PAGE_SIZE_MAX)]
After = Annotated[str | None, Query(pattern=ID)]
OVERSEERS: Final = (AccountRole.SECURITY_ADMIN,)


@rule_for(Record)
def _request(identity: Identity, action: Action, record: Record) -> str:
    concerned = {record.request.requester, *(one.user for one in record.request.approvers)}
    if action is Action.READ and identity.user_id in concerned:
        return ""
    return lacking_role(identity, action, OVERSEERS)


class Everything:
    """All requests and grants, whoever they belong to."""


@rule_for(Everything)
def _everything(identity: Identity, action: Action, _everything: Everything) -> str:
    return lacking_role(identity, action, OVERSEERS)


@requests.post(REQUESTS, summary="Ask for access", status_code=201, response_model=RequestShape)
@declare(SIGNED_IN, _ASKING)
async def ask(body: AccessRequest, request: Request, caller: Caller, services: Here) -> RequestShape:
    """Pending until enough approvers have approved it, or granted at once where the policy says so."""
    user_id = own_id(caller)
    if (body.account_id is None) is (body.entry_id is None):
        raise RequestInvalid("accountId, entryId: expected one of them")
    if body.entry_id is not None:
        await services.get(Vault).get(caller, body.entry_id)  # who may not know of an entry hears that there is none
    factor = await _proof(services, request, caller, body)
    wanted = Wanted(
        kind=ObjectKind.ACCOUNT if body.account_id is not None else ObjectKind.ENTRY,
        object_id=body.account_id or body.entry_id or "",
        object_name="",
        rights=tuple(dict.fromkeys(body.rights)),
        minutes=body.minutes,
        reason=body.reason,
        starts_at=_moment(body.starts_at),
        emergency=body.emergency,
        factor=factor,
    )
    return request_shape(await services.get(SqlRequests).create(user_id, wanted))


@requests.get(REQUESTS, summary="Requests for access", response_model=RequestPage)
@declare(SIGNED_IN, {400: "A parameter is not valid", 503: NO_DATABASE})
async def page(
    caller: Caller,
    services: Here,
    mine: bool = False,
    state: Annotated[list[State], Query(max_length=len(State))] = [],  # noqa: B006 - the framework copies it
    to_review: Annotated[bool, Query(alias="toReview")] = False,
    page_size: PageSize = PAGE_SIZE,
    after: After = None,
) -> RequestPage:
    """The newest first: all for administrators and auditors, else the own ones and those to decide about."""
    sees_all = allows(caller, Action.READ, Everything())
    which = Which(
        viewer=None if sees_all else caller.user_id or "-",
        requester=(caller.user_id or "-") if mine else None,
        states=tuple(state),
        to_review=to_review,
        after=after,
        size=page_size,
    )
    return await _page(services, which)


@requests.get(APPROVALS, summary="Requests that wait for the caller", response_model=RequestPage)
@declare(SIGNED_IN, {400: "A parameter is not valid", 503: NO_DATABASE})
async def queue(caller: Caller, services: Here, page_size: PageSize = PAGE_SIZE, after: After = None) -> RequestPage:
    """Pending ones that the caller may decide about and has not, the newest first."""
    return await _page(services, Which(to_decide=caller.user_id or "-", after=after, size=page_size))


@requests.get(f"{REQUESTS}/{{requestId}}", summary="One request", response_model=RequestShape)
@declare(SIGNED_IN, _UNKNOWN)
async def show(request_id: RequestId, caller: Caller, services: Here) -> RequestShape:
    """With its approvers, what they have decided, and what became of it. It is kept for ever."""
    return request_shape(await _seen(services, caller, request_id))


@requests.post(f"{REQUESTS}/{{requestId}}/approve", summary="Approve a request", response_model=RequestShape)
@declare(SIGNED_IN, _DECIDING)
async def approve(
    request_id: RequestId, request: Request, caller: Caller, services: Here, body: DecisionRequest | None = None
) -> RequestShape:
    """With the last approval that is needed the access is granted, in the same transaction."""
    return await _decide(services, request, caller, request_id, Verdict.APPROVE, body)


@requests.post(f"{REQUESTS}/{{requestId}}/deny", summary="Deny a request", response_model=RequestShape)
@declare(SIGNED_IN, _DECIDING)
async def deny(
    request_id: RequestId, request: Request, caller: Caller, services: Here, body: DecisionRequest | None = None
) -> RequestShape:
    """One denial ends it, unless the policy needs more."""
    return await _decide(services, request, caller, request_id, Verdict.DENY, body)


@requests.post(f"{REQUESTS}/{{requestId}}/cancel", summary="Take a request back", response_model=RequestShape)
@declare(SIGNED_IN, {**_UNKNOWN, 403: NO_ACCOUNT, 409: "It is over already"})
async def cancel(request_id: RequestId, caller: Caller, services: Here) -> RequestShape:
    """No body. By who has asked; access that was granted is given back and ends."""
    return request_shape(await services.get(SqlRequests).cancel(request_id, own_id(caller)))


@requests.post(
    f"{REQUESTS}/{{requestId}}/extend",
    summary="Ask for more time",
    status_code=201,
    response_model=RequestShape,
)
@declare(SIGNED_IN, {**_ASKING, 404: _HIDDEN, 409: "Its time does not run, or it was extended as often as allowed"})
async def extend(
    request_id: RequestId, body: ExtensionRequest, request: Request, caller: Caller, services: Here
) -> RequestShape:
    """A request of its own, decided like the first; once approved the grant lasts longer."""
    factor = await _proof(services, request, caller, body)
    asked = await services.get(SqlRequests).extend(request_id, own_id(caller), body.minutes, body.reason, factor)
    return request_shape(asked)


@requests.post(f"{REQUESTS}/{{requestId}}/review", summary="Close an emergency's review", response_model=RequestShape)
@declare(SIGNED_IN, {**BODY, **_UNKNOWN, 403: "By who had it, or without a role that approves", 409: "None is open"})
async def review(request_id: RequestId, body: ReviewRequest, caller: Caller, services: Here) -> RequestShape:
    """By an approver or administrator who did not ask for it."""
    user_id = own_id(caller)
    await _seen(services, caller, request_id, also=AccountRole.APPROVER)
    if caller.roles.isdisjoint(REVIEWING):
        raise DecisionRefused("a review needs the role pam_approver, pam_admin or security_admin")
    return request_shape(await services.get(SqlRequests).review(request_id, user_id, body.note))


async def _seen(services: Services, caller: Identity, ident: str, *, also: str = "") -> Record:
    """A request that the caller may see. Raises :class:`RequestUnknown`."""
    found = await services.get(SqlRequests).get(ident)
    if not (found.request.emergency and also in caller.roles):
        check(caller, Action.READ, found, RequestUnknown("no request for access has this id"))
    return found


async def _page(services: Services, which: Which) -> RequestPage:
    found, following = await services.get(SqlRequests).page(which)
    return RequestPage(items=[request_shape(one) for one in found], next=following)


async def _decide(
    services: Services,
    request: Request,
    caller: Identity,
    ident: str,
    verdict: Verdict,
    body: DecisionRequest | None,
) -> RequestShape:
    body = body or DecisionRequest()
    user_id = own_id(caller)
    await _seen(services, caller, ident)
    factor = await _proof(services, request, caller, body)
    store = services.get(SqlRequests)
    try:
        return request_shape(
            await store.decide(ident, user_id, verdict, note=body.note, factor=factor, seen=body.version)
        )
    except DecisionRefused as error:
        await store.tell_refused(ident, verdict, f"{error.row.code}: {error}")
        raise


async def _proof(
    services: Services, request: Request, caller: Identity, body: AccessRequest | DecisionRequest | ExtensionRequest
) -> str:
    """How the caller shows a second factor now: a passkey, a code, or a log-in with one just now; empty: not at all."""
    code = None if body.code is None else body.code.get_secret_value()
    if shown := await shown_factor(services, own_id(caller), body.passkey, code, caller_of(request).client):
        return shown
    is_fresh = caller.mfa and await services.get(Sessions).is_fresh(request.state.bearer)
    return "session" if is_fresh else ""


def _moment(at: datetime | None) -> WallMs | None:
    return None if at is None else WallMs(int(at.timestamp() * 1000))
