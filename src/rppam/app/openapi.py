"""The OpenAPI document: generated from the routes, completed with what stands outside them.

Adds the probes (answered before routing), the bearer scheme with who may call what, and problem documents as the one
form of every error. ``docs/reference/openapi.json`` and ``rest.md`` are made from it (:mod:`rppam.app.rest_reference`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from rppam.access.rbac.auth_middleware import ANSWERED_BLIND, EITHER, PUBLIC
from rppam.access.rbac.policy import ADMIN_PREFIX, Needs, enough
from rppam.http.problems import MEDIA_TYPE
from rppam.manager.metrics import METRICS_PATH

_DESCRIPTION: Final = (
    "Everything needs `Authorization: Bearer <token>` except the probes, both steps of a log-in and the public keys; "
    "the console sends a cookie instead. "
    "Everything below `/api/v1/admin/` needs the role `pam_admin`; `pam_auditor` may read all of it. "
    "Errors are problem documents (RFC 9457)."
)
_PROBES: Final = {
    "/system/health/ping": ("Answers while the process serves requests", ("status", "node", "version", "time"), False),
    "/system/health/live": ("200 while the node's own loop turns", ("status", "node"), True),
    "/system/health/ready": (
        "200 while the node takes requests, standbys included and with Redis away too; 503 while draining and in "
        "maintenance, and where neither Redis nor the database answers",
        ("status", "node"),
        True,
    ),
    "/system/health/leader": (
        "200 only while this node has permission to lead, computed at that moment",
        ("status", "node", "epoch"),
        True,
    ),
}
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
        "revision": {"type": "integer", "description": "What is in force (RPPAM-6503)"},
        "leader": {"type": ["string", "null"], "description": "Who leads (RPPAM-6020)"},
        "leaderUrl": {"type": ["string", "null"], "description": "Where it answers (RPPAM-6020)"},
    },
}
_BODY: Final = {
    "400": "The body is not valid",
    "413": "The body is larger than 1 MiB",
    "415": "The body is not JSON",
}
_SETTING_READ: Final = {"404": "No such setting", "503": "The database does not answer"}
_SETTING_WRITTEN: Final = {
    **_BODY,
    "404": "No such setting",
    "409": "A newer leader has written since; nothing was changed",
    "412": "If-Match names another revision than the one in force",
    "421": "It could not be handed on to the leader; `leader` and `leaderUrl` say who that is",
    "503": "The database does not answer; with RPPAM-2903 the change may or may not have been made",
}
_HANDED_ON: Final = {
    "502": "It was handed on to the node that it is for, which did not believe it (RPPAM-5322), or whose answer cannot "
    "be passed on (RPPAM-5215)",
    "504": "It was handed on to the node that it is for, and whether that carried it out is not known (RPPAM-5214)",
}
_NO_DATABASE: Final = "The database does not answer"
_NO_ACCOUNT: Final = "The token belongs to no account"
_GUESSES: Final = "Too many wrong guesses; `Retry-After` says how long to wait"
_WITH_CODE: Final = {
    **_BODY,
    "403": "The code is not valid, or the token belongs to no account",
    "409": "There is no second factor",
    "429": _GUESSES,
}
_USER: Final = {"404": "No account has this id", "503": _NO_DATABASE}
_LAST: Final = "It is the last enabled `pam_admin`"
_ERRORS: Final[dict[tuple[str, str], dict[str, str]]] = {
    ("/api/v1/auth/login", "post"): {
        "400": "The body is not valid",
        "401": "User name or password is wrong",
        "403": "With `cookie`: it was not a page of the console that asked",
        "413": "The body is larger than 16 KiB",
        "415": "The body is not JSON",
        "429": "Too many wrong tries for this user or from this address; `Retry-After` says how long to wait",
        "503": "Busy, or the database does not answer",
    },
    ("/api/v1/auth/refresh", "post"): {"403": "The token was made on a host"},
    ("/api/v1/sessions", "get"): {"400": "A parameter is not valid", "403": "Somebody else's sessions"},
    ("/api/v1/sessions", "delete"): {
        "400": "Neither `userId` nor `all=true`, or both",
        "403": "Somebody else's sessions",
        "404": "No account has this id",
    },
    ("/api/v1/sessions/{sessionId}", "get"): {"404": "No live session of this id, or somebody else's"},
    ("/api/v1/sessions/{sessionId}", "delete"): {
        "403": "The role may see this session and not end it",
        "404": "No live session of this id, or somebody else's",
    },
    ("/api/v1/admin/cluster/nodes", "post"): {
        "400": "The name cannot be a node's",
        "403": "The account is not `pam_admin`, or the licence has no seat (RPPAM-4101)",
        "409": "The name is in use",
        "413": "The body is larger than 1 MiB",
        "415": "The body is not JSON",
    },
    ("/api/v1/admin/cluster/switchover", "post"): {
        **_BODY,
        **_HANDED_ON,
        "404": "The target is no member",
        "409": "The target leads already or cannot lead, or no other node could",
        "421": "There is no leader to hand it on to, or it leads no more; `leader` and `leaderUrl` say who does",
        "503": "The control process of the node did not answer, or too many orders are under way (RPPAM-5321)",
    },
    ("/api/v1/admin/nodes/{nodeName}/maintenance", "put"): {
        **_BODY,
        **_HANDED_ON,
        "404": "No node has this name",
        "409": "The node leads, and no other node could; or it is a witness (RPPAM-5216)",
        "421": "It could not be handed on to the named node; `detail` says why, `nodeUrl` where that one answers",
        "503": "The control process did not answer, or the order could not be kept on disk",
    },
    ("/api/v1/admin/cluster/pause", "put"): {
        **_BODY,
        "503": "The control process did not answer, or the order could not be kept on disk",
    },
    ("/api/v1/admin/cluster/forget", "post"): {
        **_BODY,
        **_HANDED_ON,
        "404": "It is no member",
        "409": "It runs, or must be stated off, or another change is under way; with force: there is a leader",
        "421": "It could not be handed on to the leader; `leader` and `leaderUrl` say who that is",
        "503": "The control process of the node did not answer, or too many orders are under way (RPPAM-5321)",
    },
    ("/api/v1/settings", "get"): {"503": "The database does not answer"},
    ("/api/v1/settings/{area}/{name}", "get"): _SETTING_READ,
    ("/api/v1/settings/{area}/{name}", "put"): _SETTING_WRITTEN,
    ("/api/v1/settings/{area}/{name}/history", "get"): _SETTING_READ,
    ("/api/v1/settings/{area}/{name}/rollback", "post"): {
        **_SETTING_WRITTEN,
        "404": "No such setting, or it has no such revision",
    },
    ("/api/v1/auth/mfa", "get"): {"403": _NO_ACCOUNT},
    ("/api/v1/auth/mfa/challenge", "post"): {
        **_BODY,
        "401": "The code is not valid (RPPAM-3121), or the log-in is over (RPPAM-3123)",
        "403": "With `cookie`: it was not a page of the console that asked",
        "409": "The account has to enrol a second factor first",
        "413": "The body is larger than 16 KiB",
        "429": _GUESSES,
        "503": _NO_DATABASE,
    },
    ("/api/v1/auth/mfa/enroll", "post"): {
        **_BODY,
        "400": "The body is not valid, or the current password is missing and the log-in was over ten minutes ago",
        "401": "No valid access token; or with `mfaToken`: the code is not valid, or the log-in is over",
        "403": "The code or the current password is not valid, or the token belongs to no account",
        "409": "There is a second factor already, or none may be enrolled, or none was begun",
        "429": _GUESSES,
        "503": "The database does not answer, or this host has no cluster key (RPPAM-3128)",
    },
    ("/api/v1/auth/mfa/stepup", "post"): _WITH_CODE,
    ("/api/v1/auth/mfa/backup-codes", "post"): _WITH_CODE,
    ("/api/v1/auth/mfa/disable", "post"): {**_WITH_CODE, "409": "There is no second factor, or it is required"},
    ("/api/v1/users/{userId}/mfa", "delete"): _USER,
    ("/api/v1/users", "get"): {"400": "The query is not valid", "503": _NO_DATABASE},
    ("/api/v1/users", "post"): {**_BODY, "409": "The name is taken, or looks like another's", "503": _NO_DATABASE},
    ("/api/v1/users/me", "get"): {"403": "The token belongs to no account", "503": _NO_DATABASE},
    ("/api/v1/users/me/password", "put"): {
        **_BODY,
        "403": "The current password is wrong, or the token belongs to no account",
        "429": "Too many wrong guesses",
        "503": _NO_DATABASE,
    },
    ("/api/v1/users/{userId}", "get"): _USER,
    ("/api/v1/users/{userId}", "put"): {**_BODY, **_USER, "409": _LAST},
    ("/api/v1/users/{userId}", "patch"): {**_BODY, **_USER, "409": _LAST},
    ("/api/v1/users/{userId}", "delete"): {**_USER, "409": _LAST},
    ("/api/v1/users/{userId}/roles", "get"): _USER,
    ("/api/v1/users/{userId}/roles", "put"): {**_BODY, **_USER, "409": _LAST},
    ("/api/v1/users/{userId}/password/reset", "post"): {
        **_BODY,
        **_USER,
        "400": "The body is not valid, or it is the own account and the current password is missing",
        "403": "The account lacks the role, or it is the own account and the current password is wrong",
        "429": _GUESSES,
    },
    ("/api/v1/users/{userId}/unlock", "post"): _USER,
    ("/api/v1/lockouts", "get"): {"503": _NO_DATABASE},
    ("/api/v1/lockouts/tries", "get"): {"400": "Neither `username` nor `address`", "503": _NO_DATABASE},
    ("/api/v1/lockouts/{lockoutId}", "delete"): {"400": "The id is not one", "503": _NO_DATABASE},
    ("/api/v1/admin/cluster/note", "get"): {"503": "The database does not answer"},
    ("/api/v1/admin/cluster/note", "put"): {
        "400": "The text cannot be a note",
        "409": "A newer leader has written since; nothing was changed",
        "413": "The body is larger than 1 MiB",
        "415": "The body is not JSON",
        "421": "It could not be handed on to the leader; `leader` and `leaderUrl` say who that is",
        "503": "The database does not answer; the note may or may not have been replaced",
    },
}


def describe(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Make ``app.openapi()`` (and ``GET /openapi.json``) tell the whole API, which is made of ``routers``."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(title=app.title, version=app.version, routes=app.routes, description=_DESCRIPTION),
                {(route.path, method.lower()): roles for route, method, roles in _asked_for(routers)},
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way of extending the document


def _asked_for(routers: Sequence[APIRouter]) -> Iterator[tuple[APIRoute, str, Sequence[str]]]:
    # Asked of the routers themselves: what an application makes of an included one differs between releases of FastAPI.
    for route in (route for router in routers for route in router.routes):
        if isinstance(route, APIRoute):
            for asked in (one.dependency for one in route.dependencies):
                if isinstance(asked, Needs):
                    yield from ((route, method, sorted(asked.roles)) for method in route.methods or ())


def _complete(document: dict[str, Any], roles: Mapping[tuple[str, str], Sequence[str]]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete_operation(path, method, operation, roles.get((path, method)))
    for path, (summary, members, may_refuse) in _PROBES.items():
        document["paths"][path] = {"get": _probe(path, summary, members, may_refuse=may_refuse)}
    document["paths"][METRICS_PATH] = {"get": _metrics()}
    document["paths"] = dict(sorted(document["paths"].items()))
    return document


def _complete_operation(path: str, method: str, operation: dict[str, Any], roles: Sequence[str] | None) -> None:
    responses = operation["responses"]
    # The framework's default; ours is 400 with another body.
    responses.pop("422", None)
    for done in ("200", "201", "204"):
        if done in responses:
            responses[done]["description"] = "Done"
    errors = dict(_ERRORS.get((path, method), {}))
    if operation.get("parameters"):
        errors.setdefault("400", "A part of the path, the query or a header is not valid")
    if method != "get":
        # Whatever body comes is looked at before the route is, also where the route asks for none.
        for status, text in _BODY.items():
            errors.setdefault(status, text)
    if path in EITHER:
        operation["security"] = [{"token": []}, {}]
    elif path not in PUBLIC:
        operation["security"] = [{"token": []}]
        errors["401"] = "No valid access token, or its session is over (RPPAM-6005)"
        if path not in ANSWERED_BLIND or method != "get":
            errors.setdefault("503", "Nobody can tell now whether the session holds (RPPAM-6033)")
    if path not in ANSWERED_BLIND:
        errors.setdefault("429", "Too many requests; `Retry-After` says how long to wait")
    if path.startswith(ADMIN_PREFIX):
        roles = ()
    if roles is not None:
        operation["x-roles"] = enough(method.upper(), roles)
        errors.setdefault("403", "The account has none of the roles that this needs")
    for status, text in sorted(errors.items()):
        responses[status] = _problem(text)


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
