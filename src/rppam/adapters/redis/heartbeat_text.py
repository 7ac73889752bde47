"""Heartbeats as text in the store: one JSON object, so that an administrator can read it with GET.

Reading is suspicious: whatever is not exactly a heartbeat of the node under whose name it stands is ``None``, never an
exception and never half a value. Its texts end up in answers, logs and on screens, so they must be printable.
"""

import json
import re
from typing import Any, Final

from rppam.config.settings import NAME_FORM
from rppam.domain.member import Heartbeat, Role
from rppam.domain.orders import person

LONGEST: Final = 4_096
"""Bytes; a longer text is not looked at."""

_TEXTS: Final = ("node", "version", "hostname", "api_url", "member_address", "paused_by", "password_mark")
_NAME: Final = re.compile(NAME_FORM)
_BOOT_ID: Final = re.compile(r"[0-9a-f]{16}")
_NUMBERS: Final = ("beat", "epoch", "wall_ms", "loop_lag_ms", "renewed_ms_ago", "seats", "priority", "pause_stamp")
_MARK: Final = "password_mark"
_LATER: Final = frozenset({"settings_revision", _MARK})
"""Not told by every release: missing is ``None``, or an empty text."""
_FLAGS: Final = ("admitted", "leaving", "joins", "maintenance", "paused")
_FIELDS: Final = frozenset(Heartbeat._fields)
_ROLES: Final = {role.value: role for role in Role}


def heartbeat_to_text(heartbeat: Heartbeat) -> str:
    """The text of a heartbeat."""
    fields = heartbeat._asdict()
    if not heartbeat.password_mark:
        del fields[_MARK]  # a release that does not know it reads no heartbeat that has it
    return json.dumps(fields, separators=(",", ":"))


def is_name(text: str) -> bool:
    """Whether a node can have this name."""
    return _NAME.fullmatch(text) is not None


def heartbeat_from_text(text: bytes, node: str) -> Heartbeat | None:
    """The heartbeat in ``text``, or ``None`` when it is none of ``node``'s."""
    if not text or len(text) > LONGEST:
        return None
    try:
        fields: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not _FIELDS - _LATER <= fields.keys() <= _FIELDS:
        return None
    # Loops, no generators: with many members this is what a member does most often.
    fields.setdefault(_MARK, "")
    for name in _TEXTS:
        if not isinstance(fields[name], str) or not fields[name].isprintable():
            return None
    for name in _NUMBERS:
        if not _is_number(fields[name]):
            return None
    for name in _FLAGS:
        if not isinstance(fields[name], bool):
            return None
    if fields.get("settings_revision") is not None and not _is_number(fields["settings_revision"]):
        return None
    role, boot_id = fields["role"], fields["boot_id"]
    if not isinstance(role, str) or not isinstance(boot_id, str):
        return None
    if fields["paused_by"] != person(fields["paused_by"]):
        return None
    if fields["node"] != node or role not in _ROLES or _BOOT_ID.fullmatch(boot_id) is None:
        return None
    fields["role"] = _ROLES[role]
    return Heartbeat(**fields)


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**53
