"""All settings of hot configuration, one line each: what is not listed here does not exist.

A setting's name has two parts, ``area/name``. Those of the area ``security`` are in the hands of ``security_admin`` as
well as of ``pam_admin``; what others there may be are ``pam_admin``'s alone.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from rppam.config.wording import nearest
from rppam.domain.errors.setting import SettingUnknown
from rppam.domain.setting import Setting
from rppam.services.lockout_policy import LOCKOUT
from rppam.services.mfa_policy import MFA
from rppam.services.session_policy import SESSIONS

SECURITY: Final = "security/"

SETTINGS: Final[Mapping[str, Setting[Any]]] = MappingProxyType(
    {
        one.name: one
        for one in (
            MFA,
            LOCKOUT,
            SESSIONS,
        )
    }
)  # fmt: skip


def find_setting(name: str) -> Setting[Any]:
    """The setting called ``name``. Raises :class:`~rppam.domain.errors.setting.SettingUnknown`."""
    found = SETTINGS.get(name)
    if found is None:
        near = nearest(name[:100], SETTINGS)
        raise SettingUnknown(
            f"there is no such setting; did you mean {near}?" if near else f"there are {', '.join(SETTINGS)}"
        )
    return found
