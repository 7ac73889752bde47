"""A route that declares nothing, or something that cannot hold, keeps the application from being built."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import Match
from starlette.types import Scope

from rppam.access.rbac.policy import check_declared
from rppam.app.api import bare_app
from rppam.http.errors import ForbiddenError
from rppam.http.route_index import RouteIndex, include
from rppam.http.routes import ADMIN, ANYBODY, OPTIONAL, SIGNED_IN, Access, Declaration, UndeclaredRouteError, declare


def built(path: str, *marks: Any) -> RouteIndex:
    router = APIRouter()

    async def handler() -> None:
        return None

    for mark in marks:
        handler = mark(handler)
    router.get(path)(handler)
    return include(FastAPI(), [router], check_declared)


def test_a_route_without_a_declaration_is_refused_by_name() -> None:
    with pytest.raises(UndeclaredRouteError, match=r"the route /api/v1/new \(handler\) does not declare who may call"):
        built("/api/v1/new")
    assert built("/api/v1/new", declare(SIGNED_IN)).routes[0].declared.access is SIGNED_IN


@pytest.mark.parametrize("access", [ANYBODY, OPTIONAL, SIGNED_IN])
def test_below_the_prefix_of_administrators_nothing_is_declared_more_open(access: Access) -> None:
    with pytest.raises(UndeclaredRouteError, match="ADMIN is for the paths below /api/v1/admin/ and for no other"):
        built("/api/v1/admin/new", declare(access))


def test_the_rule_of_the_prefix_protects_nothing_outside_of_it() -> None:
    with pytest.raises(UndeclaredRouteError, match="declares 'admin'"):
        built("/api/v1/new", declare(ADMIN))
    assert built("/api/v1/admin/new", declare(ADMIN)).anybody == frozenset()


@pytest.mark.parametrize(
    "mark",
    [declare(ANYBODY), declare(OPTIONAL), declare(SIGNED_IN, counted=False), declare(SIGNED_IN, in_outage=True)],
)
def test_a_path_with_a_parameter_is_neither_open_nor_uncounted(mark: Any) -> None:
    assert len(built("/api/v1/new/here", mark).routes) == 1
    with pytest.raises(UndeclaredRouteError, match="which holds for whole paths only"):
        built("/api/v1/new/here/{one}", mark)


def test_what_is_open_and_what_no_limit_counts() -> None:
    """The whole list: a route that joins it is meant to be noticed."""
    index: RouteIndex = bare_app().state.route_index
    passkeys = {"/api/v1/auth/webauthn/login", "/api/v1/auth/webauthn/login/finish"}
    pages = {"/", "/console", "/console/", "/api", "/openapi.json"}
    log_in = {"/api/v1/auth/login", "/api/v1/auth/mfa/challenge", "/.well-known/jwks.json"}
    assert {path for path in index.anybody if not path.startswith("/static/")} == log_in | passkeys | pages
    assert index.optional == {"/api/v1/auth/mfa/enroll"}
    health = {"/system/health/cluster", "/api/v1/admin/cluster/status", "/api/v1/admin/cluster/note"}
    assert index.in_outage == health
    assert index.uncounted == {
        *(("GET", path) for path in health),
        ("PUT", "/api/v1/admin/cluster/note"),
        ("PUT", "/api/v1/settings/security/limits"),
    }


async def test_the_check_stands_before_the_handler_of_every_route() -> None:
    asked: list[Declaration] = []

    def refuse(_scope: Scope, declared: Declaration) -> None:
        asked.append(declared)
        raise ForbiddenError("no")

    index: RouteIndex = bare_app().state.route_index
    index._check = refuse
    for number, one in enumerate(index.routes):
        path = one.route.path.replace("{", "").replace("}", "")
        method = next(iter(one.methods))
        scope: Scope = {"type": "http", "path": path, "method": method, "headers": [], "root_path": ""}
        scope["path_params"] = {}
        assert index.matches(scope)[0] is Match.FULL
        with pytest.raises(ForbiddenError):
            await index.handle(scope, None, None)  # type: ignore[arg-type]
        assert len(asked) == number + 1
