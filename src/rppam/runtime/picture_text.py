"""A snapshot as text and back, for the processes of one node: the same release on both sides.

Driven by the fields of :class:`~rppam.domain.health.ClusterSnapshot`, so a field that is added travels along. It is no
format for other hosts or other releases.
"""

import json
from collections.abc import Callable
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

from rppam.domain.health import ClusterSnapshot


def to_text(snapshot: ClusterSnapshot) -> bytes:
    """One line of JSON: each value as the list of its fields, in order."""
    return json.dumps(snapshot, separators=(",", ":")).encode()


def from_text(text: bytes) -> ClusterSnapshot:
    """The snapshot in ``text``. ValueError or TypeError when it is none."""
    snapshot = _reader(ClusterSnapshot)(json.loads(text))
    assert isinstance(snapshot, ClusterSnapshot)
    return snapshot


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """What makes a value of this type from its JSON."""
    if isinstance(kind, NewType):
        return _reader(kind.__supertype__)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        (some,) = (_reader(option) for option in inner if option is not NoneType)
        return lambda value: None if value is None else some(value)
    if origin is tuple and inner[-1:] == (Ellipsis,):
        each = _reader(inner[0])
        return lambda value: tuple(each(part) for part in value)
    if origin is tuple:
        readers = [_reader(option) for option in inner]
        return lambda value: tuple(read(part) for read, part in zip(readers, value, strict=True))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if isinstance(kind, type) and hasattr(kind, "_fields"):
        fields = [_reader(field) for field in get_type_hints(kind).values()]
        return lambda value: kind(*(read(part) for read, part in zip(fields, value, strict=True)))
    return _same


def _same(value: Any) -> Any:
    return value
