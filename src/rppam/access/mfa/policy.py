"""The setting ``security/mfa``: who has to give a second factor, and what an authenticator is given.

By default only accounts that have enrolled one are asked, and none has to enrol; ``disabled`` asks nobody.
Issuer, digits and period hold for enrolments that begin afterwards.
"""

from typing import Final, NamedTuple

from rppam.access.mfa.model import MfaRequirement
from rppam.config.kinds import Choice, Text, Whole
from rppam.settings.model import setting

BACKUP_CODES_MAX: Final = 50


class MfaPolicy(NamedTuple):
    """The second factor in this cluster. Digits and period are those that every authenticator knows."""

    mfa_requirement: str = MfaRequirement.OPTIONAL
    totp_issuer: str = "RP-PAM"
    """Shown by the authenticator beside the user name."""
    totp_digits: int = 6
    totp_period_seconds: int = 30
    backup_code_count: int = 10
    """How many are made at once; 0: none."""

    @property
    def requirement(self) -> MfaRequirement:
        return MfaRequirement(self.mfa_requirement)


_WORDS: Final = tuple(one.value for one in MfaRequirement)

MFA: Final = setting(
    "security/mfa",
    "Who has to give a second factor, and its form",
    MfaPolicy(),
    {
        "mfaRequirement": Choice(f"one of {', '.join(_WORDS)}", _WORDS),
        # A colon would end the issuer in the label of an otpauth URI.
        "totpIssuer": Text("1 to 64 characters without a colon", r"[^:]{1,64}", "Write a text without a colon."),
        "totpDigits": Whole("whole digits from 6 to 8", 6, 8),
        "totpPeriodSeconds": Whole("whole seconds from 15 to 120", 15, 120),
        "backupCodeCount": Whole(f"a whole number from 0 to {BACKUP_CODES_MAX}", 0, BACKUP_CODES_MAX),
    },
)
