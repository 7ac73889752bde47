"""Lockouts: who may not try to sign in for a while, because too many tries were wrong.

Decides how long, and by what name a user or an address is counted. A user is counted by what was typed, in the one form
that account names have, whether such an account exists or not; an IPv6 address by its /64, which is what one customer
gets. What it does not decide: when somebody is locked, and where that is kept.
"""

import unicodedata
from enum import StrEnum
from typing import Final, NamedTuple

from rppam.access.accounts.errors import NameInvalid
from rppam.access.accounts.model import NAME_INPUT_CHARS_MAX, normalise_name
from rppam.kernel.instant import WallMs
from rppam.kernel.limit import subject_hash
from rppam.kernel.network import address_group

MINUTE_MS: Final = 60_000
LEVEL_MAX: Final = 30


class LockKind(StrEnum):
    """What is locked."""

    USER = "user"
    ADDRESS = "address"


class Suspect(NamedTuple):
    """A user name or an address, as it is counted."""

    kind: LockKind
    subject: str
    """From :func:`~rppam.kernel.limit.subject_hash`."""
    shown: str
    """For people: the account name (the reader makes sure that such an account exists), or the address."""


class Lockout(NamedTuple):
    kind: LockKind
    subject: str
    shown: str
    """Empty: no account has the name, and what was typed there may be a password."""
    level: int
    """How often in a row, from 1: each wait is twice as long as the one before."""
    since: WallMs
    until: WallMs
    left_ms: int
    """Until it ends, by the database's clock when it was read."""


class LockoutPolicy(NamedTuple):
    """How many tries, and what follows. A day without a lockout makes the next one short again."""

    user_failures: int = 10
    """Wrong tries for one user name within the window before it is locked."""
    address_failures: int = 20
    """Wrong tries from one address within the window before it is locked."""
    window_minutes: int = 15
    lock_minutes: int = 15
    """The first lockout; each further one is twice as long."""
    lock_minutes_max: int = 240
    """No lockout is longer, so nobody is locked for good."""

    def lock_ms(self, level: int) -> int:
        return min(self.lock_minutes << min(level - 1, LEVEL_MAX), self.lock_minutes_max) * MINUTE_MS


FORGIVEN_MS: Final = 24 * 60 * MINUTE_MS
"""How long after the end of a lockout the next one is the first again."""


def user_suspect(username: str) -> Suspect:
    try:
        name = normalise_name(username)
    except NameInvalid:
        # No account can have it; it counts like any other, so that nobody learns that.
        folded = username
        if len(username) <= NAME_INPUT_CHARS_MAX:
            folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username).casefold())
        return Suspect(LockKind.USER, subject_hash(LockKind.USER, f"\0{folded}"), "")
    return Suspect(LockKind.USER, subject_hash(LockKind.USER, name), name)


def address_suspect(client: str) -> Suspect:
    shown = address_group(client)
    return Suspect(LockKind.ADDRESS, subject_hash(LockKind.ADDRESS, shown), shown)
