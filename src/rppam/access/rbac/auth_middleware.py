"""The gate: who may pass, and how much at once. It stands before routing, so a path nobody thought of is closed too.

Decides: everything needs a token whose session holds but what a route declares to be for anybody (and the probes, which
are answered before), and what a log-in on its way may ask for without one; everything below ``/api/v1/admin/`` needs
``pam_admin``, or to read ``pam_auditor``. While nobody can tell whether a session holds the answer is 503, but for
routes that help to mend that (``in_outage``): there a genuine token is enough. Whether a path exists is not its affair.
"""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

from rppam.access.rbac.policy import check_declared, refusal, role_allows
from rppam.access.sessions.check import SessionCheck
from rppam.access.sessions.errors import SessionEndedError, SessionUnknownError
from rppam.access.sessions.model import Identity
from rppam.access.tokens.credentials import Credential, check_handshake, credential
from rppam.access.tokens.service import Bearer, TokenCache
from rppam.http.bounds import ApiLimits
from rppam.http.errors import AnswerTimeoutError, BusyError, UnauthenticatedError
from rppam.http.request_slots import Place, RequestSlots
from rppam.http.route_index import RouteIndex
from rppam.http.routes import ADMIN_PREFIX
from rppam.http.sockets import HANDSHAKE
from rppam.http.token_flaws import TokenFlaw
from rppam.kernel.actor import Actor, ActorKind, acts_from_now_on

REASON_HEADER: Final = b"rppam-reason"
REASON_CHARS: Final = 500
BLIND_WAIT_S: Final = 0.25
"""Timeout of cache and database for routes ``in_outage``: diagnosing an outage must not hang with it."""
SQL_WAIT_S: Final = 0.5
"""Timeout of the database alone after that: nobody is let in blind before it was asked past the cache."""


