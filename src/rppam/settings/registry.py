"""All settings of hot configuration, one line each: what is not listed here does not exist.

A setting's name has two parts, ``area/name``. Those of the area ``security`` are in the hands of ``security_admin`` as
well as of ``pam_admin``; what others there may be are ``pam_admin``'s alone.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from rppam.access.lockouts.policy import LOCKOUT
from rppam.access.mfa.policy import MFA
from rppam.access.sessions.policy import SESSIONS
from rppam.config.wording import nearest
from rppam.limits.policy import LIMITS
from rppam.settings.errors import SettingUnknown
from rppam.settings.model import Setting

SECURITY: Final = "security/"

SETTINGS: Final[Mapping[str, Setting[Any]]] = MappingProxyType(
    {
        one.name: one
        for one in (
            MFA,
            LIMITS,
            LOCKOUT,
            SESSIONS,
        )
    }
)  # fmt: skip


def settings_page(generated: str) -> str:
    """The reference page of all settings; ``generated`` says that it is."""
    lines = ["# Settings", "", generated, ""]
    lines += [
        "Hot configuration: one value for the whole cluster, changed while it runs (docs/operations/settings.md).",
        "A field that is left out has its default.",
    ]
    for one in SETTINGS.values():
        lines += ["", f"## {one.name}", "", f"{one.title}.", "", "| field | value | default |", "|---|---|---|"]
        for name, default in one.write(one.default).items():
            expected = one.expected.get(name, "an object").replace("|", "\\|")
            lines.append(f"| `{name}` | {expected} | `{json.dumps(default)}` |")
    return "\n".join(lines) + "\n"


def find_setting(name: str) -> Setting[Any]:
    """The setting called ``name``. Raises :class:`~rppam.settings.errors.SettingUnknown`."""
    found = SETTINGS.get(name)
    if found is None:
        near = nearest(name, SETTINGS)
        raise SettingUnknown(
            f"there is no such setting; did you mean {near}?" if near else f"there are {', '.join(SETTINGS)}"
        )
    return found
