"""Whether values of settings would work on this host, before any node goes by them.

Some values name what a host has, or has not: a folder, say. Each node tries them for itself; this decides only what is
tried, and within which time. A value is read first, as it would be when it is set. What it does not promise: that the
host stays as it is; what goes away later is that setting's own affair.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from rppam.settings.errors import SettingInvalid, SettingUnknown
from rppam.settings.registry import SETTINGS, find_setting

WITHIN_S: Final = 3.0
"""For all of them: the node that asked waits little longer."""


def to_try(values: Mapping[str, object]) -> dict[str, object]:
    """Those of ``values``, by the names of their settings, that may work on one host and not on another."""
    return {name: value for name, value in values.items() if name in SETTINGS and SETTINGS[name].trial is not None}


async def why_unfit(values: Mapping[str, object]) -> str:
    """What of ``values``, by the names of their settings, cannot work on this host; empty where all can."""
    found: list[str] = []
    name = ""
    try:
        async with asyncio.timeout(WITHIN_S):
            for name, value in values.items():
                found += await _flaws(name, value)
    except TimeoutError:
        found.append(f"{name}: this host had not tried it within {WITHIN_S:g} s. See what it waits for")
    return "; ".join(found)


async def _flaws(name: str, value: object) -> list[str]:
    try:
        setting = find_setting(name)
        read = setting.read(value if isinstance(value, Mapping) else {})
    except (SettingUnknown, SettingInvalid) as error:
        return [f"{name}: {error}"]
    return [] if setting.trial is None else [f"{name}: {one}" for one in await setting.trial(read)]
