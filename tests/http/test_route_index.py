"""A route is found by its path, and it is the one that the framework itself would have found, if its path is not named
by another one word by word."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match

from rppam.app.api import bare_app
from rppam.app.slices import routers
from rppam.http.route_index import RouteIndex

WHOLE: dict[str, set[str]] = {}
"""The paths without a parameter, and what each takes."""
ROUTES = [route for router in routers() for route in router.routes if isinstance(route, APIRoute)]

for each in ROUTES:
    if "{" not in each.path:
        WHOLE.setdefault(each.path, set()).update(each.methods or ())


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return bare_app()


def scope_of(path: str, method: str) -> dict[str, Any]:
    return {"type": "http", "path": path, "method": method, "headers": [], "root_path": "", "path_params": {}}


def filled(path: str) -> str:
    return path.replace("{area}", "security").replace("{", "").replace("}", "")


def index_of(app: FastAPI) -> RouteIndex:
    [index] = [route for route in app.router.routes if isinstance(route, RouteIndex)]
    assert app.router.routes[0] is index
    return index


def found_the_long_way(app: FastAPI, scope: dict[str, Any]) -> BaseRoute | None:
    return next((one for one in app.router.routes[1:] if one.matches(scope)[0] is Match.FULL), None)


@pytest.mark.parametrize("path", sorted({filled(route.path) for route in ROUTES} | {"/api/v1/users/me/roles"}))
def test_every_path_is_found_like_the_framework_finds_it(app: FastAPI, path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        scope = scope_of(path, method)
        expected = found_the_long_way(app, dict(scope))
        match, _ = index_of(app).matches(scope)
        found = scope.get("rppam.route")
        if path in WHOLE and expected is not None and method not in WHOLE[path]:
            # The framework takes the word for a parameter of another route. Here it is a method that is not offered.
            assert (found, match) == (None, Match.FULL), (method, path)
            continue
        assert (found.included if found else None) is expected, (method, path)
        assert match is (Match.FULL if expected is not None or path in WHOLE else Match.NONE)


@pytest.mark.parametrize("path", ["", "/api/v1", "/api/v1/users/", "//", "/api/v1/nothing", "/api/v1/users/a/b/c/d"])
def test_what_is_nothing_of_ours_is_left_to_the_framework(app: FastAPI, path: str) -> None:
    assert index_of(app).matches(scope_of(path, "GET"))[0] is Match.NONE


def test_a_path_that_is_named_word_by_word_takes_its_own_methods_alone(app: FastAPI) -> None:
    assert index_of(app).methods("/api/v1/users/me") == {"GET", "HEAD"}
    assert index_of(app).methods("/api/v1/users/anna") == {"DELETE", "GET", "HEAD", "PATCH", "PUT"}
    assert index_of(app).methods("/api/v1/auth/webauthn/prove") == {"POST"}
