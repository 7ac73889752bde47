"""Heartbeats as text in the store: one JSON object, so that an administrator can read it with GET.

Reading is suspicious: whatever is not exactly a heartbeat is ``None``, never an exception and never half a value.
"""

import json
from typing import Any, Final

from rppam.domain.member import Heartbeat, Role

LONGEST: Final = 4_096
"""Bytes; a longer text is not looked at."""

_TEXTS: Final = ("node", "boot_id", "version", "hostname", "api_url")
_NUMBERS: Final = ("beat", "epoch", "wall_ms", "loop_lag_ms", "renewed_ms_ago", "seats")
_FLAGS: Final = ("admitted", "leaving")


def heartbeat_to_text(heartbeat: Heartbeat) -> str:
    """The text of a heartbeat."""
    return json.dumps(heartbeat._asdict(), separators=(",", ":"))


def heartbeat_from_text(text: bytes) -> Heartbeat | None:
    """The heartbeat in ``text``, or ``None`` when it is not one."""
    if not text or len(text) > LONGEST:
        return None
    try:
        fields: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or set(fields) != set(Heartbeat._fields):
        return None
    fine = (
        all(isinstance(fields[name], str) for name in _TEXTS)
        and all(type(fields[name]) is int and 0 <= fields[name] < 2**53 for name in _NUMBERS)
        and all(isinstance(fields[name], bool) for name in _FLAGS)
        and fields["role"] in set(Role)
    )
    return Heartbeat(**{**fields, "role": Role(fields["role"])}) if fine else None
