"""The second factor: the second step of a log-in, a step up of a session, enrolling, and getting rid of it.

Decides whose second factor a request is about: that of the token's account, or that of a log-in on its way. What a code
is worth is decided by :class:`rppam.access.mfa.service.SecondFactors`.
"""

from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Request, Response
from pydantic import Field

from rppam.access.accounts.api import USERS, UserId, own_id
from rppam.access.accounts.model import AccountRole
from rppam.access.accounts.service import UserAdministration
from rppam.access.mfa.one_time_codes import TYPED_CHARS_MAX
from rppam.access.mfa.service import Proposal, SecondFactors
from rppam.access.rbac.policy import Action, Caller, check, lacking_role, rule_for
from rppam.access.sessions.api import LoginAnswer, caller_of, check_owner, token_answer
from rppam.access.sessions.model import Identity
from rppam.access.sessions.service import Sessions
from rppam.access.tokens.credentials import check_same_origin
from rppam.access.tokens.service import Bearer
from rppam.http.answers import BODY, GUESSES, NO_ACCOUNT, NO_DATABASE, NO_USER
from rppam.http.errors import UnauthenticatedError
from rppam.http.routes import ANYBODY, OPTIONAL, SIGNED_IN, declare, for_roles
from rppam.http.schemas import Flag, Password, Shape
from rppam.http.services import Here
from rppam.http.token_flaws import TokenFlaw
from rppam.kernel.secret import Secret
from rppam.kernel.services import Services

MFA: Final = "/api/v1/auth/mfa"
Code = Annotated[str, Field(min_length=1, max_length=TYPED_CHARS_MAX)]
MfaToken = Annotated[str, Field(min_length=1, max_length=64)]
_WITH_CODE: Final = {
    **BODY,
    403: "The code is not valid, or the token belongs to no account",
    409: "There is no second factor",
    429: GUESSES,
}
mfa = APIRouter(tags=["mfa"])


class ChallengeRequest(Shape):
    """The second step of a log-in."""

    mfa_token: MfaToken
    """From the answer to the first step, on whichever node."""
    code: Code
    """Of the authenticator, or a backup code; spaces and hyphens do not matter."""
    cookie: Flag = False
    """As for the log-in: the token comes as a cookie, for the console."""


class CodeRequest(Shape):
    """A code of the caller's second factor."""

    code: Code
    """Of the authenticator, or a backup code; each is good once."""


class EnrolRequest(Shape):
    """Begin an enrolment, or confirm it with a code."""

    code: Code | None = None
    """Left out: begin. The first code of the authenticator: confirm."""
    current_password: Password | None = None
    """Needed to begin with an access token of a session that began more than ten minutes ago."""
    mfa_token: MfaToken | None = None
    """In the place of an access token, where the log-in asks for an enrolment first."""
    cookie: Flag = False
    """With `mfaToken` and `code`: the token comes as a cookie, for the console."""


class EnrolAnswer(Shape):
    """An enrolment that was begun (`enrolled` false) or confirmed."""

    enrolled: bool
    secret: str | None = None
    """Begun: what is typed into an authenticator, base32."""
    otpauth_uri: str | None = None
    """Begun: the same, for a QR code."""
    digits: int | None = None
    period_seconds: int | None = None
    backup_codes: list[str] | None = None
    """Confirmed: one-time codes for a lost authenticator, shown only now."""
    login: LoginAnswer | None = None
    """Confirmed with `mfaToken`: the log-in is complete."""


class BackupCodes(Shape):
    """New backup codes; all others are worth nothing now."""

    backup_codes: list[str]
    """Shown only now."""


class MfaStanding(Shape):
    """How the caller's account stands."""

    enrolled: bool
    required: bool
    """The policy (`security/mfa`) does not let the account go without."""
    backup_codes_left: int
    session: bool
    """This session began with a second factor, or was stepped up."""


_BEGIN: Final = EnrolRequest()


class FactorOf(NamedTuple):
    """The second factor of an account, which somebody would take away without a code."""

    user_id: str
    roles: frozenset[str]
    """The account's; not needed where the caller is ``pam_admin``, or it is the own one."""


@rule_for(FactorOf)
def _factor(identity: Identity, action: Action, factor: FactorOf) -> str:
    if factor.user_id == identity.user_id:
        return "the own second factor is taken away with a code, by POST /api/v1/auth/mfa/disable"
    # A lesser role must not open the way to an account with more rights.
    enough = () if AccountRole.ADMIN in factor.roles else (AccountRole.SECURITY_ADMIN,)
    return lacking_role(identity, action, enough)


@mfa.post(f"{MFA}/challenge", summary="Complete a log-in with a code", response_model=LoginAnswer)
@declare(
    ANYBODY,
    {
        **BODY,
        401: "The code is not valid (RPPAM-3121), or the log-in is over (RPPAM-3123)",
        403: "With `cookie`: it was not a page of the console that asked",
        409: "The account has to enrol a second factor first",
        413: "The body is larger than 16 KiB",
        429: GUESSES,
        503: NO_DATABASE,
    },
)
async def challenge(body: ChallengeRequest, request: Request, response: Response, services: Here) -> LoginAnswer:
    """On any node, within five minutes and five guesses of the password. A code is good once in the whole cluster."""
    if body.cookie:
        check_same_origin(request.scope)
    caller = caller_of(request)
    account = await services.get(SecondFactors).challenge(Secret(body.mfa_token), body.code, caller.client)
    issued = await services.get(Sessions).open(account, caller, mfa=True)
    return token_answer(issued, request, response, by_cookie=body.cookie)


