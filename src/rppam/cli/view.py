"""What one node says of the cluster, as commands and screens read it: the body of ``GET /system/health/cluster``.

Tolerant on purpose: a field that is missing or of another type reads as "not known", and a word that only another
release knows stays as it is, because a screen that dies on an unexpected answer is no help in an outage. And careful:
texts end up on a terminal, so they are cut to a sensible length, and characters that would steer it are escaped.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from types import NoneType
from typing import Any, Final, NamedTuple, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, UNSET, Struct, UnsetType
from msgspec.structs import fields, replace

from rppam.cluster.consensus.heartbeat import MemberStatus
from rppam.cluster.health.model import ClusterHealth
from rppam.kernel.finding import Acknowledgement, Finding
from rppam.kernel.logging import one_line

TEXT_CHARS_MAX: Final = 1_000
NUMBER_MAX: Final = 2**53


def parse_view(body: object, node: str = "") -> ClusterHealth | None:
    """The health in a JSON body; ``node`` names who answered where the body does not. ``None`` when it is not one."""
    if not isinstance(body, Mapping) or not isinstance(body.get("clusterHealthy"), bool):
        return None
    view: ClusterHealth = _struct(ClusterHealth, body)
    return replace(view, node=node) if node else view


class _Field(NamedTuple):
    name: str
    key: str
    kind: Any
    is_required: bool


@cache
def _fields(kind: type) -> tuple[_Field, ...]:
    hints = get_type_hints(kind)
    if issubclass(kind, Struct):
        needed = {one.name for one in fields(kind) if one.default is one.default_factory is NODEFAULT}
        return tuple(_Field(one.name, one.encode_name, hints[one.name], one.name in needed) for one in fields(kind))
    return tuple(_Field(name, name, hints[name], True) for name in kind.__annotations__ if name != "schema_name")


def _struct(kind: type, found: object) -> Any:
    """Raises ValueError for what is no object."""
    if not isinstance(found, Mapping):
        raise ValueError("no object")  # noqa: TRY004 - as for any other value that does not fit
    if kind is Finding and isinstance(fix := found.get("fix"), str):
        found = {**found, "fix": fix.split("\n", 1)[0]}  # the rest is for the doctor
    values = {}
    for one in _fields(kind):
        try:
            values[one.name] = _read(one.kind, found.get(one.key))
        except ValueError:
            if one.is_required:
                values[one.name] = _unknown(one.kind)
    return kind(**values)


def _read(kind: Any, found: object) -> Any:
    """ValueError where ``found`` is no such value; a number below 0 is none that a screen shows."""
    options = [one for one in get_args(kind) if one not in {NoneType, UnsetType}]
    if get_origin(kind) is tuple:
        return tuple(_all(options[0], found if isinstance(found, list) else []))
    if get_origin(kind) is dict:
        entries = found if isinstance(found, Mapping) else {}
        return {_text(str(name)): value for name, value in entries.items() if _is_number(value)}
    if options:
        return None if found is None and NoneType in get_args(kind) else _read(options[0], found)
    if issubclass(kind, Struct) or kind in (Finding, Acknowledgement):
        return _struct(kind, found)
    if isinstance(found, str) and issubclass(kind, str):
        return kind(found) if kind is not str and found in list(kind) else _text(found)
    if isinstance(found, kind) and (kind is bool or _is_number(found)):
        return found
    raise ValueError(f"no {kind.__name__}")


def _all(kind: Any, found: list[object]) -> Iterator[Any]:
    for one in found:
        with suppress(ValueError):
            yield _read(kind, one)


def _unknown(kind: Any) -> Any:
    """What stands for "not known" in a field that every answer of ours holds."""
    options = get_args(kind)
    if options:
        return UNSET if UnsetType in options else None
    return MemberStatus.UNKNOWN if kind is MemberStatus else "" if issubclass(kind, str) else kind()


def _is_number(found: object) -> bool:
    return isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= NUMBER_MAX


def _text(found: str) -> str:
    return one_line(found[:TEXT_CHARS_MAX])
