"""The answer of a place that only a leader may write to."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


class Fenced(StrEnum):
    """What became of a guarded write."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """A newer epoch, or the same epoch from another life, was there first."""
    UNKNOWN = "unknown"
    """No answer in time; it may or may not have been written."""


class Claimed(NamedTuple):
    """What stands in a fence: the newest epoch, and who claimed it."""

    epoch: int
    """0: nobody has."""
    node: str
    boot_id: str


class Outranked(NamedTuple):
    """A guarded write was refused."""

    epoch: int
    """Under which it was made."""
    by: Claimed
    """What stood there."""


OnOutranked = Callable[[Outranked], None]
"""Called with each refusal; must not block."""


def unheard(outranked: Outranked) -> None:  # the signature of those that hear
    """Ignore it: for processes that only read."""


def admits(fence_epoch: int, fence_boot_id: str, epoch: int, boot_id: str) -> bool:
    """The rule of every fence: a higher epoch, or an equal one from the same life; nothing else."""
    return epoch > fence_epoch or (epoch == fence_epoch and boot_id == fence_boot_id)
