"""Hot configuration: a setting of the whole cluster that changes while it runs, and how it is declared.

A setting has a name that is also its path below ``/api/v1/settings/`` (``security/mfa``), a default that holds until
somebody sets another value, and the kind of each of its fields: those of the configuration file, so both places speak
alike. The reading is strict: a field that is unknown, of another type or out of range is an error, and all of them are
named at once, each with what was expected, what was found and the fix. A field that is left out has its default.

What it does not decide: where a setting is kept, who may set it. No setting holds a secret.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, TypeVar

from pydantic.alias_generators import to_snake

from rppam.config.kinds import Kind, WrongValueError
from rppam.config.wording import alike, shown
from rppam.http.errors import FieldFlaw
from rppam.kernel.instant import WallMs
from rppam.settings.errors import SettingInvalid

T = TypeVar("T")

FLAWS_MAX: Final = 20
"""More are not named: a request with so many has something else wrong."""
UNKNOWN, WRONG, TOGETHER = "unknown_field", "wrong_value", "wrong_together"
"""The stable words of flaws: no such field, a value that cannot be, two values that cannot be together."""


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    name: str
    title: str
    """What it is, in a few words, for people."""
    default: T
    read: Callable[[Mapping[str, object]], T]
    """From a JSON object with the product's camelCase names. Raises :class:`SettingInvalid` that names each flaw."""
    write: Callable[[T], dict[str, object]]
    """The whole object, each field named."""
    expected: Mapping[str, str] = field(default_factory=dict)
    """What each field may be, in words, for the reference."""
    trial: "Callable[[T], Awaitable[Sequence[str]]] | None" = None
    """What of a value cannot work on this host, each a sentence that names expected, found and fix; ``None``: a value
    that can be read works on every host."""


class InForce(NamedTuple, Generic[T]):
    """A value and its revision: 0 for the default that nobody has set."""

    value: T
    revision: int


class StoredSetting(NamedTuple):
    """One revision of a setting, as it is kept."""

    name: str
    revision: int
    """At least 1."""
    value: str
    """JSON. As it was when it was written: another release may no longer take it."""
    author: str
    epoch: int
    """The leadership under which it was written."""
    node: str
    changed_at: WallMs
    """By the database's clock."""


def _no_rule(_value: object) -> Sequence[FieldFlaw]:
    return ()


def setting(
    name: str,
    title: str,
    default: T,
    fields: Mapping[str, Kind],
    rule: Callable[[T], Sequence[FieldFlaw]] = _no_rule,
    trial: Callable[[T], Awaitable[Sequence[str]]] | None = None,
) -> Setting[T]:
    """A setting whose JSON has these ``fields``; ``default`` is a named tuple with the same names in snake_case.

    ``rule`` finds what is wrong between fields that are each in order; ``trial``: see :class:`Setting`.
    """
    names = {field: to_snake(field) for field in fields}
    make: Callable[..., T] = type(default)

    def read(found: Mapping[str, object]) -> T:
        known = {names[field]: value for field, value in _read(found, fields).items()}
        value = make(**{python: known.get(python, getattr(default, python)) for python in names.values()})
        if wrong := rule(value):
            raise SettingInvalid(wrong)
        return value

    def write(value: T) -> dict[str, object]:
        return {field: getattr(value, python) for field, python in names.items()}

    return Setting(name, title, default, read, write, {field: kind.expected for field, kind in fields.items()}, trial)


def _read(found: Mapping[str, object], fields: Mapping[str, Kind]) -> dict[str, Any]:
    """The values of the fields that are there. Raises :class:`SettingInvalid` with everything that is wrong."""
    values: dict[str, Any] = {}
    flaws: list[FieldFlaw] = []
    for name, value in found.items():
        if len(flaws) == FLAWS_MAX:
            break
        kind = fields.get(name)
        if kind is None:
            flaws.append(_unknown(name, fields))
            continue
        try:
            values[name] = kind.read(value)
        except WrongValueError as error:
            flaws.append(FieldFlaw(name, f"expected {kind.expected}, found {error.found}. {error.fix}", WRONG))
    if flaws:
        raise SettingInvalid(flaws)
    return values


def _unknown(name: str, fields: Mapping[str, Kind]) -> FieldFlaw:
    near = alike(name, fields)
    fix = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"The fields are {', '.join(fields)}."
    return FieldFlaw(shown(name)[1:-1], f"there is no such field. {fix}", UNKNOWN)
