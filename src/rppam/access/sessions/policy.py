"""The setting ``security/sessions``: how long somebody who signed in stays signed in.

Decides the limits alone. A change holds for sessions that begin afterwards; how it meets those that are open is the
affair of the check of sessions.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rppam.config.kinds import Whole
from rppam.http.errors import FieldFlaw
from rppam.settings.model import TOGETHER, setting

IDLE_MINUTES_MAX: Final = 24 * 60
ABSOLUTE_HOURS_MAX: Final = 7 * 24


class SessionPolicy(NamedTuple):
    """How long a session lasts. The defaults are those of NIST SP 800-63B, section 4.2.3 (AAL2)."""

    idle_minutes: int = 30
    """It ends after this time without use."""
    absolute_hours: int = 12
    """It ends this long after it began, however much it was used."""

    @property
    def idle_ms(self) -> int:
        return self.idle_minutes * 60_000

    @property
    def absolute_ms(self) -> int:
        return self.absolute_hours * 3_600_000


def _rule(policy: SessionPolicy) -> Sequence[FieldFlaw]:
    if policy.idle_ms <= policy.absolute_ms:
        return ()
    message = (
        f"expected at most the {policy.absolute_hours} h of absoluteHours, found {policy.idle_minutes} minutes. "
        "A session would end before it could be idle: lower idleMinutes or raise absoluteHours."
    )
    return [FieldFlaw("idleMinutes", message, TOGETHER)]


SESSIONS: Final = setting(
    "security/sessions",
    "How long a session lasts, unused and in all",
    SessionPolicy(),
    {
        "idleMinutes": Whole(f"whole minutes from 1 to {IDLE_MINUTES_MAX}", 1, IDLE_MINUTES_MAX),
        "absoluteHours": Whole(f"whole hours from 1 to {ABSOLUTE_HOURS_MAX}", 1, ABSOLUTE_HOURS_MAX),
    },
    _rule,
)
