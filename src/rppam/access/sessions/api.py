"""Signing in and out, and the sessions that come of it.

Everybody sees and ends the own sessions, ``security_admin`` and ``pam_admin`` everybody's.
"""

from typing import Annotated, Final, Literal, NamedTuple

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field, SecretStr

from rppam.access.accounts.model import PAGE_SIZE, PAGE_SIZE_MAX, AccountRole
from rppam.access.accounts.service import UserAdministration
from rppam.access.mfa.model import SecondStep
from rppam.access.mfa.service import SecondFactors
from rppam.access.rbac.policy import Action, Caller, allows, check, lacking_role, rule_for
from rppam.access.sessions.model import Identity, SessionKind, SessionLine
from rppam.access.sessions.service import Caller as From, Sessions, SignIn
from rppam.access.tokens.claims import TEXT_MAX
from rppam.access.tokens.credentials import check_same_origin, cookie_header
from rppam.access.tokens.service import Bearer, IssuedToken
from rppam.http.answers import NO_USER
from rppam.http.errors import FieldFlaw, InvalidRequestError, NotFoundError
from rppam.http.routes import ANYBODY, SIGNED_IN, declare
from rppam.http.schemas import Flag, Password, Shape
from rppam.http.services import Here, services_of
from rppam.http.times import iso_utc
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.kernel.services import Services

SESSIONS: Final = "/api/v1/sessions"
ID: Final = "^[0-9a-zA-Z-]{1,36}$"
"""What an id can look like; PostgreSQL refuses a text with NUL, which would look like a database in trouble."""

sessions = APIRouter(tags=["sessions"])
SessionId = Annotated[str, Path(alias="sessionId", pattern=ID)]
_ORDERED: Final = "ended over REST"
_ENDS: Final = "a session has nothing that anybody changes"
_OTHERS: Final = "Somebody else's sessions"
_HIDDEN: Final = "No live session of this id, or somebody else's"
UserId = Annotated[str | None, Query(alias="userId", pattern=ID)]


class LoginRequest(Shape):
    """Who signs in."""

    username: Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]
    password: Password
    cookie: Flag = False
    """For the console: the token comes as a cookie that scripts cannot read, instead of in the answer."""


class LoginAnswer(Shape):
    """An access token."""

    access_token: str | None
    """Null where it went into the cookie."""
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    """`Bearer`, or `Cookie`."""
    expires_at: str
    """ISO 8601, UTC. `POST /api/v1/auth/refresh` gives a newer one before."""


class SecondStepAnswer(Shape):
    """The password was right; a second factor is asked for."""

    mfa_required: Literal[True]
    mfa_token: str
    """For `POST /api/v1/auth/mfa/challenge`, on any node."""
    mfa_enrolled: bool
    """False: the account has none yet; the log-in goes on with `POST /api/v1/auth/mfa/enroll` and this `mfaToken`."""


class SessionShape(Shape):
    """Somebody who is signed in. Times are ISO 8601, UTC, by the database's clock."""

    id: str
    """Names the session; it is no secret and no token."""
    user_id: str | None
    """Null for a token that was made on a host."""
    user: str
    kind: SessionKind
    """`login`, or `host` for `rppam token`."""
    mfa: bool
    """A second factor was given."""
    created_at: str
    last_seen_at: str
    """At most a minute behind."""
    expires_at: str
    """The absolute end."""
    client: str
    """The address it began from; empty for a host's token."""
    agent: str
    """What the caller's program called itself then."""
    node: str
    """Where it began."""
    current: bool
    """It is the session of this very request."""


class SessionPage(Shape):
    """A page of sessions."""

    items: list[SessionShape]
    next: str | None
    """What to send as `after` for the next page; null on the last one."""


class SessionsEnded(Shape):
    """How many sessions were alive and are over now."""

    ended: int


class SessionsOf(NamedTuple):
    """All sessions of an account; of everybody where it is ``None``."""

    user_id: str | None


@rule_for(SessionsOf)
def _sessions_of(identity: Identity, action: Action, whose: SessionsOf) -> str:
    if whose.user_id is not None and whose.user_id == identity.user_id:
        return ""
    return lacking_role(identity, action, (AccountRole.SECURITY_ADMIN,))


