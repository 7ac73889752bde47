"""The setting ``security/lockout``: how many wrong tries, and how long a lockout is."""

from collections.abc import Sequence
from typing import Final

from rppam.access.lockouts.model import LockoutPolicy
from rppam.config.kinds import Whole
from rppam.http.errors import FieldFlaw
from rppam.settings.model import TOGETHER, setting

FAILURES_MAX: Final = 10_000
MINUTES_MAX: Final = 24 * 60
_FAILURES: Final = Whole(f"a whole number from 1 to {FAILURES_MAX}", 1, FAILURES_MAX)
_MINUTES: Final = Whole(f"whole minutes from 1 to {MINUTES_MAX}", 1, MINUTES_MAX)


def _rule(policy: LockoutPolicy) -> Sequence[FieldFlaw]:
    if policy.lock_minutes <= policy.lock_minutes_max:
        return ()
    message = (
        f"expected at most the {policy.lock_minutes_max} minutes of lockMinutesMax, found {policy.lock_minutes}. "
        "Lower lockMinutes or raise lockMinutesMax."
    )
    return [FieldFlaw("lockMinutes", message, TOGETHER)]


LOCKOUT: Final = setting(
    "security/lockout",
    "How many wrong passwords or codes lock a user or an address, and for how long",
    LockoutPolicy(),
    {
        "userFailures": _FAILURES,
        "addressFailures": _FAILURES,
        "windowMinutes": _MINUTES,
        "lockMinutes": _MINUTES,
        "lockMinutesMax": _MINUTES,
    },
    _rule,
)
