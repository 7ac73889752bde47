"""The OpenAPI document: generated from the routes, completed with what stands outside them.

Adds the probes (answered before routing), who may call what and which problem documents it answers with, as each route
declares (:mod:`rppam.http.routes`). ``docs/reference/openapi.json`` and ``rest.md`` are made from it
(:mod:`rppam.app.rest_reference`).
"""

import asyncio
import gzip
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response

import rppam
from rppam.access.rbac.policy import enough
from rppam.http.answers import BODY
from rppam.http.problems import MEDIA_TYPE
from rppam.http.revisions import TAGS_PATTERN, has_already, takes_if_match
from rppam.http.route_index import Indexed, RouteIndex
from rppam.http.routes import ANYBODY, Kind, Who, declare
from rppam.http.static import takes_gzip
from rppam.manager.metrics import METRICS_PATH

OPENAPI_PATH: Final = "/openapi.json"
_DESCRIPTION: Final = (
    "Everything needs `Authorization: Bearer <token>` except the probes, a log-in, the public keys and this document; "
    "the console sends a cookie instead. "
    "Everything below `/api/v1/admin/` needs the role `pam_admin`; `pam_auditor` may read all of it. "
    "Errors are problem documents (RFC 9457)."
)
_PROBES: Final = {
    "/system/health/ping": ("Answers while the process serves requests", ("status", "node", "version", "time"), False),
    "/system/health/live": ("200 while the node's own loop turns", ("status", "node"), True),
    "/system/health/ready": (
        "200 while the node takes requests, standbys included, with Redis away, and with the database lost or damaged "
        "while Redis answers; 503 while draining and in maintenance, and where neither Redis nor the database answers",
        ("status", "node"),
        True,
    ),
    "/system/health/leader": (
        "200 only while this node has permission to lead, computed at that moment",
        ("status", "node", "epoch"),
        True,
    ),
}
_ETAG: Final = {"ETag": {"description": "The revision, in quotes", "schema": {"type": "string"}}}
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "fix", "requestId"],
    "properties": {
        "type": {"type": "string", "description": "urn:rppam:error:CODE"},
        "title": {"type": "string", "description": "What this class of error means"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened this time"},
        "instance": {"type": "string", "description": "The path asked for"},
        "code": {"type": "string", "description": "Stable code of the error table, such as RPPAM-6001"},
        "fix": {"type": "string", "description": "What to do next"},
        "requestId": {"type": "string", "description": "Stands in the node's log too"},
        "errors": {
            "type": "array",
            "description": "Each field that is wrong (RPPAM-6010, RPPAM-6501)",
            "items": {
                "type": "object",
                "required": ["field", "message", "kind"],
                "properties": {name: {"type": "string"} for name in ("field", "message", "kind")},
            },
        },
        "node": {"type": ["string", "null"], "description": "Whom the order is for (RPPAM-5202, 5214, 5215, 5322)"},
        "nodeUrl": {"type": ["string", "null"], "description": "Where it answers (RPPAM-5202, 5214, 5215, 5322)"},
        "revision": {"type": "integer", "description": "What is in force (412); also the ETag"},
        "changedBy": {"type": ["string", "null"], "description": "Who has changed it last (412)"},
        "changedAt": {"type": ["string", "null"], "description": "When that was (412)"},
        "leader": {"type": ["string", "null"], "description": "Who leads (RPPAM-6020)"},
        "leaderUrl": {"type": ["string", "null"], "description": "Where it answers (RPPAM-6020)"},
    },
}


