"""The gate: who may pass, and how much at once. It stands before routing, so a path nobody thought of is closed too.

Decides: everything needs a valid token but :data:`PUBLIC` (and the probes, which are answered before); everything below
``/api/v1/admin/`` needs ``pam_admin``, or to read ``pam_auditor``. It asks neither Redis nor the database; whether a
path exists is not its affair.
"""

import asyncio
import re
from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from rppam.api.access import ADMIN_PREFIX, allows, refusal
from rppam.api.limits import ApiLimits
from rppam.domain.claims import TokenFlaw
from rppam.domain.errors.request import AnswerTimeoutError, BusyError, UnauthenticatedError
from rppam.domain.session import Identity, SessionKind
from rppam.services.tokens import TOKEN_LENGTH_MAX, Tokens

LOGIN_PATH: Final = "/api/v1/auth/login"
JWKS_PATH: Final = "/.well-known/jwks.json"
PUBLIC: Final = frozenset({LOGIN_PATH, JWKS_PATH})
_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/=-]+)")


class Gate:
    """Checks token and role, before anything of the body is read."""

    def __init__(self, app: ASGIApp, *, tokens: Tokens) -> None:
        self._app, self._tokens = app, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] not in PUBLIC:
            claims = self._tokens.verify(bearer_token(scope["headers"]))
            roles = frozenset(claims.roles)
            if scope["path"].startswith(ADMIN_PREFIX) and not allows(roles, scope["method"], ()):
                raise refusal(scope["method"], ())
            identity = Identity(claims.subject, None, roles, claims.session, SessionKind.HOST, mfa=False)
            scope["state"]["identity"] = identity
        await self._app(scope, receive, send)


class Bounds:
    """At most so many requests at once, each for at most so long."""

    def __init__(self, app: ASGIApp, *, limits: ApiLimits) -> None:
        self._app, self._limits = app, limits
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._in_flight >= self._limits.in_flight:
            raise BusyError(f"{self._in_flight} requests are being answered, which is the limit")
        if scope["method"] == "HEAD":
            # RFC 9110, section 9.3.2: the same as GET without the body, which the server leaves out.
            scope = {**scope, "method": "GET"}
        self._in_flight += 1
        limit_ms = self._limits.body_timeout_ms + self._limits.answer_timeout_ms
        bound = asyncio.timeout(limit_ms / 1000)
        try:
            async with bound:
                await self._app(scope, receive, send)
        except TimeoutError as error:
            if not bound.expired():
                raise
            raise AnswerTimeoutError(f"no answer within {limit_ms} ms") from error
        finally:
            self._in_flight -= 1


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The token of the one ``Authorization: Bearer`` header. Raises :class:`UnauthenticatedError` naming the flaw."""
    found = [value for name, value in headers if name == b"authorization"]
    if not found:
        raise UnauthenticatedError(TokenFlaw.MISSING)
    if len(found) > 1:
        # Two proxies could each believe another one.
        raise UnauthenticatedError(TokenFlaw.REPEATED)
    if len(found[0]) > TOKEN_LENGTH_MAX + len("Bearer "):
        raise UnauthenticatedError(TokenFlaw.OVERSIZED)
    match = _BEARER.fullmatch(found[0])
    if match is None:
        raise UnauthenticatedError(TokenFlaw.SCHEME)
    return match[1].decode("ascii")