class AuthMiddleware:
    """Checks token, session and role, before anything of the body is read."""

    def __init__(self, app: ASGIApp, *, tokens: TokenCache, check: SessionCheck, routes: RouteIndex) -> None:
        self._app, self._tokens, self._check, self._routes = app, tokens, check, routes
        self._anybody, self._optional, self._in_outage = routes.anybody, routes.optional, routes.in_outage

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request. A caller that is known here costs no coroutine of its own."""
        if HANDSHAKE in scope:
            check_handshake(scope)
        if scope["type"] != "http" or scope["path"] in self._anybody:
            return self._app(scope, receive, send)
        try:
            carried = credential(scope)
        except UnauthenticatedError as error:
            if scope["path"] in self._optional and error.flaw is TokenFlaw.MISSING:
                return self._app(scope, receive, send)
            raise
        try:
            bearer = self._tokens.check(carried.token)
            identity = self._check.near(bearer)
        except (UnauthenticatedError, SessionEndedError):
            if self._passes_all_the_same(scope, carried):
                return self._app(scope, receive, send)
            raise
        if identity is None:
            return self._ask_first(carried, bearer, scope, receive, send)
        self._admit(scope, identity, bearer, carried)
        return self._app(scope, receive, send)

    async def _ask_first(self, carried: Credential, bearer: Bearer, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            identity = await self._ask(scope, bearer)
        except (UnauthenticatedError, SessionEndedError):
            if not self._passes_all_the_same(scope, carried):
                raise
        else:
            self._admit(scope, identity, bearer, carried)
        await self._app(scope, receive, send)

    async def _still_admits(self, scope: Scope, token: str) -> Identity:
        """Who a stream's caller is now, asked while it lasts; that counts as no use of the session.

        Raises what would refuse the same request now.
        """
        identity = await self._ask(scope, self._tokens.check(token), is_use=False)
        if scope["path"].startswith(ADMIN_PREFIX) and not role_allows(identity.roles, scope["method"], ()):
            raise refusal(scope["method"], ())
        declared = self._routes.stream(scope["path"])
        assert declared is not None  # nothing else asks
        scope["state"]["identity"] = identity
        check_declared(scope, declared)
        return identity

    async def _ask(self, scope: Scope, bearer: Bearer, *, is_use: bool = True) -> Identity:
        if scope["method"] != "GET" or scope["path"] not in self._in_outage:
            return await self._check.identify(bearer, is_use=is_use)
        try:
            async with asyncio.timeout(BLIND_WAIT_S):
                return await self._check.identify(bearer, is_use=is_use)
        except SessionUnknownError:
            return self._check.blind(bearer)
        except TimeoutError:
            # It may be the cache alone that hangs, and the database may know that the session is over.
            return await self._ask_sql(bearer, is_use=is_use)

    async def _ask_sql(self, bearer: Bearer, *, is_use: bool) -> Identity:
        try:
            async with asyncio.timeout(SQL_WAIT_S):
                return await self._check.identify_by_sql(bearer, is_use=is_use)
        except (TimeoutError, SessionUnknownError):
            return self._check.blind(bearer)

    def _passes_all_the_same(self, scope: Scope, carried: Credential) -> bool:
        """What is left of a session that is over: the page cannot take the cookie away, and signs in again."""
        return carried.by_cookie and scope["path"] in self._optional

    def _admit(self, scope: Scope, identity: Identity, bearer: Bearer, carried: Credential) -> None:
        if scope["path"].startswith(ADMIN_PREFIX) and not role_allows(identity.roles, scope["method"], ()):
            raise refusal(scope["method"], ())
        scope["state"].update(identity=identity, bearer=bearer, by_cookie=carried.by_cookie)
        if "place" in scope["state"]:
            scope["state"]["recheck"] = partial(self._still_admits, scope, carried.token)


class ConcurrencyMiddleware:
    """Bounds how many requests are answered at once, and how long each may take. Those that wait for their body are not
    counted: :class:`rppam.http.body_middleware.BodyMiddleware` leaves the place that was taken here, and takes one
    again. A stream leaves it for good once it has begun (:mod:`rppam.http.streams`): only a route that declares it can.
    """

    def __init__(self, app: ASGIApp, *, limits: ApiLimits, room: RequestSlots, routes: RouteIndex) -> None:
        self._app, self._limits, self._room, self._routes = app, limits, room, routes
        self._limit_ms = limits.body_timeout_ms + limits.answer_timeout_ms
        self._late: set[asyncio.Task[Any]] = set()
        """Requests whose time is over and that have not heard of it yet."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        room = self._room
        if room.in_flight >= self._limits.in_flight:
            raise BusyError(f"{room.in_flight} requests are being answered, which is the limit")
        if scope["method"] == "HEAD":
            # RFC 9110, section 9.3.2: the same as GET without the body, which the server leaves out.
            scope = {**scope, "method": "GET"}
        loop = asyncio.get_running_loop()  # Python 3.11 asks the kernel for the process each time
        task = asyncio.current_task(loop)
        assert task is not None  # a coroutine that is awaited runs in one
        acts_from_now_on(partial(_actor, scope))
        room.in_flight += 1
        # As asyncio.timeout() does it, without its objects: this is on the way of every request.
        late = loop.call_later(self._limit_ms / 1000, self._cancel, task)
        place = Place(room, late)
        if self._routes.stream(scope["path"]):
            scope["state"]["place"] = place
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if task in self._late and not task.uncancel():
                raise AnswerTimeoutError(f"no answer within {self._limit_ms} ms") from None
            raise
        finally:
            self._late.discard(task)
            place.leave()

    def _cancel(self, task: "asyncio.Task[Any]") -> None:
        self._late.add(task)
        task.cancel()


def _actor(scope: Scope) -> Actor:
    """Who is asking, as far as it is known when something is recorded."""
    state, client = scope["state"], scope["client"]
    address, request = client[0] if client else "", state.get("request_id", "")
    identity: Identity | None = state.get("identity")
    if identity is None:
        return Actor(ActorKind.ANONYMOUS, address=address, request=request)
    kind = ActorKind.HOST if identity.user_id is None else ActorKind.USER
    reason = _reason(scope)
    return Actor(kind, identity.user_id or "", identity.subject, identity.session_id, address, request, reason)


def _reason(scope: Scope) -> str:
    """Why the caller does it, for the record: ``Rppam-Reason``, percent-encoded UTF-8."""
    found = next((value for name, value in scope["headers"] if name == REASON_HEADER), b"")
    text = unquote(found.decode("latin-1"), errors="replace")
    return "".join(one if one.isprintable() else " " for one in text).strip()[:REASON_CHARS]
