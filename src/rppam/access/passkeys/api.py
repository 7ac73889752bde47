"""Passkeys over REST: the own ones, signing in with one, and taking those of others away."""

from typing import Annotated, Final, NamedTuple
from urllib.parse import urlsplit

from fastapi import APIRouter, Path, Request, Response

from rppam.access.accounts.api import USERS, UserId, own_id
from rppam.access.accounts.model import AccountRole
from rppam.access.accounts.service import UserAdministration
from rppam.access.lockouts.guard import Guard
from rppam.access.passkeys.errors import PasskeyOver, PasskeyRefused
from rppam.access.passkeys.schemas import (
    LoginAnswerOf,
    NewPasskey,
    Options,
    OwnerProof,
    PasskeyList,
    PasskeyShape,
)
from rppam.access.passkeys.service import Asked, Passkeys
from rppam.access.passkeys.store import Passkey, Site
from rppam.access.rbac.policy import Action, Caller, check, lacking_role, rule_for
from rppam.access.sessions.api import LoginAnswer, caller_of, check_owner, token_answer
from rppam.access.sessions.model import Identity
from rppam.access.sessions.service import Sessions
from rppam.access.tokens.credentials import check_same_origin
from rppam.http.answers import BODY, GUESSES, NO_ACCOUNT, NO_DATABASE, NO_USER, NOT_OWNER
from rppam.http.errors import FieldFlaw, InvalidRequestError
from rppam.http.routes import ANYBODY, SIGNED_IN, declare, for_roles
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.kernel.services import Services

WEBAUTHN: Final = "/api/v1/auth/webauthn"
passkeys = APIRouter(tags=["passkeys"])
_REFUSED: Final = "The passkey does not prove it, or the token belongs to no account"
_OVER: Final = "The question is over: each is good once, for two minutes"
PasskeyId = Annotated[str, Path(alias="passkeyId", pattern="^[0-9A-Za-z_-]{1,1400}$")]
_NOTHING: Final = OwnerProof()


def site_of(request: Request) -> Site:
    """The site of the page that asks. Raises :class:`InvalidRequestError`."""
    origin = f"{request.url.scheme}://{request.headers.get('host', '')}"
    host = urlsplit(origin).hostname
    if not host:
        raise InvalidRequestError([FieldFlaw("header.Host", "expected the host name of the page", "missing")])
    return Site(origin[:300], host)


@passkeys.get(WEBAUTHN, summary="The caller's passkeys", response_model=PasskeyList)
@declare(SIGNED_IN, {403: NO_ACCOUNT, 503: NO_DATABASE})
async def list_passkeys(caller: Caller, services: Here) -> PasskeyList:
    """The oldest first."""
    return PasskeyList(items=[_shape(one) for one in await services.get(Passkeys).of_user(own_id(caller))])


@passkeys.post(f"{WEBAUTHN}/register", summary="Begin to add a passkey", response_model=Options)
@declare(SIGNED_IN, {**BODY, 403: NOT_OWNER, 429: GUESSES})
async def begin_adding(request: Request, caller: Caller, services: Here, body: OwnerProof = _NOTHING) -> Options:
    """A stolen session must not serve to add one: it takes the password, unless the session began just now."""
    user_id = own_id(caller)
    await check_owner(request, services, user_id, body.current_password)
    return _options(await services.get(Passkeys).begin_adding(user_id, site_of(request)))


@passkeys.post(WEBAUTHN, summary="Add a passkey", status_code=201, response_model=PasskeyShape)
@declare(SIGNED_IN, {**BODY, 403: _REFUSED, 409: f"{_OVER}, or it was added before", 503: NO_DATABASE})
async def add_passkey(body: NewPasskey, caller: Caller, services: Here) -> PasskeyShape:
    """It may sign in, and be the second factor of a reveal."""
    return _shape(await services.get(Passkeys).add(own_id(caller), body.id, body.credential, body.name))


@passkeys.delete(f"{WEBAUTHN}/{{passkeyId}}", summary="Take a passkey away", status_code=204)
@declare(
    SIGNED_IN,
    {**BODY, 403: NOT_OWNER, 404: "The account has no such passkey", 429: GUESSES, 503: NO_DATABASE},
    unconditional="a passkey never changes",
)
async def remove_passkey(
    passkey_id: PasskeyId, request: Request, caller: Caller, services: Here, body: OwnerProof = _NOTHING
) -> None:
    """One of the caller's own. It takes the password, unless the session began just now, as to add one does."""
    user_id = own_id(caller)
    await check_owner(request, services, user_id, body.current_password)
    await services.get(Passkeys).remove(user_id, passkey_id)


