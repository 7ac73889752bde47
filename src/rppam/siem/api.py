"""SIEM targets over REST: ``security_admin`` and ``pam_admin`` change them, ``pam_auditor`` reads them."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import Field

from rppam.access.accounts.model import AccountRole
from rppam.access.rbac.policy import Caller
from rppam.foundation import Foundation
from rppam.http.answers import BODY, NO_DATABASE
from rppam.http.revisions import Expected, tagged
from rppam.http.routes import declare, for_roles
from rppam.http.schemas import Flag, Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.kernel.secret import Secret
from rppam.ledger.acts import Act, recorded
from rppam.ledger.model import Entity
from rppam.ledger.store import SqlLedger
from rppam.siem.bounds import BATCH_BYTES
from rppam.siem.delivery import send_test
from rppam.siem.model import Format, Options, Target, TargetKind, check_target
from rppam.siem.store import Progress, SqlTargets

TARGETS = "/api/v1/siem/targets"
siem = APIRouter(tags=["siem"])
_MAY = for_roles(AccountRole.SECURITY_ADMIN)
_UNKNOWN = {404: "No target has this id", 503: NO_DATABASE}
TargetId = Annotated[str, Path(alias="targetId", min_length=1, max_length=36)]
Word = Annotated[str, Field(max_length=200)]


class OptionsShape(Shape):
    """What else a target says; what is left out has its default."""

    batch_size: Annotated[int, Field(ge=1, le=5_000)] = 100
    """Events in one request, at most."""
    batch_bytes: Annotated[int, Field(ge=10_000, le=BATCH_BYTES)] = BATCH_BYTES
    """Bytes in one request, at most; less where the target has refused so many (413)."""
    flush_seconds: Annotated[int, Field(ge=0, le=300)] = 5
    verify_tls: Flag = True
    ca_path: Word = ""
    token_url: Word = ""
    client_id: Word = ""
    rule_id: Word = ""
    stream: Word = ""
    acknowledge: Flag = True


class TargetRequest(Shape):
    """A target as it shall be. Without `secret` the one that it has stays."""

    name: Annotated[str, Field(pattern="^[A-Za-z0-9._ -]{1,64}$")]
    kind: TargetKind
    url: Annotated[str, Field(max_length=500)]
    format: Format = Format.JSON
    secret: Annotated[str, Field(min_length=1, max_length=400)] | None = None
    enabled: Flag = True
    options: OptionsShape = OptionsShape()
    from_start: Flag = False
    """Send the whole ledger, and not only what is recorded from now on; for a new target."""


class TargetShape(Shape):
    """A target and how far its delivery has come."""

    id: str
    name: str
    kind: TargetKind
    url: str
    format: Format
    has_secret: bool
    enabled: bool
    options: OptionsShape
    revision: int
    """Grows with each change of the settings; also the ETag."""
    cursor: int
    waiting: int
    """Events that are recorded and not delivered for certain yet."""
    lag_seconds: int
    """How long the oldest of them waits."""
    sent_at: str | None
    failed_since: str | None
    problem: str


class TargetList(Shape):
    """All targets."""

    items: list[TargetShape]


class Tested(Shape):
    """The test event was taken."""

    said: str


@siem.get(TARGETS, summary="SIEM targets", response_model=TargetList)
@declare(_MAY, {503: NO_DATABASE})
async def list_targets(services: Here) -> TargetList:
    """By name, each with how many events wait for it."""
    return TargetList(items=[_shape(one) for one in await services.get(SqlTargets).progress()])


@siem.post(TARGETS, summary="Add a SIEM target", status_code=201, response_model=TargetShape)
@declare(_MAY, {**BODY, 409: "The name is taken", 503: NO_DATABASE})
async def add_target(body: TargetRequest, services: Here, response: Response) -> TargetShape:
    """The leader begins to deliver to it at once."""
    newest = await services.get(SqlLedger).newest()
    size = 0 if newest is None else newest.size
    target = _target(str(uuid.uuid4()), body, cursor=0 if body.from_start else size)
    check_target(target.kind, target.format, target.url, target.options, has_secret=body.secret is not None)
    await services.get(SqlTargets).create(target)
    return await _answer(services, target.id, response)


@siem.get(f"{TARGETS}/{{targetId}}", summary="One SIEM target", response_model=TargetShape)
@declare(_MAY, _UNKNOWN)
async def show_target(target_id: TargetId, services: Here, response: Response) -> TargetShape:
    """Its settings, and how many events wait for it. Its secret is never shown. The ETag is the revision of the
    settings."""
    return await _answer(services, target_id, response)


@siem.put(f"{TARGETS}/{{targetId}}", summary="Change a SIEM target", response_model=TargetShape)
@declare(_MAY, {**BODY, **_UNKNOWN, 409: "The name is taken"})
async def change_target(
    target_id: TargetId, body: TargetRequest, expected: Expected, services: Here, response: Response
) -> TargetShape:
    """Delivery goes on where it was."""
    targets = services.get(SqlTargets)
    before = await targets.get(target_id)
    target = _target(target_id, body, cursor=before.cursor)
    has_secret = body.secret is not None or before.secret is not None
    check_target(target.kind, target.format, target.url, target.options, has_secret=has_secret)
    await targets.change(target, expected)
    return await _answer(services, target_id, response)


@siem.delete(f"{TARGETS}/{{targetId}}", summary="Remove a SIEM target", status_code=204)
@declare(_MAY, _UNKNOWN)
async def remove_target(target_id: TargetId, expected: Expected, services: Here) -> None:
    """Nothing more is sent to it. The events stay in the ledger."""
    await services.get(SqlTargets).remove(target_id, expected)


@siem.post(f"{TARGETS}/{{targetId}}/test", summary="Send a test event", response_model=Tested)
@declare(_MAY, {**_UNKNOWN, 502: "The target did not take it; `detail` says what it said"})
@recorded(lambda given: Act("siem.test", Entity("siem-target", given["target_id"])))
async def send_test_event(target_id: TargetId, services: Here, caller: Caller) -> Tested:
    """From the node that was asked, over the same way as events. It stands in no ledger and has no `index`."""
    base = services.get(Foundation)
    target = await services.get(SqlTargets).opened(target_id)
    await send_test(target, base.clock, _test_event(base, caller.subject))
    return Tested(said=f"{target.name} has taken a test event")


def _test_event(base: Foundation, by: str) -> dict[str, Any]:
    actor = {"kind": "user", "id": "", "name": by, "session": "", "address": ""}
    return {
        "id": str(uuid.uuid4()),
        "index": None,
        "time": int(base.clock.wall_ms()),
        "action": "siem.test",
        "actor": actor,
        "object": {"kind": "siem-target", "id": "", "name": ""},
        "outcome": "success",
        "reason": "a test event",
        "node": base.node,
        "epoch": None,
        "request": "",
        "details": {},
    }


def _target(ident: str, body: TargetRequest, *, cursor: int) -> Target:
    return Target(
        id=ident,
        name=body.name,
        kind=body.kind,
        format=body.format,
        url=body.url,
        options=Options(**body.options.model_dump()),
        secret=None if body.secret is None else Secret(body.secret),
        enabled=body.enabled,
        revision=1,
        cursor=cursor,
        sent_at=None,
        failed_at=None,
        problem="",
    )


async def _answer(services: Here, ident: str, response: Response) -> TargetShape:
    progress = await services.get(SqlTargets).progress_of(ident)
    tagged(response, progress.target.revision)
    return _shape(progress)


def _shape(progress: Progress) -> TargetShape:
    target = progress.target
    return TargetShape(
        id=target.id,
        name=target.name,
        kind=target.kind,
        url=target.url,
        format=target.format,
        has_secret=target.secret is not None,
        enabled=target.enabled,
        options=OptionsShape(**target.options._asdict()),
        revision=target.revision,
        cursor=target.cursor,
        waiting=progress.waiting,
        lag_seconds=progress.lag_ms // 1000,
        sent_at=None if target.sent_at is None else iso_utc(target.sent_at),
        failed_since=None if target.failed_at is None else iso_utc(target.failed_at),
        problem=target.problem,
    )
