"""The second factor: what is asked of whom, and what stands for one code.

A code is worth something once in the whole cluster. For the authenticator (TOTP, RFC 6238) that is held by the last
**time step** that was used, which only grows; for a backup code by its own row.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from rppam.access.accounts import Account, AccountRole
from rppam.kernel.instant import WallMs

ATTEMPTS_MAX: Final = 5
"""Wrong codes for one password that was right; then the password is asked for again."""
PENDING_MS: Final = 5 * 60_000
"""So long after the password the code has to come."""


class MfaRequirement(StrEnum):
    """Who has to give a second factor."""

    DISABLED = "disabled"
    """Nobody, not even who has one; none can be enrolled."""
    OPTIONAL = "optional"
    """Whoever has enrolled one."""
    ADMINS = "required_for_admins"
    """As optional, and everybody with one of :data:`ADMIN_ROLES`."""
    ALL = "required_for_all"
    """Everybody."""


ADMIN_ROLES: Final = frozenset({AccountRole.ADMIN, AccountRole.APPROVER, AccountRole.SECURITY_ADMIN})


def is_required(requirement: MfaRequirement, account: Account) -> bool:
    """Whether ``account`` may not do without."""
    return requirement is MfaRequirement.ALL or (
        requirement is MfaRequirement.ADMINS and not account.roles.isdisjoint(ADMIN_ROLES)
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


class TotpProof(NamedTuple):
    """The code of one time step."""

    sealed: str
    """Of this enrolment: if another one is in force by now, the code is worth nothing."""
    step: int


class BackupProof(NamedTuple):
    """A backup code."""

    code_hash: str


Proof = TotpProof | BackupProof