@rule_for(SessionLine)
def _session(identity: Identity, action: Action, line: SessionLine) -> str:
    return "" if line.id == identity.session_id else _sessions_of(identity, action, SessionsOf(line.user_id))


@sessions.post("/api/v1/auth/login", summary="Sign in", response_model=LoginAnswer | SecondStepAnswer)
@declare(
    ANYBODY,
    {
        400: "The body is not valid",
        401: "User name or password is wrong",
        403: "With `cookie`: it was not a page of the console that asked",
        413: "The body is larger than 16 KiB",
        415: "The body is not JSON",
        429: "Too many wrong tries for this user or from this address; `Retry-After` says how long to wait",
        503: "Busy, or the database does not answer",
    },
)
async def login(body: LoginRequest, request: Request, response: Response) -> LoginAnswer | SecondStepAnswer:
    """Exchange a user name and password for an access token, which begins a session on all nodes.

    Where a second factor is asked for, the answer holds what the second step needs instead.
    """
    if body.cookie:
        check_same_origin(request.scope)
    password = Secret(body.password.get_secret_value())
    found = await services_of(request).get(SignIn).login(body.username, password, caller_of(request))
    if isinstance(found, SecondStep):
        return SecondStepAnswer(mfa_required=True, mfa_token=found.token.reveal(), mfa_enrolled=found.enrolled)
    return token_answer(found, request, response, by_cookie=body.cookie)


@sessions.post("/api/v1/auth/refresh", summary="Get a newer token of the same session", response_model=LoginAnswer)
@declare(SIGNED_IN, {403: "The token was made on a host"})
async def refresh(request: Request, response: Response, caller: Caller, services: Here) -> LoginAnswer:
    """No body. The token that was sent stays good until it expires; the session's absolute end stays where it is."""
    bearer: Bearer = request.state.bearer
    issued = await services.get(Sessions).refresh(bearer, caller)
    return token_answer(issued, request, response, by_cookie=request.state.by_cookie)


@sessions.post("/api/v1/auth/logout", summary="Sign out", status_code=204)
@declare(SIGNED_IN)
async def logout(request: Request, caller: Caller, services: Here) -> Response:
    """No body. Ends the session of the token that was sent, on all nodes, and so every token of it."""
    await services.get(Sessions).end(caller.session_id, "signed out")
    response = Response(status_code=204)
    if request.state.by_cookie:
        response.headers["Set-Cookie"] = cookie_header(request.scope, "", 0)
    return response


@sessions.get(SESSIONS, summary="Who is signed in", response_model=SessionPage)
@declare(SIGNED_IN, {400: "A parameter is not valid", 403: _OTHERS})
async def page(
    caller: Caller,
    services: Here,
    user_id: UserId = None,
    page_size: Annotated[int, Query(alias="pageSize", ge=1, le=PAGE_SIZE_MAX)] = PAGE_SIZE,
    after: Annotated[str | None, Query(pattern=ID)] = None,
) -> SessionPage:
    """Live sessions, the newest first: all for administrators and auditors, else the caller's own.

    `after` is the `next` of the page before.
    """
    if not allows(caller, Action.READ, SessionsOf(None)):
        if user_id is not None:
            check(caller, Action.READ, SessionsOf(user_id))
        user_id = caller.user_id
        if user_id is None:
            # A token of a host without the role: it has no account, and sees itself alone.
            line = await services.get(Sessions).find(caller.session_id)
            return SessionPage(items=[_shape(line, caller)] if line else [], next=None)
    lines, following = await services.get(Sessions).page(user_id, after, page_size)
    return SessionPage(items=[_shape(line, caller) for line in lines], next=following)


@sessions.get(SESSIONS + "/{sessionId}", summary="One session", response_model=SessionShape)
@declare(SIGNED_IN, {404: _HIDDEN})
async def one(session_id: SessionId, caller: Caller, services: Here) -> SessionShape:
    """Own sessions; administrators and auditors see every one."""
    line = await services.get(Sessions).find(session_id)
    check(caller, Action.READ, line, _unknown())
    assert line is not None  # as it may be read
    return _shape(line, caller)


