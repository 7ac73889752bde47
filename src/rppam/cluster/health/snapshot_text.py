"""A snapshot as text and back, for the processes of one node: the same release on both sides.

Driven by the fields of ``ClusterSnapshot``, so a field that is added travels along. It is no
format for other hosts or other releases.
"""

import json
from collections.abc import Callable
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, NewType, Union, get_args, get_origin, get_type_hints

from rppam.cluster.health.model import FINE, ClusterSnapshot

OTHERS_MAX: Final = 100
"""So many nodes are shown beside those that vote, where not all can be."""


def to_text(snapshot: ClusterSnapshot) -> bytes:
    """One line of JSON: each value as the list of its fields, in order."""
    return json.dumps(snapshot, separators=(",", ":")).encode()


def text_within(snapshot: ClusterSnapshot, bytes_max: int) -> bytes:
    """As :func:`to_text`; where that is too long, of fewer members, with a warning that says so.

    This node, the leader and who votes go first, then who is not well, so that health does not look better than it is.
    Longer than ``bytes_max`` only where no list of members would fit.
    """
    text = to_text(snapshot)
    if len(text) <= bytes_max:
        return text
    known = {snapshot.node, snapshot.leader, *(line.voter for line in snapshot.votes)}
    ranked = sorted(snapshot.members, key=lambda one: (one.node not in known, one.status in FINE, one.node))
    count = min(len(ranked), sum(one.node in known for one in ranked) + OTHERS_MAX)
    while len(text) > bytes_max and count:
        shown = tuple(sorted(ranked[:count], key=lambda one: one.node))
        told = (
            f"{len(ranked)} nodes are seen, more than can be shown, so {count} are listed. Where some are none of your "
            "nodes, look who writes under this cluster's keys in Redis"
        )
        text = to_text(snapshot._replace(members=shown, warnings=(*snapshot.warnings, told)))
        count //= 2
    return text


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
