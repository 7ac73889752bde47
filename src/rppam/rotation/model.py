"""Rotations: what is changed where, when and by whom. Pure."""

from enum import StrEnum
from typing import Final, NamedTuple

from rppam.kernel.instant import WallMs
from rppam.rotation.errors import RotationInvalid
from rppam.rotation.machine import Phase
from rppam.targets.model import ResourceKind
from rppam.vault.model import Entry, EntryType

KINDS: Final = frozenset({ResourceKind.SSH, ResourceKind.POSTGRESQL})
TYPES: Final = frozenset({EntryType.PASSWORD, EntryType.DATABASE})
FIELD: Final = "password"
EVERY_HOURS_MAX: Final = 24 * 365
LENGTH: Final = 24
LENGTHS: Final = (12, 128)
LEASE_MS: Final = 45_000
"""How long an owner may take for the steps between two writes; each of them is bounded well below it."""
DELAYS_S: Final = (30, 120, 600, 3_600, 6 * 3_600)
"""Before the next attempt."""
OTHERS_MAX: Final = 3
"""So many other versions are tried where the target takes neither the current nor the newest one."""
PROBLEM_CHARS: Final = 400
LATE_MS: Final = 10 * 60_000
"""A rotation that fails for this long is told in health."""


class Cause(StrEnum):
    """Why a secret is changed."""

    USE = "use"
    SCHEDULE = "schedule"
    ORDER = "order"


class Rules(NamedTuple):
    """How the secret of an entry is changed."""

    enabled: bool = True
    every_hours: int = 0
    by_entry_id: str | None = None
    """Whose secret signs in to change this one; ``None``: the account changes its own."""
    length: int = LENGTH
    without: str = ""
    """Characters that the target refuses."""
    revision: int = 0
    """0: nobody has said anything, and these are the defaults."""


class Rotation(NamedTuple):
    """One change, as people see it."""

    id: str
    entry_id: str
    entry: str
    target: str
    cause: Cause
    phase: Phase
    attempts: int
    problem: str
    node: str
    """Which works on it, or did last."""
    created_at: WallMs
    changed_at: WallMs
    next_at: WallMs | None
    ended_at: WallMs | None


def checked_rules(rules: Rules) -> Rules:
    """The rules. Raises :class:`RotationInvalid`."""
    if not 0 <= rules.every_hours <= EVERY_HOURS_MAX:
        raise RotationInvalid(f"everyHours: expected 0 (not by time) to {EVERY_HOURS_MAX}, found {rules.every_hours}")
    least, most = LENGTHS
    if not least <= rules.length <= most:
        raise RotationInvalid(f"length: expected {least} to {most}, found {rules.length}")
    return rules


def delay_ms(attempts: int, share: float) -> int:
    """How long to wait after so many attempts; ``share`` from 0 to 1 spreads those of many targets."""
    return int(DELAYS_S[min(attempts, len(DELAYS_S)) - 1] * 1000 * (1 + share / 5)) if attempts else 0


def why_not(entry: Entry, kind: ResourceKind | None) -> str:
    """Why the secret of an entry cannot be changed on a target; empty where it can."""
    if entry.account_id is None or kind is None:
        return f"{entry.name} belongs to no account on a target"
    if entry.type not in TYPES:
        return f"{entry.name} is of the type {entry.type.value}"
    if kind not in KINDS:
        return f"its target is of the kind {kind.value}"
    return "" if entry.version else f"{entry.name} has no secret yet"
