"""Approval policies over REST: ``security_admin`` and ``pam_admin`` change them, ``pam_auditor`` reads them."""

import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from rppam.access.accounts.model import AccountRole
from rppam.http.answers import BODY, HAD, NO_DATABASE
from rppam.http.revisions import Expected, tagged, unchanged
from rppam.http.routes import declare, for_roles
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.requests.machine import CountsFrom
from rppam.requests.model import BUILT_IN, MINUTES_MAX, FactorRule, Level, Mode, Policy, Rules, Window
from rppam.requests.policies_store import SqlPolicies
from rppam.requests.policy import check_policy
from rppam.requests.schemas import ID, Ident, Minutes, Seen

POLICIES: Final = "/api/v1/approval-policies"
policies = APIRouter(tags=["access requests"])
MAY: Final = for_roles(AccountRole.SECURITY_ADMIN)
_UNKNOWN: Final = {404: "No approval policy has this id", 503: NO_DATABASE}
_SUBJECT: Final = {404: "No policy has this id, or no such user or group"}
_TAKEN: Final = {409: "The name is taken, or there is one for this subject already, or it has changed (RPPAM-8509)"}
PolicyId = Annotated[str, Path(alias="policyId", pattern=ID)]
Name = Annotated[str, Field(pattern="^[A-Za-z0-9._ -]{1,64}$")]
Count = Annotated[int, Field(ge=1, le=20, strict=True)]
Day = Annotated[int, Field(ge=1, le=7, strict=True)]


class WindowShape(Shape):
    """Hours of the week."""

    days: Annotated[list[Day], Field(min_length=1, max_length=7)]
    """1 for Monday to 7 for Sunday."""
    begins: Annotated[str, Field(max_length=5)]
    """`HH:MM`."""
    ends: Annotated[str, Field(max_length=5)]
    """`HH:MM`; at or before `begins`: on the next day."""


class PairShape(Shape):
    """Somebody who may not decide about somebody else's requests."""

    requester_id: Ident
    approver_id: Ident


class RulesShape(Shape):
    """What a policy says; what is left out has its default."""

    approval_mode: Mode = Mode.SINGLE
    approvals: Count = 1
    """For `multi_approver`, and for `time_based_auto` outside its windows."""
    denials: Count = 1
    """So many denials end a request."""
    approver_group: Ident | None = None
    """The group whose members approve; else the roles `pam_approver` and `pam_admin`."""
    stand_in_minutes: Annotated[int, Field(ge=0, le=MINUTES_MAX, strict=True)] = 0
    """After so long `pam_admin` may decide as well; 0: never."""
    excluded: Annotated[list[PairShape], Field(max_length=200)] = Field(default_factory=list)
    max_minutes: Minutes = 480
    counts_from: CountsFrom = CountsFrom.USE
    decide_minutes: Minutes = 24 * 60
    """So long a request waits for decisions."""
    use_minutes: Minutes = 24 * 60
    """So long a grant waits for its first use."""
    extensions: Annotated[int, Field(ge=0, le=20, strict=True)] = 1
    windows: Annotated[list[WindowShape], Field(max_length=20)] = Field(default_factory=list)
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"
    factor: FactorRule = FactorRule.ENROLLED
    """Whether approvers, and who declares an emergency, show a second factor."""
    reason_pattern: Annotated[str, Field(max_length=200)] = ""
    """A regular expression that the reason has to contain, such as `INC-[0-9]+`."""
    emergency_minutes: Annotated[int, Field(ge=0, le=24 * 60, strict=True)] = 60
    """Length of an emergency; 0: there are none."""
    emergencies_per_day: Annotated[int, Field(ge=1, le=100, strict=True)] = 3


class PolicyRequest(RulesShape):
    """A policy as it shall be."""

    name: Name
    level: Level
    subject: Ident | None = None
    """Id of the user or group; left out for `default`."""
    priority: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0
    """Of several groups' policies the highest holds."""
    revision: Seen | None = None
    """For a change: the revision that was looked at; with it, no change of somebody else is overwritten (409)."""


class PolicyShape(RulesShape):
    """A policy."""

    id: str
    name: str
    level: Level
    subject: str | None
    priority: int
    revision: int


class PolicyList(Shape):
    """All policies."""

    items: list[PolicyShape]
    built_in: PolicyShape
    """Holds for everybody for whom none of `items` does."""


