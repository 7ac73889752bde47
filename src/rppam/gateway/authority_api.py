"""The SSH authority over REST: ``security_admin`` makes and changes its keys, everybody sees the public ones; users get
certificates for keys of their own."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from pydantic import Field

from rppam.access.accounts.api import own_id
from rppam.access.accounts.model import AccountRole
from rppam.access.accounts.store import SqlAccounts
from rppam.access.rbac.policy import Caller
from rppam.access.sessions.api import check_owner
from rppam.foundation import Foundation
from rppam.gateway.authority import Authority
from rppam.gateway.certificates import AuthorityKey, State
from rppam.gateway.errors import CertificateInvalid
from rppam.gateway.policy import CERTIFICATES
from rppam.gateway.store import SqlAccess
from rppam.http.answers import BODY, GUESSES, NO_DATABASE, NOT_OWNER
from rppam.http.routes import SIGNED_IN, declare, for_roles
from rppam.http.schemas import Password, Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.kernel.actor import current_actor
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity
from rppam.targets.errors import ResourceInvalid
from rppam.targets.model import read_host_key

CA: Final = "/api/v1/access/ca"
MINE: Final = "/api/v1/users/me/ssh-certificates"
authority = APIRouter(tags=["access"])
_MAY: Final = for_roles(AccountRole.SECURITY_ADMIN)
_STATE: Final = "The key is in another state"
_UNKNOWN: Final = "The authority has no key of this number"
Number = Annotated[int, Path(ge=1, le=1_000_000)]


class AuthorityShape(Shape):
    """A key of the SSH authority; its private half is never shown."""

    number: int
    public_key: str
    """The line for `TrustedUserCAKeys` of an sshd."""
    fingerprint: str
    state: State
    """`next`: targets get to know it; `active`: it signs; `previous`: what it signed counts; `retired`: it does not."""
    made_at: str


class AuthorityList(Shape):
    """All keys of the authority, the oldest first."""

    items: list[AuthorityShape]


class CertificateRequest(Shape):
    """The own public key that a certificate is asked for."""

    key: Annotated[str, Field(min_length=20, max_length=16_000)]
    """`ssh-ed25519 AAAA... comment`."""
    minutes: Annotated[int, Field(ge=1, le=10_080)] | None = None
    """How long it is to count; left out, or longer than the setting `access/certificates` has it: as that has it."""
    current_password: Password | None = None
    """Needed where the session began more than ten minutes ago."""


class CertificateShape(Shape):
    """A certificate."""

    certificate: str
    """For the file `KEY-cert.pub` beside the private key."""
    serial: int
    key_id: str
    expires_at: str
    authority: str
    """Fingerprint of the key that signed it."""


@authority.get(CA, summary="The SSH authority", response_model=AuthorityList)
@declare(SIGNED_IN, {503: NO_DATABASE})
async def list_authority(services: Here) -> AuthorityList:
    """Its public keys, for targets to trust."""
    return AuthorityList(items=[_shape(one) for one in await services.get(Authority).keys()])


@authority.post(CA, summary="Make a key of the SSH authority", status_code=201, response_model=AuthorityShape)
@declare(_MAY, {409: "There is a next key already", 503: NO_DATABASE})
async def make_authority(services: Here) -> AuthorityShape:
    """The first one signs at once; a further one is the next, for targets to get to know before it is activated."""
    return _shape(await services.get(Authority).make())


@authority.post(CA + "/{number}/activate", summary="Sign with the next key", response_model=AuthorityShape)
@declare(_MAY, {404: _UNKNOWN, 409: _STATE, 503: NO_DATABASE})
async def activate_authority(number: Number, services: Here) -> AuthorityShape:
    """What the one before has signed still counts, until that is retired."""
    return _shape(await services.get(Authority).activate(number))


@authority.delete(CA + "/{number}", summary="Retire a key of the SSH authority", response_model=AuthorityShape)
@declare(
    _MAY,
    {404: _UNKNOWN, 409: _STATE, 503: NO_DATABASE},
    unconditional="a key is retired once",
)
async def retire_authority(number: Number, services: Here) -> AuthorityShape:
    """Nothing counts any more that it has signed, and its private half is forgotten. Not for the active one."""
    return _shape(await services.get(Authority).retire(number))


@authority.post(MINE, summary="Get a certificate for an own key", status_code=201, response_model=CertificateShape)
@declare(SIGNED_IN, {**BODY, 403: NOT_OWNER, 409: "There is no SSH authority yet", 429: GUESSES, 503: NO_DATABASE})
async def issue_certificate(
    body: CertificateRequest, request: Request, caller: Caller, services: Here
) -> CertificateShape:
    """By which the caller logs in at the gateway. It is recorded; a second factor is asked for as with a key.

    It counts until the caller's log-ins are ended: by a new password, or everywhere. A stolen session must not serve to
    get one: it takes the password, unless the session began just now.
    """
    user_id = own_id(caller)
    try:
        read = read_host_key(body.key)
    except ResourceInvalid as error:
        raise CertificateInvalid(str(error)) from None
    await check_owner(request, services, user_id, body.current_password)
    most = services.get(Foundation).hot.current(CERTIFICATES).user_minutes
    minutes = min(body.minutes or most, most)
    account = (await services.get(SqlAccounts).get(user_id)).account
    public = f"{read.type} {read.key}"
    made = await services.get(Authority).for_user(public, account.name, minutes, account.auth_epoch)
    facts = {"serial": made.serial, "key": read.fingerprint, "minutes": minutes}
    target = Entity("user", user_id, caller.subject)
    await services.get(SqlAccess).note("certificate.user", target, current_actor(), facts)
    return CertificateShape(
        certificate=made.line,
        serial=made.serial,
        key_id=made.key_id,
        expires_at=iso_utc(WallMs(made.until_s * 1000)),
        authority=made.authority,
    )


def _shape(one: AuthorityKey) -> AuthorityShape:
    return AuthorityShape(
        number=one.number,
        public_key=one.line,
        fingerprint=one.fingerprint,
        state=one.state,
        made_at=iso_utc(WallMs(one.made_at)),
    )
