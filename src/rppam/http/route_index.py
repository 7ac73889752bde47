"""All routes with what they declare, and which of them a path is for, without trying them all.

The framework tries route after route; with some forty of them that costs a request more than everything else that
stands before its handler. So each route is found by its path: those without parameters by the whole of it, the others
by their length and first words. What is found is then asked by the framework's own rules, in the order in which the
routes were made; what is none of ours goes the framework's long way. A path that a route names word by word takes the
methods of such routes alone: ``/api/v1/users/me`` is nobody's id.

What a route declares is checked here once more, after its body was read and before the framework looks at a field; and
so is whether its query holds only what it takes (:mod:`rppam.http.query`).
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from rppam.http.errors import MethodNotAllowedError
from rppam.http.query import Parameters, parameters_of
from rppam.http.routes import Declaration, Kind, Who, declaration_of

_OWNER: Final = "rppam.route"
_WORDS: Final = 3
"""So many words at the beginning of a path hold no parameter, as in ``/api/v1/users/{userId}``."""
Check = Callable[[Scope, Declaration], None]


class Indexed(NamedTuple):
    """A route, and what it declares."""

    route: APIRoute
    included: BaseRoute
    """What the framework made of it."""
    declared: Declaration
    parameters: Parameters | None
    """What its query may hold; ``None``: anything."""

    @property
    def methods(self) -> set[str]:
        """All that it takes but HEAD."""
        return self.route.methods or set()


class RouteIndex(BaseRoute):
    """See the module. It stands before all other routes."""

    def __init__(self, indexed: Iterable[Indexed], check: Check) -> None:
        """``check`` raises where the caller of a request may not do what the route is for."""
        self.routes: Final = tuple(indexed)
        self._check = check
        self._whole: dict[str, list[Indexed]] = {}
        self._begun: dict[tuple[int, str], list[Indexed]] = {}
        for path in {one.route.path for one in self.routes if "{" not in one.route.path}:
            # Alone: a parameter of another route is never this very word, so `Allow` is of this path.
            self._whole[path] = [one for one in self.routes if one.route.path == path]
        for one in self.routes:
            if "{" in one.route.path:
                assert "{" not in _beginning(one.route.path), f"{one.route.path}: a parameter among the first words"
                assert ":path" not in one.route.path, f"{one.route.path}: a parameter of any length"
                self._begun.setdefault(_key(one.route.path), []).append(one)
        self.anybody: Final = self._paths(lambda declared: declared.access.who is Who.ANYBODY)
        self.optional: Final = self._paths(lambda declared: declared.access.who is Who.OPTIONAL)
        self.in_outage: Final = self._paths(lambda declared: declared.in_outage)
        self.uncounted: Final = frozenset(
            (method, path)
            for one in self.routes
            for path in (one.declared.uncounted_paths if one.declared.counted else {one.route.path})
            for method in one.methods
        )
        self._streams = [one for one in self.routes if one.declared.streams]

    def _paths(self, wanted: Callable[[Declaration], bool]) -> frozenset[str]:
        return frozenset(one.route.path for one in self.routes if wanted(one.declared))

    def stream(self, path: str) -> Declaration | None:
        """What the stream at ``path`` declares; ``None`` where there is none."""
        for one in self._streams:
            if one.route.path_regex.match(path):
                return one.declared
        return None

    def is_socket(self, path: str) -> bool:
        """Whether a WebSocket may be opened at ``path``."""
        declared = self.stream(path)
        return declared is not None and declared.kind is Kind.SOCKET

    @property
    def has_sockets(self) -> bool:
        """Whether there is any path to open a WebSocket at."""
        return any(one.declared.kind is Kind.SOCKET for one in self._streams)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The framework asks whether this is the route."""
        path = scope["path"]
        whole = self._whole.get(path)
        # All of them where none is found: what the framework would find must not be found past the check.
        for one in whole or self._begun.get(_key(path)) or self.routes:
            if one.included.matches(scope)[0] is Match.FULL:
                scope[_OWNER] = one
                return Match.FULL, {}
        scope[_OWNER] = None
        return (Match.FULL if whole else Match.NONE), {}

    def methods(self, path: str) -> set[str]:
        """All methods that ``path`` takes."""
        routes = self._whole.get(path) or [one for one in self.routes if one.route.path_regex.match(path)]
        found = {method for one in routes for method in one.methods}
        return found | ({"HEAD"} if "GET" in found else set())

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have it answered by the route that was found."""
        owner: Indexed | None = scope[_OWNER]
        if owner is None:
            raise MethodNotAllowedError(scope["method"], sorted(self.methods(scope["path"])))
        self._check(scope, owner.declared)
        if scope["query_string"] and owner.parameters is not None:
            owner.parameters.check(scope["query_string"])
        await owner.included.handle(scope, receive, send)


def include(app: FastAPI, routers: Iterable[APIRouter], check: Check) -> RouteIndex:
    """Give ``app`` the routes of ``routers``, each by itself, and the index before them, which is returned.

    Raises :class:`rppam.http.routes.UndeclaredRouteError`.
    """
    indexed = []
    for router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            declared = declaration_of(route.path, route.endpoint)
            alone = APIRouter()
            alone.routes.append(route)
            app.include_router(alone)
            indexed.append(Indexed(route, app.router.routes[-1], declared, parameters_of(route)))
    index = RouteIndex(indexed, check)
    app.router.routes.insert(0, index)
    return index


def _beginning(path: str) -> str:
    return "/".join(path.split("/", _WORDS + 1)[: _WORDS + 1])


def _key(path: str) -> tuple[int, str]:
    return path.count("/"), _beginning(path)
