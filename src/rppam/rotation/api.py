"""Rotation over REST, on every node. The leader carries out what is ordered here."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from rppam.access.rbac.policy import Caller
from rppam.http.answers import BODY, NO_DATABASE
from rppam.http.revisions import Expected, tagged
from rppam.http.routes import SIGNED_IN, declare
from rppam.http.services import Here
from rppam.rotation.schemas import (
    EntryId,
    RotateRequest,
    RotationList,
    RotationShape,
    RulesPut,
    StandingShape,
    rotation_shape,
    rules_of,
    standing_shape,
)
from rppam.rotation.service import Rotations

ENTRY: Final = "/api/v1/vault/entries/{entryId}"
rotations = APIRouter(tags=["vault"])
_UNKNOWN: Final = {
    403: "The caller may see the entry, and not this",
    404: "No entry that the caller may know of",
    503: NO_DATABASE,
}
_BARE: Final = RotateRequest()


@rotations.get(
    "/api/v1/vault/rotations", summary="Secrets that are changed on their targets", response_model=RotationList
)
@declare(SIGNED_IN, {503: NO_DATABASE})
async def list_rotations(
    services: Here, caller: Caller, *, is_open: Annotated[bool, Query(alias="open")] = False
) -> RotationList:
    """The newest 200 of the entries whose history the caller may see; with `open` those that are not over."""
    found = await services.get(Rotations).all(caller, is_open=is_open)
    return RotationList(items=[rotation_shape(one) for one in found])


@rotations.get(f"{ENTRY}/rotation", summary="How an entry's secret is changed", response_model=StandingShape)
@declare(SIGNED_IN, _UNKNOWN)
async def show_rotation(entry_id: EntryId, caller: Caller, services: Here, response: Response) -> StandingShape:
    """Its rules, and how far the newest changes are. The ETag is the revision of the rules."""
    return _answer(standing_shape(await services.get(Rotations).standing(caller, entry_id)), response)


@rotations.put(f"{ENTRY}/rotation", summary="Say how an entry's secret is changed", response_model=StandingShape)
@declare(SIGNED_IN, {**BODY, **_UNKNOWN, 409: "Somebody else has changed it since `revision` (RPPAM-8404)"})
async def put_rotation(
    entry_id: EntryId, body: RulesPut, caller: Caller, expected: Expected, services: Here, response: Response
) -> StandingShape:
    """With `revision` in the body or `If-Match` no change of somebody else is overwritten."""
    done = await services.get(Rotations).put(caller, entry_id, rules_of(body), body.revision, expected)
    return _answer(standing_shape(done), response)


@rotations.post(
    f"{ENTRY}/rotate", summary="Change a secret on its target", status_code=202, response_model=RotationShape
)
@declare(SIGNED_IN, {**BODY, **_UNKNOWN, 409: "It is checked out, changed already, or on no target"})
async def rotate(entry_id: EntryId, caller: Caller, services: Here, body: RotateRequest = _BARE) -> RotationShape:
    """The leader does it, within seconds where the target answers. A change that waits for its next attempt is tried
    at once."""
    return rotation_shape(await services.get(Rotations).order(caller, entry_id, body.reason))


def _answer(shape: StandingShape, response: Response) -> StandingShape:
    tagged(response, shape.revision)
    return shape
