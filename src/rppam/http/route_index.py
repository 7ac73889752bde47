"""Which of our routes a path is for, without trying them all.

The framework tries route after route; with some forty of them that costs a request more than everything else that
stands before its handler. So each route is found by its path: those without parameters by the whole of it, the others
by their length and first words. What is found is then asked by the framework's own rules, in the order in which the
routes were made; whatever is not found here goes the framework's long way, and a wrong method with it.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

_OWNER: Final = "rppam.route"
_WORDS: Final = 3
"""So many words at the beginning of a path hold no parameter, as in ``/api/v1/users/{userId}``."""


class _Indexed(NamedTuple):
    route: APIRoute
    included: BaseRoute
    """What the framework made of it."""


class RouteIndex(BaseRoute):
    """See the module. It stands before all other routes."""

    def __init__(self, indexed: Iterable[_Indexed]) -> None:
        self._whole: dict[str, list[BaseRoute]] = {}
        self._begun: dict[tuple[int, str], list[BaseRoute]] = {}
        known = list(indexed)
        self._routes = [one.route for one in known]
        for path in {one.route.path for one in known if "{" not in one.route.path}:
            # With those whose parameter could be this very word: they come in their order, too.
            self._whole[path] = [one.included for one in known if one.route.path_regex.match(path)]
        for one in known:
            if "{" in one.route.path:
                assert "{" not in _beginning(one.route.path), f"{one.route.path}: a parameter among the first words"
                assert ":path" not in one.route.path, f"{one.route.path}: a parameter of any length"
                self._begun.setdefault(_key(one.route.path), []).append(one.included)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The framework asks whether this is the route."""
        path = scope["path"]
        for owner in self._whole.get(path) or self._begun.get(_key(path)) or ():
            if owner.matches(scope)[0] is Match.FULL:
                scope[_OWNER] = owner
                return Match.FULL, {}
        return Match.NONE, {}

    def methods(self, path: str) -> set[str]:
        """All methods that ``path`` takes, of all routes that it could be for."""
        found = {method for route in self._routes if route.path_regex.match(path) for method in route.methods or ()}
        return found | ({"HEAD"} if "GET" in found else set())

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have it answered by the route that was found."""
        owner: BaseRoute = scope[_OWNER]
        await owner.handle(scope, receive, send)


def include(app: FastAPI, routers: Iterable[APIRouter]) -> RouteIndex:
    """Give ``app`` the routes of ``routers``, each by itself, and the index before them, which is returned."""
    indexed = []
    for router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            alone = APIRouter()
            alone.routes.append(route)
            app.include_router(alone)
            indexed.append(_Indexed(route, app.router.routes[-1]))
    index = RouteIndex(indexed)
    app.router.routes.insert(0, index)
    return index


def _beginning(path: str) -> str:
    return "/".join(path.split("/", _WORDS + 1)[: _WORDS + 1])


def _key(path: str) -> tuple[int, str]:
    return path.count("/"), _beginning(path)