@mfa.post(f"{MFA}/enroll", summary="Enrol a second factor", response_model=EnrolAnswer)
@declare(
    OPTIONAL,
    {
        **BODY,
        400: "The body is not valid, or the current password is missing and the log-in was over ten minutes ago",
        401: "No valid access token; or with `mfaToken`: the code is not valid, or the log-in is over",
        403: "The code or the current password is not valid, or the token belongs to no account",
        409: "There is a second factor already, or none may be enrolled, or none was begun",
        429: GUESSES,
        503: "The database does not answer, or this host has no cluster key (RPPAM-3128)",
    },
)
async def enrol(request: Request, response: Response, services: Here, body: EnrolRequest = _BEGIN) -> EnrolAnswer:
    """Without a code: a new secret for an authenticator. With its first code: it is in force; here are backup codes.

    With an access token. To begin it also takes the current password, unless the session began by a log-in within the
    last ten minutes: a stolen session must not serve to enrol another phone.
    Or with the `mfaToken` of a log-in that asks for an enrolment first, whose password was given just now.
    """
    if body.mfa_token is not None:
        # Beside it a cookie may still be another's, who sat at this browser before: the log-in says whose this is.
        return await _enrol_at_login(Secret(body.mfa_token), body, request, response, services)
    identity: Identity | None = getattr(request.state, "identity", None)
    if identity is None:
        raise UnauthenticatedError(TokenFlaw.MISSING)
    user_id, client = own_id(identity), caller_of(request).client
    if body.code is None:
        await check_owner(request, services, user_id, body.current_password)
        return _begun(await services.get(SecondFactors).propose(user_id))
    codes = await services.get(SecondFactors).confirm(user_id, body.code, client)
    return EnrolAnswer(enrolled=True, backup_codes=_shown(codes))


@mfa.post(f"{MFA}/stepup", summary="Raise the session by a code", response_model=LoginAnswer)
@declare(SIGNED_IN, _WITH_CODE)
async def step_up(
    body: CodeRequest, request: Request, response: Response, caller: Caller, services: Here
) -> LoginAnswer:
    """A new token for the same session, which counts as one with a second factor; the old token is worth nothing."""
    bearer: Bearer = request.state.bearer
    client = caller_of(request).client
    await services.get(SecondFactors).prove(own_id(caller), body.code, client)
    issued = await services.get(Sessions).step_up(bearer, caller, client)
    return token_answer(issued, request, response, by_cookie=request.state.by_cookie)


@mfa.get(MFA, summary="The caller's second factor", response_model=MfaStanding)
@declare(SIGNED_IN, {403: NO_ACCOUNT})
async def standing(caller: Caller, services: Here) -> MfaStanding:
    """Whether there is one, whether there has to be, and how many backup codes are left."""
    found = await services.get(SecondFactors).standing(own_id(caller))
    return MfaStanding(
        enrolled=found.enrolled, required=found.required, backup_codes_left=found.codes_left, session=caller.mfa
    )


@mfa.post(f"{MFA}/backup-codes", summary="Make new backup codes", response_model=BackupCodes)
@declare(SIGNED_IN, _WITH_CODE)
async def new_codes(body: CodeRequest, request: Request, caller: Caller, services: Here) -> BackupCodes:
    """All earlier ones are worth nothing from now on."""
    codes = await services.get(SecondFactors).new_codes(own_id(caller), body.code, caller_of(request).client)
    return BackupCodes(backup_codes=_shown(codes))


@mfa.post(f"{MFA}/disable", summary="Take the own second factor away", status_code=204)
@declare(SIGNED_IN, {**_WITH_CODE, 409: "There is no second factor, or it is required"})
async def disable(body: CodeRequest, request: Request, caller: Caller, services: Here) -> Response:
    """Unless the policy asks for one."""
    await services.get(SecondFactors).disable(own_id(caller), body.code, caller_of(request).client)
    return Response(status_code=204)


@mfa.delete(f"{USERS}/{{userId}}/mfa", summary="Reset a second factor", status_code=204)
@declare(for_roles(AccountRole.SECURITY_ADMIN), NO_USER, unconditional="it ends whatever factor there is")
async def reset(user_id: UserId, caller: Caller, services: Here) -> Response:
    """For lost phones and backup codes. All sessions of the account end.

    The next log-in asks for a new one where the policy wants it. Nobody resets the own one: that takes a code. Only
    `pam_admin` resets another administrator's.
    """
    roles: frozenset[str] = frozenset()
    if user_id != caller.user_id and AccountRole.ADMIN not in caller.roles:
        roles = frozenset((await services.get(UserAdministration).get(user_id)).roles)
    check(caller, Action.END, FactorOf(user_id, roles))
    await services.get(SecondFactors).reset(user_id, caller.subject)
    return Response(status_code=204)


async def _enrol_at_login(
    token: Secret, body: EnrolRequest, request: Request, response: Response, services: Services
) -> EnrolAnswer:
    if body.cookie:
        check_same_origin(request.scope)
    caller = caller_of(request)
    if body.code is None:
        return _begun(await services.get(SecondFactors).propose_at_login(token, caller.client))
    account, codes = await services.get(SecondFactors).confirm_at_login(token, body.code, caller.client)
    issued = await services.get(Sessions).open(account, caller, mfa=True)
    answer = token_answer(issued, request, response, by_cookie=body.cookie)
    return EnrolAnswer(enrolled=True, backup_codes=_shown(codes), login=answer)


def _begun(proposal: Proposal) -> EnrolAnswer:
    return EnrolAnswer(
        enrolled=False,
        secret=proposal.secret.reveal(),
        otpauth_uri=proposal.uri.reveal(),
        digits=proposal.digits,
        period_seconds=proposal.period_s,
    )


def _shown(codes: list[Secret]) -> list[str]:
    return [code.reveal() for code in codes]
