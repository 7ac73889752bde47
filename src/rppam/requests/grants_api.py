"""Grants over REST: who has access to what until when, and taking it away."""

from typing import Annotated, Final

from fastapi import APIRouter, Query

from rppam.access.rbac.policy import Action, Caller, allows
from rppam.http.answers import BODY, NO_DATABASE
from rppam.http.errors import ForbiddenError
from rppam.http.routes import SIGNED_IN, declare
from rppam.http.services import Here
from rppam.requests.api import After, Everything, PageSize
from rppam.requests.errors import GrantUnknown
from rppam.requests.model import PAGE_SIZE, Record
from rppam.requests.schemas import GrantId, GrantList, GrantShape, RevokeRequest, grant_shape
from rppam.requests.store import SqlRequests

GRANTS: Final = "/api/v1/grants"
grants = APIRouter(tags=["access requests"])
_UNKNOWN: Final = {404: "No grant of this id, or one that the caller may not see", 503: NO_DATABASE}


@grants.get(GRANTS, summary="Grants", response_model=GrantList)
@declare(SIGNED_IN, {400: "A parameter is not valid", 503: NO_DATABASE})
async def page(
    caller: Caller,
    services: Here,
    live: Annotated[bool, Query()] = True,
    mine: Annotated[bool, Query()] = False,
    page_size: PageSize = PAGE_SIZE,
    after: After = None,
) -> GrantList:
    """The newest first: all for administrators and auditors, else the own ones; `live=false` shows past ones too."""
    sees_all = allows(caller, Action.READ, Everything()) and not mine
    user_id = None if sees_all else caller.user_id or "-"
    found, following = await services.get(SqlRequests).grants(user_id, live=live, after=after, size=page_size)
    return GrantList(items=[grant_shape(one) for one in found], next=following)


@grants.get(f"{GRANTS}/{{grantId}}", summary="One grant", response_model=GrantShape)
@declare(SIGNED_IN, _UNKNOWN)
async def show(grant_id: GrantId, caller: Caller, services: Here) -> GrantShape:
    """What it allows and until when."""
    grant = await services.get(SqlRequests).grant(grant_id)
    if not allows(caller, Action.READ, await services.get(SqlRequests).get(grant.request_id)):
        raise GrantUnknown("no grant has this id")
    return grant_shape(grant)


@grants.post(f"{GRANTS}/{{grantId}}/revoke", summary="Take access away", response_model=GrantShape)
@declare(
    SIGNED_IN,
    {**BODY, **_UNKNOWN, 403: "Only an approver of it or an administrator", 409: "It is over, or has changed"},
)
async def revoke(grant_id: GrantId, body: RevokeRequest, caller: Caller, services: Here) -> GrantShape:
    """At once on all nodes. Who has it gives it back with `cancel` of its request."""
    grant = await services.get(SqlRequests).grant(grant_id)
    record: Record = await services.get(SqlRequests).get(grant.request_id)
    if not allows(caller, Action.READ, record):
        raise GrantUnknown("no grant has this id")
    is_approver = caller.user_id in {one.user for one in record.request.approvers}
    if not is_approver and not allows(caller, Action.END, record):
        raise ForbiddenError("a grant is taken away by one of its approvers, security_admin or pam_admin")
    return grant_shape(await services.get(SqlRequests).revoke(grant_id, body.reason, body.version))