def document_router(app: FastAPI) -> APIRouter:
    """``GET /openapi.json``, for everybody: the document of this release, as its package holds it.

    Making it takes seconds. Only where the package has none, or one of other routes (a slice was added), it is made, on
    a thread, for the first who ask. It is kept packed, as it is large.
    """
    router = APIRouter(include_in_schema=False)
    kept: list[tuple[bytes, str]] = []

    def packed() -> tuple[bytes, str]:
        if not kept:
            document = released_document()
            if document is None or _operations(document) != _operations_of(app.state.route_index):
                document = app.openapi()
            text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
            kept.append((gzip.compress(text, 6, mtime=0), f'"{hashlib.sha256(text).hexdigest()[:32]}"'))
        return kept[0]

    @router.get(OPENAPI_PATH, response_model=None)
    @declare(ANYBODY)
    async def openapi(request: Request) -> Response:
        content, etag = kept[0] if kept else await asyncio.to_thread(packed)
        headers = {"Cache-Control": "no-cache", "ETag": etag, "Vary": "Accept-Encoding"}
        if has_already(request, etag):
            return Response(status_code=304, headers=headers)
        if takes_gzip(request.headers.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
        else:
            content = await asyncio.to_thread(gzip.decompress, content)
        return Response(content, media_type="application/json", headers=headers)

    return router


def released_document() -> dict[str, Any] | None:
    """The document in the package, or in the checkout; ``None`` where there is none that can be read."""
    package = Path(rppam.__file__).parent
    for place in (package / "openapi.json", package.parents[1] / "docs" / "reference" / "openapi.json"):
        try:
            found: dict[str, Any] = json.loads(place.read_bytes())
        except (OSError, ValueError):
            continue
        return found
    return None


def _operations(document: Mapping[str, Any]) -> set[tuple[str, str]]:
    outside = {*_PROBES, METRICS_PATH}
    return {
        (method, path) for path, operations in document["paths"].items() for method in operations if path not in outside
    }


def _operations_of(routes: RouteIndex) -> set[tuple[str, str]]:
    return {
        (method.lower(), one.route.path)
        for one in routes.routes
        for method in one.methods
        if one.route.include_in_schema
    }


def describe(app: FastAPI, routes: RouteIndex) -> None:
    """Make ``app.openapi()`` (and ``GET /openapi.json``) tell the whole API."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(title=app.title, version=app.version, routes=app.routes, description=_DESCRIPTION),
                {(one.route.path, method.lower()): one for one in routes.routes for method in one.methods},
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way of extending the document


def _complete(document: dict[str, Any], routes: Mapping[tuple[str, str], Indexed]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            route = routes[path, method]
            if takes_if_match(route.route):
                _add_if_match(operation)
            if 304 in route.declared.answers:
                _add_if_none_match(operation)
            _complete_operation(method, operation, route)
    for path, (summary, members, may_refuse) in _PROBES.items():
        document["paths"][path] = {"get": _probe(path, summary, members, may_refuse=may_refuse)}
    document["paths"][METRICS_PATH] = {"get": _metrics()}
    document["paths"] = dict(sorted(document["paths"].items()))
    document["servers"] = [{"url": "/", "description": "The node that serves this document"}]
    used = {tag for operations in document["paths"].values() for one in operations.values() for tag in one["tags"]}
    document["tags"] = [{"name": tag} for tag in sorted(used)]
    return document


def _complete_operation(method: str, operation: dict[str, Any], route: Indexed) -> None:
    responses, errors, declared = operation["responses"], {}, route.declared
    # The framework's default; ours is 400 with another body.
    responses.pop("422", None)
    if declared.kind is Kind.EVENTS:
        responses["200"]["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
        errors = {429: "Too many streams of this user, or requests", 503: "Too many streams in all"}
    if declared.kind is Kind.SOCKET:
        del responses["200"]
        responses["101"] = {"description": "A WebSocket"}
        errors = {429: "Too many streams of this user, or requests", 503: "Too many streams in all"}
    for done in ("200", "201", "204"):
        if done in responses:
            responses[done]["description"] = "Done"
    errors |= declared.answers
    if operation.get("parameters") or route.parameters is not None:
        errors.setdefault(400, "A part of the path, the query or a header is not valid")
    if method != "get":
        # Whatever body comes is looked at before the route is, also where the route asks for none.
        for status, text in BODY.items():
            errors.setdefault(status, text)
    who = declared.access.who
    if who is Who.OPTIONAL:
        operation["security"] = [{"token": []}, {}]
    elif who is not Who.ANYBODY:
        operation["security"] = [{"token": []}]
        errors[401] = "No valid access token, or its session is over (RPPAM-6005)"
        if not declared.in_outage:
            errors.setdefault(503, "Nobody can tell now whether the session holds (RPPAM-6033)")
    if declared.counted:
        errors.setdefault(429, "Too many requests; `Retry-After` says how long to wait")
    if who in {Who.ROLES, Who.ADMIN}:
        operation["x-roles"] = enough(method.upper(), declared.access.roles)
        errors.setdefault(403, "The account has none of the roles that this needs")
    for status, text in sorted(errors.items()):
        responses[str(status)] = _problem(text) if status >= 400 else {"description": text}


def _add_if_match(operation: dict[str, Any]) -> None:
    """A change that its author may tie to the revision that was read."""
    text = "Entity tags of the revisions that this may change; left out, or `*`: any. Another one in force is 412."
    operation.setdefault("parameters", []).append(_tags("If-Match", text))
    operation["responses"]["412"] = _problem("`If-Match` names another revision than the one in force; who changed it")
    if "200" in operation["responses"]:
        operation["responses"]["200"]["headers"] = _ETAG


def _add_if_none_match(operation: dict[str, Any]) -> None:
    """What is sent only to somebody who has not got it."""
    text = "Entity tags of what the caller has already: where one of them is in force, the answer is 304."
    operation.setdefault("parameters", []).append(_tags("If-None-Match", text))
    operation["responses"]["200"]["headers"] = _ETAG


def _tags(name: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": text,
        "schema": {"type": "string", "pattern": TAGS_PATTERN},
    }


def _metrics() -> dict[str, Any]:
    return {
        "tags": ["probes"],
        "summary": "What the node measures, for Prometheus",
        "description": "Numbers only. No token, unless `api.metricsAccess` asks for that of `api.metricsToken`, which "
        "is no access token. HEAD and OPTIONS answer with the same status.",
        "operationId": "metrics",
        "responses": {
            "200": {
                "description": "Text format 0.0.4",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
            "401": _problem("`api.metricsAccess` is `token`, and it was not shown (RPPAM-3130)"),
            "403": _problem("`api.metricsAccess` is `local`, and the caller is on another host (RPPAM-3131)"),
        },
    }


def _probe(path: str, summary: str, members: tuple[str, ...], *, may_refuse: bool) -> dict[str, Any]:
    properties = {name: {"type": "integer" if name == "epoch" else "string"} for name in members}
    schema = {"type": "object", "required": list(members), "properties": properties}
    responses: dict[str, Any] = {"200": {"description": "Yes", "content": {"application/json": {"schema": schema}}}}
    if may_refuse:
        responses["503"] = _problem("No, and why")
    return {
        "tags": ["probes"],
        "summary": summary,
        "description": "No token. HEAD and OPTIONS answer with the same status.",
        "operationId": "probe_" + path.rsplit("/", 1)[1],
        "responses": responses,
    }


def _problem(text: str) -> dict[str, Any]:
    return {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
