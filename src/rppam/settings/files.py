"""The section ``settings`` of a config file: what the cluster's hot configuration shall be.

It is read as strictly as the API reads it, and compared field by field with what the cluster has. Settings that the
file does not name are nobody's business here.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rppam.config.errors import ConfigValueError, Problem
from rppam.http.errors import FieldFlaw
from rppam.settings.errors import SettingInvalid, SettingUnknown
from rppam.settings.model import Setting
from rppam.settings.registry import SETTINGS, find_setting

SECTION: Final = "settings"


class Wish(NamedTuple):
    setting: Setting[Any]
    value: dict[str, object]
    """Whole, as it is sent."""


class Difference(NamedTuple):
    """One field in which cluster and file differ."""

    field: str
    found: object
    """In the cluster."""
    wanted: object
    """In the file, or the default where it leaves the field out."""


def wishes(section: Mapping[str, Mapping[str, object]]) -> list[Wish]:
    """What the section says. Raises :class:`ConfigValueError` with everything that is wrong."""
    found: list[Wish] = []
    problems: list[Problem] = []
    for name, fields in section.items():
        try:
            setting = find_setting(name)
            found.append(Wish(setting, setting.write(setting.read(fields))))
        except SettingUnknown as error:
            fix = f"{str(error)[:1].upper()}{str(error)[1:]}."
            problems.append(Problem(f"{SECTION}.{_plain(name)}", f"one of {', '.join(SETTINGS)}", "another name", fix))
        except SettingInvalid as error:
            problems += [_problem(name, flaw) for flaw in error.flaws]
    if problems:
        raise ConfigValueError(problems)
    return found


def problems_of(section: Mapping[str, Mapping[str, object]]) -> tuple[Problem, ...]:
    """Everything that is wrong with what the section says."""
    try:
        wishes(section)
    except ConfigValueError as error:
        return tuple(error.problems)
    return ()


def differences(wish: Wish, found: Mapping[str, object]) -> list[Difference]:
    """Each field of ``wish`` that is another in the cluster, which has ``found``."""
    return [
        Difference(field, found.get(field), wanted)
        for field, wanted in wish.value.items()
        if field not in found or found[field] != wanted
    ]


def _problem(name: str, flaw: FieldFlaw) -> Problem:
    """``flaw`` in the four parts that problems of a file have."""
    path = f"{SECTION}.{name}.{flaw.field}"
    expected, parted, rest = flaw.message.removeprefix("expected ").partition(", found ")
    if not parted:
        return Problem(path, f"a field of {name}", "an unknown field", flaw.message.partition(". ")[2])
    found, _, fix = rest.partition(". ")
    return Problem(path, expected, found, fix)


def _plain(name: str) -> str:
    return name if name.isascii() and name.isprintable() and 0 < len(name) <= 60 else "?"
