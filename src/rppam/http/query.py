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
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

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
        # As the framework reads it.
        found = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
        if flaws := list(islice(self._flaws(Counter(found)), _FLAWS_MAX)):
            raise InvalidRequestError(flaws)

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
    fields = list(_fields(route.dependant))
    names = tuple(dict.fromkeys(name for name, _ in fields))
    return Parameters(names, frozenset(name for name, annotation in fields if _is_list(annotation)))


def _fields(dependant: Dependant) -> Iterator[tuple[str, Any]]:
    """Names and types of a function's parameters, then of those that it depends on."""
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            for name, info in annotation.model_fields.items():
                yield str(info.validation_alias or info.alias or name), info.annotation
        else:
            yield str(field.validation_alias or field.alias), annotation
    for deeper in dependant.dependencies:
        yield from _fields(deeper)


def _is_list(annotation: Any) -> bool:
    origin = get_origin(annotation) or annotation
    if origin in {Union, UnionType}:
        return any(_is_list(one) for one in get_args(annotation))
    return origin in _LISTS


def _place(name: str) -> str:
    """The field of a flaw."""
    return f"query.{name}" if _NAME.fullmatch(name) else f"query.(a name of {len(name)} characters)"