@passkeys.post(f"{WEBAUTHN}/prove", summary="Begin a second factor by passkey", response_model=Options)
@declare(SIGNED_IN, {403: NO_ACCOUNT, 503: NO_DATABASE})
async def begin_proving(request: Request, caller: Caller, services: Here) -> Options:
    """The answer goes into `passkey` of what asks for a second factor, such as a reveal."""
    return _options(await services.get(Passkeys).begin_proving(own_id(caller), site_of(request)))


@passkeys.post(f"{WEBAUTHN}/login", summary="Begin to sign in with a passkey", response_model=Options)
@declare(ANYBODY, {429: GUESSES, 503: NO_DATABASE})
async def begin_login(request: Request, services: Here) -> Options:
    """It says nothing of which accounts there are."""
    services.get(Guard).refuse_known(caller_of(request).client)
    return _options(await services.get(Passkeys).begin_login(site_of(request)))


@passkeys.post(f"{WEBAUTHN}/login/finish", summary="Sign in with a passkey", response_model=LoginAnswer)
@declare(ANYBODY, {**BODY, 403: "The passkey opens nothing", 409: _OVER, 429: GUESSES, 503: NO_DATABASE})
async def finish_login(body: LoginAnswerOf, request: Request, response: Response, services: Here) -> LoginAnswer:
    """With PIN, finger or face it is both factors in one. Wrong answers lock the address as wrong passwords do."""
    if body.cookie:
        check_same_origin(request.scope)
    caller, guard = caller_of(request), services.get(Guard)
    guard.refuse_known(caller.client)
    try:
        account = await services.get(Passkeys).log_in(body.id, body.credential, caller.client)
    except (PasskeyRefused, PasskeyOver):
        await guard.count_stranger(caller.client)
        raise
    issued = await services.get(Sessions).open(account, caller, mfa=True)
    return token_answer(issued, request, response, by_cookie=body.cookie)


class PasskeysOf(NamedTuple):
    """The passkeys of an account that is not the caller's."""

    user_id: str
    roles: frozenset[str]
    """The account's."""


@rule_for(PasskeysOf)
def _passkeys_of(identity: Identity, action: Action, of: PasskeysOf) -> str:
    if action is not Action.READ and of.user_id == identity.user_id:
        return "the own passkeys are taken away one by one, by DELETE /api/v1/auth/webauthn/{passkeyId}"
    # A lesser role must not open the way to an account with more rights.
    enough = () if action is not Action.READ and AccountRole.ADMIN in of.roles else (AccountRole.SECURITY_ADMIN,)
    return lacking_role(identity, action, enough)


@passkeys.get(f"{USERS}/{{userId}}/passkeys", summary="The passkeys of an account", response_model=PasskeyList)
@declare(for_roles(AccountRole.SECURITY_ADMIN), NO_USER)
async def list_passkeys_of(user_id: UserId, caller: Caller, services: Here) -> PasskeyList:
    """What it may sign in with, for those who may take that away."""
    await _may(caller, Action.READ, user_id, services)
    return PasskeyList(items=[_shape(one) for one in await services.get(Passkeys).of_user(user_id)])


@passkeys.delete(f"{USERS}/{{userId}}/passkeys", summary="Take all passkeys of an account away", status_code=204)
@declare(for_roles(AccountRole.SECURITY_ADMIN), NO_USER, unconditional="it ends whatever passkeys there are")
async def reset_passkeys(user_id: UserId, caller: Caller, services: Here) -> None:
    """For a lost or stolen key. All sessions of the account end; its password and its code work as before.

    Only `pam_admin` resets another administrator's.
    """
    await _may(caller, Action.END, user_id, services)
    await services.get(Passkeys).reset(user_id, caller.subject)


async def _may(caller: Identity, action: Action, user_id: str, services: Services) -> None:
    roles = (await services.get(UserAdministration).get(user_id)).roles
    check(caller, action, PasskeysOf(user_id, frozenset(roles)))


def _options(asked: Asked) -> Options:
    return Options(id=asked.id, options=dict(asked.options))


def _shape(passkey: Passkey) -> PasskeyShape:
    return PasskeyShape(
        id=passkey.id,
        name=passkey.name,
        site=passkey.rp_id,
        created_at=iso_utc(passkey.created_at),
        used_at=None if passkey.used_at is None else iso_utc(passkey.used_at),
    )
