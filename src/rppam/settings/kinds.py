"""How a setting of hot configuration is declared: a value with defaults, and the kind of each of its fields.

The reading is strict: a field that is unknown, of another type or out of range is an error, and all of them are named
at once, each with what was expected, what was found and the fix. A field that is left out has its default. The kinds
are those of the configuration file, so both places speak alike. What it does not read: secrets, which no setting holds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic.alias_generators import to_snake

from rppam.config.kinds import Kind, WrongValueError
from rppam.config.wording import nearest, shown, type_of
from rppam.http.errors import FieldFlaw
from rppam.settings.errors import SettingInvalid
from rppam.settings.model import Setting

T = TypeVar("T")

FLAWS_MAX: Final = 20
"""More are not named: who sends so many has sent something else."""
UNKNOWN, WRONG, TOGETHER = "unknown_field", "wrong_value", "wrong_together"
"""The stable words of flaws: no such field, a value that cannot be, two values that cannot be together."""


def _no_rule(_value: object) -> Sequence[FieldFlaw]:
    return ()


def setting(
    name: str,
    title: str,
    default: T,
    fields: Mapping[str, Kind],
    rule: Callable[[T], Sequence[FieldFlaw]] = _no_rule,
) -> Setting[T]:
    """A setting whose JSON has these ``fields``; ``default`` is a named tuple with the same names in snake_case.

    ``rule`` finds what is wrong between fields that are each in order.
    """
    names = {field: to_snake(field) for field in fields}
    make: Callable[..., T] = type(default)

    def read(found: Mapping[str, object]) -> T:
        values, flaws = read_fields(found, fields)
        if flaws:
            raise SettingInvalid(flaws)
        known = {names[field]: value for field, value in values.items()}
        value = make(**{python: known.get(python, getattr(default, python)) for python in names.values()})
        if wrong := rule(value):
            raise SettingInvalid(wrong)
        return value

    def write(value: T) -> dict[str, object]:
        return {field: getattr(value, python) for field, python in names.items()}

    return Setting(name, title, default, read, write, {field: kind.expected for field, kind in fields.items()})


def read_fields(
    found: Mapping[str, object], fields: Mapping[str, Kind], place: str = ""
) -> tuple[dict[str, Any], list[FieldFlaw]]:
    """The values of those fields that are there and right, and everything that is wrong.

    ``place`` stands before each name in a flaw: ``perUser.`` for the object in the field ``perUser``.
    """
    values: dict[str, Any] = {}
    flaws: list[FieldFlaw] = []
    for name, value in found.items():
        if len(flaws) == FLAWS_MAX:
            break
        kind = fields.get(name)
        if kind is None:
            flaws.append(_unknown(name, fields, place))
            continue
        try:
            values[name] = kind.read(value)
        except WrongValueError as error:
            flaws.append(FieldFlaw(place + name, f"expected {kind.expected}, found {error.found}. {error.fix}", WRONG))
    return values, flaws


def read_object(found: object, place: str) -> Mapping[str, object]:
    """The object in the field ``place``. Raises :class:`SettingInvalid`."""
    if isinstance(found, dict):
        return found
    message = f"expected an object, found {type_of(found)}. Write it in braces."
    raise SettingInvalid([FieldFlaw(place, message, WRONG)])


def _unknown(name: str, fields: Mapping[str, Kind], place: str) -> FieldFlaw:
    near = nearest(name, fields)
    fix = f"Did you mean {near!r}?" if near else f"The fields are {', '.join(fields)}."
    printable = shown(name)[1:-1]
    return FieldFlaw(place + printable, f"there is no such field. {fix}", UNKNOWN)
