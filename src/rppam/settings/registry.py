"""All settings of hot configuration, as the slices declare them: what is not declared does not exist.

A setting's name has two parts, ``area/name``. Those of the area ``security`` are in the hands of ``security_admin`` as
well as of ``pam_admin``; what others there may be are ``pam_admin``'s alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from rppam.config.wording import alike
from rppam.kernel.slice import load
from rppam.settings.errors import SettingUnknown

if TYPE_CHECKING:
    from rppam.settings.model import Setting

SECURITY: Final = "security/"


class Registry(Mapping[str, "Setting[Any]"]):
    """Settings by name. They are imported at the first look, so that a command that needs none loads none."""

    def __init__(self) -> None:
        self._places: list[str] = []
        self._known: dict[str, Setting[Any]] = {}

    def declare(self, places: Iterable[str]) -> None:
        """Add the settings at these places (``module:attribute``)."""
        self._places += places

    def _all(self) -> "dict[str, Setting[Any]]":
        if self._places:
            places, self._places = self._places, []
            found = [*self._known.values(), *map(load, places)]
            self._known = {one.name: one for one in sorted(found, key=lambda one: str(one.name))}
            if len(self._known) < len(found):
                raise ValueError(f"two settings of one name at {', '.join(places)}")
        if not self._known:
            raise LookupError("no settings are declared; import rppam.app.slices first")
        return self._known

    def __getitem__(self, name: str) -> "Setting[Any]":
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


SETTINGS: Final = Registry()


def find_setting(name: str) -> "Setting[Any]":
    """The setting called ``name``. Raises :class:`~rppam.settings.errors.SettingUnknown`."""
    found = SETTINGS.get(name)
    if found is None:
        near = " or ".join(alike(name, SETTINGS))
        raise SettingUnknown(
            f"there is no such setting; did you mean {near}?" if near else f"there are {', '.join(SETTINGS)}"
        )
    return found
