"""Heartbeats as text in the store: one JSON object, so that an administrator can read it with GET.

Reading is suspicious: whatever is not exactly a heartbeat of the node under whose name it stands is ``None``, never an
exception and never half a value. Its texts end up in answers, logs and on screens, so they must be printable.
"""

import json
import re
from typing import Any, Final

from rppam.config.settings import NAME_FORM
from rppam.domain.member import Heartbeat, Role

LONGEST: Final = 4_096
"""Bytes; a longer text is not looked at."""

_TEXTS: Final = ("node", "version", "hostname", "api_url", "member_address", "paused_by")
_NAME: Final = re.compile(NAME_FORM)
_BOOT_ID: Final = re.compile(r"[0-9a-f]{16}")
_NUMBERS: Final = ("beat", "epoch", "wall_ms", "loop_lag_ms", "renewed_ms_ago", "seats", "priority", "pause_stamp")
_LATER: Final = frozenset({"settings_revision"})
"""Not told by every release: missing is ``None``."""
_FLAGS: Final = ("admitted", "leaving", "joins", "maintenance", "paused")


def heartbeat_to_text(heartbeat: Heartbeat) -> str:
    """The text of a heartbeat."""
    return json.dumps(heartbeat._asdict(), separators=(",", ":"))


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
    if not isinstance(fields, dict) or set(fields) | _LATER != set(Heartbeat._fields):
        return None
    fine = (
        all(isinstance(fields[name], str) and fields[name].isprintable() for name in _TEXTS)
        and fields["node"] == node
        and isinstance(fields["boot_id"], str)
        and _BOOT_ID.fullmatch(fields["boot_id"]) is not None
        and all(_is_number(fields[name]) for name in _NUMBERS)
        and all(isinstance(fields[name], bool) for name in _FLAGS)
        and all(_is_number(fields.get(name, 0)) or fields[name] is None for name in _LATER)
        and fields["role"] in set(Role)
    )
    return Heartbeat(**{**fields, "role": Role(fields["role"])}) if fine else None


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**53
