"""Sessions end with what lets their users be there, and the users are warned: :data:`WARN_S` before a grant ends.

Who gets a longer grant meanwhile is warned anew, before that one ends. What it does not promise: a warning of what
nobody could foresee, such as a right that is taken away.
"""

from math import inf
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from rppam.gateway.ssh.live import LiveAccess

WARN_S: Final = (300.0, 60.0)
_told: Final["WeakKeyDictionary[LiveAccess, float]"] = WeakKeyDictionary()
"""The last warning that the user of a session has had."""


def warn(access: "LiveAccess", left_s: float | None) -> None:
    """Hear how long the user of a session may still be there; ``None``: nothing ends it by itself."""
    if left_s is None or left_s > max(WARN_S):
        _told.pop(access, None)
        return
    due = min(one for one in WARN_S if left_s <= one)
    if due >= _told.get(access, inf):
        return
    _told[access] = due
    for front in access.fronts:
        front.say(f"this session ends in {_in_words(left_s)}, with the grant that lets you be here")


def _in_words(left_s: float) -> str:
    minutes = round(left_s / 60)
    return f"{minutes} min" if left_s > 50 and minutes else f"{left_s:.0f} s"
