"""What the SSH authority has revoked, over REST: ``security_admin`` revokes and takes back; everybody who is signed in
gets the list that sshd reads."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from pydantic import Field

from rppam.access.accounts.model import AccountRole
from rppam.access.rbac.policy import Caller
from rppam.foundation import Foundation
from rppam.gateway.authority import Authority
from rppam.gateway.authority_api import CA
from rppam.gateway.krl import Revocation, RevokedKind, read_word
from rppam.gateway.policy import CERTIFICATES
from rppam.gateway.revocations_store import SqlRevocations
from rppam.http.answers import BODY, NO_DATABASE
from rppam.http.routes import SIGNED_IN, declare, for_roles
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc

REVOKED: Final = CA + "/revocations"
KRL: Final = CA + "/krl"
KRL_TYPE: Final = "application/octet-stream"
revocations = APIRouter(tags=["access"])
_MAY: Final = for_roles(AccountRole.SECURITY_ADMIN)
RevocationId = Annotated[str, Path(alias="revocationId", pattern="^[0-9a-zA-Z-]{1,36}$")]
_Reason = Annotated[str, Field(min_length=1, max_length=300)]


class NewRevocation(Shape):
    """What counts no more."""

    kind: RevokedKind
    """`serial`: one certificate of the authority; `key-id`: all that bear it, those to come as well; `key`: whatever is
    for the key of this fingerprint."""
    word: Annotated[str, Field(min_length=1, max_length=200)]
    """The serial number, the key id, or the fingerprint (`SHA256:...`)."""
    reason: _Reason


class Lifting(Shape):
    """Why it counts again."""

    reason: _Reason


class RevocationShape(Shape):
    """What was revoked, by whom, when and why."""

    id: str
    kind: RevokedKind
    word: str
    reason: str
    by: str
    at: str


class RevocationList(Shape):
    """All that is revoked, the newest first."""

    items: list[RevocationShape]


@revocations.get(REVOKED, summary="What is revoked", response_model=RevocationList)
@declare(_MAY, {503: NO_DATABASE})
async def list_revocations(services: Here) -> RevocationList:
    """Without what stands in the setting `access/certificates`."""
    return RevocationList(items=[_shape(one) for one in await services.get(SqlRevocations).all()])


@revocations.post(REVOKED, summary="Revoke a certificate or key", status_code=201, response_model=RevocationShape)
@declare(_MAY, {**BODY, 409: "It is revoked already, or too many are", 503: NO_DATABASE})
async def revoke(body: NewRevocation, caller: Caller, services: Here) -> RevocationShape:
    """From the next log-in on no gateway takes it, and targets do not once they have read the list. Sessions that go on
    are ended with `POST /api/v1/access/sessions/{accessId}/kill`."""
    word = read_word(body.kind, body.word)
    return _shape(await services.get(SqlRevocations).add(body.kind, word, body.reason, caller.subject))


@revocations.post(REVOKED + "/{revocationId}/lift", summary="Take a revocation back", status_code=204)
@declare(_MAY, {**BODY, 404: "No revocation has this id", 503: NO_DATABASE})
async def lift(revocation_id: RevocationId, body: Lifting, services: Here) -> None:
    """What was revoked counts again, where it has not expired."""
    await services.get(SqlRevocations).lift(revocation_id, body.reason)


@revocations.get(KRL, summary="The list that sshd reads", response_class=Response)
@declare(SIGNED_IN, {503: NO_DATABASE})
async def krl(services: Here) -> Response:
    """For `RevokedKeys` of a target's sshd: OpenSSH's binary list, made anew from what is revoked now, with the keys of
    the authority that were retired and what the setting `access/certificates` revokes."""
    policy = services.get(Foundation).hot.current(CERTIFICATES)
    made = await services.get(Authority).krl(policy)
    headers = {"Content-Disposition": 'attachment; filename="rppam.krl"', "Cache-Control": "no-store"}
    return Response(made, media_type=KRL_TYPE, headers=headers)


def _shape(one: Revocation) -> RevocationShape:
    return RevocationShape(id=one.id, kind=one.kind, word=one.word, reason=one.reason, by=one.by, at=iso_utc(one.at))