@policies.get(POLICIES, summary="Approval policies", response_model=PolicyList)
@declare(MAY, {503: NO_DATABASE})
async def list_policies(services: Here) -> PolicyList:
    """By name. Of those for somebody the user's holds, else a group's, else the default, else the built-in one."""
    found = await services.get(SqlPolicies).all()
    return PolicyList(items=[_shape(one) for one in found], built_in=_shape(BUILT_IN))


@policies.post(POLICIES, summary="Add an approval policy", status_code=201, response_model=PolicyShape)
@declare(MAY, {**BODY, **_SUBJECT, **_TAKEN, 503: NO_DATABASE})
async def add_policy(body: PolicyRequest, services: Here, response: Response) -> PolicyShape:
    """For requests from now on; those that were made before keep their terms."""
    policy = _policy(str(uuid.uuid4()), body)
    check_policy(policy)
    return _answer(await services.get(SqlPolicies).create(policy), response)


@policies.get(f"{POLICIES}/{{policyId}}", summary="One approval policy", response_model=PolicyShape)
@declare(MAY, {**_UNKNOWN, **HAD})
async def show_policy(
    policy_id: PolicyId, request: Request, services: Here, response: Response
) -> PolicyShape | Response:
    """All that it says. The ETag is the revision."""
    found = await services.get(SqlPolicies).get(policy_id)
    return unchanged(request, found.revision) or _answer(found, response)


@policies.put(f"{POLICIES}/{{policyId}}", summary="Change an approval policy", response_model=PolicyShape)
@declare(MAY, {**BODY, **_SUBJECT, **_TAKEN, 503: NO_DATABASE})
async def change_policy(
    policy_id: PolicyId, body: PolicyRequest, expected: Expected, services: Here, response: Response
) -> PolicyShape:
    """For requests from now on; those that were made before keep their terms."""
    policy = _policy(policy_id, body)
    check_policy(policy)
    return _answer(await services.get(SqlPolicies).change(policy, body.revision, expected), response)


@policies.delete(f"{POLICIES}/{{policyId}}", summary="Delete an approval policy", status_code=204)
@declare(MAY, _UNKNOWN)
async def remove_policy(policy_id: PolicyId, expected: Expected, services: Here) -> None:
    """Requests that were made under it keep their terms."""
    await services.get(SqlPolicies).remove(policy_id, expected)


def _policy(ident: str, body: PolicyRequest) -> Policy:
    rules = Rules(
        mode=body.approval_mode,
        approvals=body.approvals,
        denials=body.denials,
        approver_group=body.approver_group or "",
        stand_in_minutes=body.stand_in_minutes,
        excluded=tuple((one.requester_id, one.approver_id) for one in body.excluded),
        max_minutes=body.max_minutes,
        counts_from=body.counts_from,
        decide_minutes=body.decide_minutes,
        use_minutes=body.use_minutes,
        extensions=body.extensions,
        windows=tuple(Window(tuple(one.days), one.begins, one.ends) for one in body.windows),
        time_zone=body.time_zone,
        factor=body.factor,
        reason_pattern=body.reason_pattern,
        emergency_minutes=body.emergency_minutes,
        emergencies_per_day=body.emergencies_per_day,
    )
    return Policy(ident, body.name, body.level, body.subject or "", body.priority, rules, 1)


def _answer(policy: Policy, response: Response) -> PolicyShape:
    tagged(response, policy.revision)
    return _shape(policy)


def _shape(policy: Policy) -> PolicyShape:
    rules = policy.rules
    return PolicyShape(
        id=policy.id,
        name=policy.name,
        level=policy.level,
        subject=policy.subject or None,
        priority=policy.priority,
        revision=policy.revision,
        approval_mode=rules.mode,
        approvals=rules.approvals,
        denials=rules.denials,
        approver_group=rules.approver_group or None,
        stand_in_minutes=rules.stand_in_minutes,
        excluded=[PairShape(requester_id=asker, approver_id=approver) for asker, approver in rules.excluded],
        max_minutes=rules.max_minutes,
        counts_from=rules.counts_from,
        decide_minutes=rules.decide_minutes,
        use_minutes=rules.use_minutes,
        extensions=rules.extensions,
        windows=[WindowShape(days=list(one.days), begins=one.begins, ends=one.ends) for one in rules.windows],
        time_zone=rules.time_zone,
        factor=rules.factor,
        reason_pattern=rules.reason_pattern,
        emergency_minutes=rules.emergency_minutes,
        emergencies_per_day=rules.emergencies_per_day,
    )
