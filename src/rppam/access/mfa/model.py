"""The second factor: what is asked of whom, and what stands for one code.

A code is worth something once in the whole cluster. For the authenticator (TOTP, RFC 6238) that is held by the last
**time step** that was used, which only grows; for a backup code by its own row.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from rppam.access.accounts.model import Account, AccountRole
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret

ATTEMPTS_MAX: Final = 5
"""Wrong codes for one password that was right; then the password is asked for again."""
PENDING_MS: Final = 5 * 60_000
"""The code has to come within this time after the password."""


class MfaRequirement(StrEnum):
    DISABLED = "disabled"
    """Nobody, not even an account that has one; none can be enrolled."""
    OPTIONAL = "optional"
    """Accounts that have enrolled one."""
    ADMINS = "required_for_admins"
    """As optional, and everybody with one of :data:`ADMIN_ROLES`."""
    ALL = "required_for_all"
    """Everybody."""


ADMIN_ROLES: Final = frozenset({AccountRole.ADMIN, AccountRole.APPROVER, AccountRole.SECURITY_ADMIN})


def is_required(requirement: MfaRequirement, roles: frozenset[AccountRole]) -> bool:
    return requirement is MfaRequirement.ALL or (
        requirement is MfaRequirement.ADMINS and not roles.isdisjoint(ADMIN_ROLES)
    )


class Enrolment(NamedTuple):
    """What an authenticator was given. Kept with each, so that a changed setting breaks none that is in use."""

    secret: bytes
    digits: int
    period_s: int


class Factor(NamedTuple):
    """What SQL knows of an account's second factor, as of one moment."""

    account: Account
    sealed: str | None
    """The enrolment in force, sealed."""
    pending: str | None
    """One that was begun and not confirmed, sealed."""
    step: int
    """The last time step whose code was used."""
    now: WallMs
    """By the database's clock, which is the same for all nodes."""


class SecondStep(NamedTuple):
    """The password was right; now the second factor."""

    token: Secret
    enrolled: bool
    """There is one; else it has to be enrolled in this very log-in."""


class Pending(NamedTuple):
    """A log-in whose password was right."""

    token_hash: str
    user_id: str
    auth_epoch: int
    """Of the account as it was when the password was checked."""
    client: str


class TotpProof(NamedTuple):
    sealed: str
    """Of this enrolment: if another one is in force by now, the code is worth nothing."""
    step: int


class BackupProof(NamedTuple):
    code_hash: str


Proof = TotpProof | BackupProof