@sessions.delete(SESSIONS + "/{sessionId}", summary="End one session", status_code=204)
@declare(SIGNED_IN, {403: "The role may see this session and not end it", 404: _HIDDEN}, unconditional=_ENDS)
async def end(session_id: SessionId, caller: Caller, services: Here) -> Response:
    """On all nodes at once. One's own, or as `pam_admin` or `security_admin` anybody's."""
    check(caller, Action.END, await services.get(Sessions).find(session_id), _unknown())
    if not await services.get(Sessions).end(session_id, _ORDERED):
        raise _unknown()
    return Response(status_code=204)


@sessions.delete(SESSIONS, summary="End all sessions of a user, or of everybody", response_model=SessionsEnded)
@declare(
    SIGNED_IN,
    {400: "Neither `userId` nor `all=true`, or both", 403: _OTHERS, 404: NO_USER[404]},
    unconditional=_ENDS,
)
async def end_many(
    caller: Caller,
    services: Here,
    user_id: UserId = None,
    everybody: Annotated[bool, Query(alias="all")] = False,
) -> SessionsEnded:
    """`userId=...` for a user's, the caller's own included; `all=true` for everybody's, tokens of hosts included."""
    if everybody == (user_id is not None):
        raise InvalidRequestError([FieldFlaw("query", "either userId or all=true is needed", "missing")])
    check(caller, Action.END, SessionsOf(user_id))
    if user_id is None:
        return SessionsEnded(ended=await services.get(Sessions).end_all(_ORDERED))
    ended = await services.get(Sessions).end_user(user_id, _ORDERED)
    if ended is None:
        raise NotFoundError("no account has this id; GET /api/v1/users lists them")
    return SessionsEnded(ended=ended)


def caller_of(request: Request) -> From:
    """Where a request comes from. A forwarded address is believed from nobody."""
    return From(request.client.host if request.client else "unknown", request.headers.get("user-agent", ""))


async def check_owner(request: Request, services: Services, user_id: str, current_password: SecretStr | None) -> None:
    """Let nobody go on whose log-in was not just now, unless the password is given: a session may be a stolen one.

    For whatever adds a means of signing in to the own account ``user_id``, or takes one away. A second factor that the
    account has must have been shown at the log-in, as the password alone may be known to others. Raises
    :class:`InvalidRequestError` where the password is needed and missing, and as
    :meth:`SecondFactors.check_shown` and :meth:`UserAdministration.check_password`.
    """
    await services.get(SecondFactors).check_shown(user_id, mfa=request.state.identity.mfa)
    if current_password is None:
        if await services.get(Sessions).is_fresh(request.state.bearer):
            return
        message = "the current password of the own account is needed here, as the log-in was over ten minutes ago"
        raise InvalidRequestError([FieldFlaw("body.currentPassword", message, "missing")])
    current = Secret(current_password.get_secret_value())
    await services.get(UserAdministration).check_password(user_id, current, caller_of(request).client)


def token_answer(issued: IssuedToken, request: Request, response: Response, *, by_cookie: bool) -> LoginAnswer:
    """A token for its new holder: in the answer, or out of reach for scripts in a cookie."""
    claims = issued.claims
    expires_at = iso_utc(WallMs(claims.expires_at_s * 1000))
    if not by_cookie:
        return LoginAnswer(access_token=issued.token.reveal(), expires_at=expires_at)
    life_s = max(1, claims.expires_at_s - claims.issued_at_s)
    response.headers["Set-Cookie"] = cookie_header(request.scope, issued.token.reveal(), life_s)
    return LoginAnswer(access_token=None, token_type="Cookie", expires_at=expires_at)  # noqa: S106  # no secret


def _unknown() -> NotFoundError:
    return NotFoundError("no live session has this id; GET /api/v1/sessions lists them")


def _shape(line: SessionLine, caller: Identity) -> SessionShape:
    return SessionShape(
        id=line.id,
        user_id=line.user_id,
        user=line.subject,
        kind=line.kind,
        mfa=line.mfa,
        created_at=iso_utc(line.created_at),
        last_seen_at=iso_utc(line.last_seen_at),
        expires_at=iso_utc(line.expires_at),
        client=line.client,
        agent=line.agent,
        node=line.node,
        current=line.id == caller.session_id,
    )
