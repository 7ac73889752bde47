"""The REST application, put together. Layers from the outside in::

    Forwarder  whose request it is, where proxies are trusted
    errors     request id, headers, every error as a problem document
    Probes     ping, live, ready, leader: answered at once
    bounds     how many requests at once, and for how long; while a body is awaited it is none of them
    limits     how often one address, and everybody together
    access     token, session and role, for every path that is not public
    limits     how often one user, and one endpoint
    bodies     one plain JSON value, bounded
    acts       a change that is sent again happens once
    routes     FastAPI: fields, and the generated OpenAPI

Whether a session holds is told by memory, the cache or the database, and health answers while all of them are away.
"""

from typing import Final, Never

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from rppam import __version__
from rppam.access.rbac.auth_middleware import AuthMiddleware, ConcurrencyMiddleware
from rppam.access.rbac.policy import check_declared
from rppam.access.rbac.rate_limit_middleware import AddressRateLimit, UserRateLimit
from rppam.access.sessions.service import Sessions
from rppam.access.tokens.service import TokenCache, Tokens
from rppam.app.api_parts import ApiParts
from rppam.app.openapi import describe, document_router
from rppam.app.slices import routers
from rppam.cluster.health.ports import NodeStatus
from rppam.console.idempotency import IdempotencyMiddleware
from rppam.console.store import SqlActs
from rppam.console.wiring import ActKeys
from rppam.foundation import Foundation
from rppam.http.body_middleware import BodyMiddleware
from rppam.http.error_middleware import ErrorMiddleware
from rppam.http.errors import (
    FieldFlaw,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    UnreadableBodyError,
)
from rppam.http.forwarded import Forwarder
from rppam.http.request_slots import RequestSlots
from rppam.http.route_index import include
from rppam.http.sockets import Handshakes
from rppam.http.streams import Streams
from rppam.manager.probes import Probes

__all__ = ["ApiParts", "bare_app", "build_app"]

_FLAWS_MAX: Final = 20
_FIELD_CHARS: Final = 100


def build_app(parts: ApiParts) -> FastAPI:
    """The application, ready to be served."""
    app = bare_app()
    services = app.state.services = parts.services
    base = services.get(Foundation)
    app.state.streams = Streams(parts.limits)
    routes, room = app.state.route_index, RequestSlots(parts.limits)
    # Added last is outermost.
    app.add_middleware(IdempotencyMiddleware, acts=services.get(SqlActs), data_keys=services.get(ActKeys).data_keys)
    app.add_middleware(BodyMiddleware, limits=parts.limits, room=room)
    app.add_middleware(UserRateLimit, limiter=parts.limiter, settings=base.hot, routes=routes)
    app.add_middleware(
        AuthMiddleware, tokens=TokenCache(services.get(Tokens)), check=services.get(Sessions).check, routes=routes
    )
    app.add_middleware(AddressRateLimit, limiter=parts.limiter, settings=base.hot, routes=routes)
    app.add_middleware(ConcurrencyMiddleware, limits=parts.limits, room=room, routes=routes)
    app.add_middleware(
        Probes,
        status=services.get(NodeStatus),
        clock=base.clock,
        node=base.node,
        has_backend=parts.has_footing,
        metrics_access=parts.metrics_access,
    )
    app.add_middleware(
        ErrorMiddleware,
        clock=base.clock,
        new_id=base.entropy.nonce,
        limits=parts.limits,
        access_log=parts.access_log,
    )
    if parts.trusted_proxies:
        app.add_middleware(Forwarder, trusted=parts.trusted_proxies, header=parts.forwarded_header)
    if routes.has_sockets:
        app.add_middleware(Handshakes)
    return app


def bare_app() -> FastAPI:
    """The routes and their description, without a node behind them: enough to generate the reference."""
    app = FastAPI(
        title="RP-PAM",
        version=__version__,
        openapi_url=None,  # served by `document_router`
        docs_url=None,
        redoc_url=None,
        # A redirect would be built from the caller's Host header.
        redirect_slashes=False,
        exception_handlers={HTTPException: _translate_http, RequestValidationError: _translate_validation},
    )
    index = app.state.route_index = include(app, (*routers(), document_router(app)), check_declared)
    describe(app, index)
    return app


async def _translate_http(request: Request, error: Exception) -> Never:
    """The framework's own errors as ours; the envelope makes the answer."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        raise NotFoundError("there is nothing at this path") from None
    if status == 405:
        # The framework names the methods of the first route alone, where several share a path.
        allowed: set[str] = request.app.state.route_index.methods(request.scope["path"])
        raise MethodNotAllowedError(request.method, sorted(allowed)) from None
    if status == 400:
        raise UnreadableBodyError("the body cannot be read") from None
    raise error


async def _translate_validation(_request: Request, error: Exception) -> Never:
    """Every field with what was expected; never what was found, which may be a password."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    raise InvalidRequestError(
        [
            FieldFlaw(".".join(str(part) for part in flaw["loc"])[:_FIELD_CHARS], str(flaw["msg"]), str(flaw["type"]))
            for flaw in found[:_FLAWS_MAX]
        ]
    ) from None
