"""All settings of hot configuration, as the slices declare them: what is not declared does not exist.

A setting's name has two parts, ``area/name``. Those of the area ``security`` are in the hands of ``security_admin`` as
well as of ``pam_admin``; what others there may be are ``pam_admin``'s alone.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from rppam.config.wording import alike
from rppam.kernel.slice import Declared
from rppam.settings.errors import SettingUnknown

if TYPE_CHECKING:
    from rppam.settings.model import Setting

SECURITY: Final = "security/"


class Registry(Declared["Setting[Any]"]):
    """Settings in the order of their names. A command that needs none loads none."""

    def _parts(self, found: "Setting[Any]") -> "Iterable[Setting[Any]]":
        return (found,)

    def _all(self) -> "dict[str, Setting[Any]]":
        found = super()._all()
        if not found:
            raise LookupError("no settings are declared; import rppam.app.slices first")
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._all()))


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
