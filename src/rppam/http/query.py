"""Which query parameters a route of the API takes; any other one is refused, and so is one that comes twice where it
has one value.

A misspelt filter that is passed over makes a list that shows too much, and a DELETE that ends too much. The names are
those of the handler and of all that it depends on, as the OpenAPI document has them. Whether a value is valid is
decided by the framework afterwards. Outside of :data:`STRICT_PREFIX` nothing is refused: pages and files of the
console, the public keys, health and metrics are asked by browsers, caches and monitoring systems that add parameters
of their own.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from types import UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin

from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams

from rppam.config.wording import nearest
from rppam.http.errors import FieldFlaw, InvalidRequestError

STRICT_PREFIX: Final = "/api/"
_FLAWS_MAX: Final = 20
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\[\]-]{0,39}")
"""What is told back as it came. Anything else may be a value whose name was left out, and that a secret."""
_LISTS: Final = frozenset({list, tuple, set, frozenset})


class Parameters(NamedTuple):
    """What the query of a route may hold."""

    names: tuple[str, ...]
    """In the order of the handler."""
    lists: frozenset[str]
    """Those that may come more than once."""

    def check(self, query: bytes) -> None:
        """Raise :class:`InvalidRequestError` for parameters of other names, and for one value that comes twice."""
        counts = Counter(name for name, _ in QueryParams(query).multi_items())
        if any(name not in self.names or (count > 1 and name not in self.lists) for name, count in counts.items()):
            raise InvalidRequestError(list(islice(self._flaws(counts), _FLAWS_MAX)))

    def _flaws(self, counts: Counter[str]) -> Iterator[FieldFlaw]:
        for name, count in counts.items():
            if name not in self.names:
                yield FieldFlaw(_place(name), self._expected(name), "extra_forbidden")
            elif count > 1 and name not in self.lists:
                yield FieldFlaw(_place(name), f"expected once, found {count} times", "repeated")

    def _expected(self, name: str) -> str:
        if not self.names:
            return "no such parameter: nothing is asked here by a query"
        near = nearest(name, self.names)
        meant = f"; did you mean {near}?" if near else ""
        return f"no such parameter: expected {', '.join(self.names)}{meant}"


def parameters_of(route: APIRoute) -> Parameters | None:
    """What the query of ``route`` may hold; ``None``: anything."""
    if not route.path.startswith(STRICT_PREFIX):
        return None
    fields = [
        (field.validation_alias or field.alias, field.field_info.annotation)
        for field in get_flat_params(route.dependant)
        if isinstance(field.field_info, Query)
    ]
    names = tuple(dict.fromkeys(name for name, _ in fields))
    return Parameters(names, frozenset(name for name, annotation in fields if _is_list(annotation)))


def _is_list(annotation: Any) -> bool:
    origin = get_origin(annotation) or annotation
    if origin in {Union, UnionType}:
        return any(_is_list(one) for one in get_args(annotation))
    return origin in _LISTS


def _place(name: str) -> str:
    """The field of a flaw."""
    return f"query.{name}" if _NAME.fullmatch(name) else f"query.(a name of {len(name)} characters)"
