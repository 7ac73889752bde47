"""How long a new password has to be (NIST SP 800-63B-4, section 3.1.1.2): its length counts, and that it is uncommon.

Fifteen characters where it is the only factor, eight where a second one is asked for; no rules of composition, and no
expiry. It decides about passwords that are set; those that were set before stay good.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from rppam.access.accounts.model import AccountRole
from rppam.access.mfa.model import MfaRequirement, is_required
from rppam.access.mfa.policy import MFA
from rppam.config.kinds import Whole
from rppam.settings.model import Setting, setting

CHARS_MIN: Final = 8
CHARS_MAX: Final = 64
"""No more can be asked for: a sentence of that length has to do."""


class PasswordPolicy(NamedTuple):
    min_chars: int = 15
    min_chars_with_second_factor: int = 8


_LENGTH: Final = Whole(f"a whole number from {CHARS_MIN} to {CHARS_MAX}", CHARS_MIN, CHARS_MAX)
PASSWORDS: Final = setting(
    "security/passwords",
    "How long a new password has to be, without and with a second factor",
    PasswordPolicy(),
    {"minChars": _LENGTH, "minCharsWithSecondFactor": _LENGTH},
)


class PasswordRule(NamedTuple):
    """What holds for one account's new password."""

    chars_min: int
    user: str
    has_second_factor: bool


class PasswordRules:
    """The rule for an account, by the settings of the cluster as they are now."""

    def __init__(self, value_of: Callable[[Setting[Any]], Awaitable[Any]]) -> None:
        """``value_of``: the value of a setting that is in force."""
        self._value_of = value_of

    async def for_account(self, name: str, roles: frozenset[AccountRole], *, has_mfa: bool) -> PasswordRule:
        """What a new password of this account must be."""
        requirement = MfaRequirement((await self._value_of(MFA)).mfa_requirement)
        second = requirement is not MfaRequirement.DISABLED and (has_mfa or is_required(requirement, roles))
        policy: PasswordPolicy = await self._value_of(PASSWORDS)
        least = policy.min_chars_with_second_factor if second else policy.min_chars
        return PasswordRule(least, name, second)
