"""The answer of a place that only a leader may write to."""

from enum import StrEnum


class Fenced(StrEnum):
    """What became of a guarded write."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """A newer epoch, or the same epoch from another life, was here before."""
    UNKNOWN = "unknown"
    """No answer in time; it may or may not have been written."""


def admits(fence_epoch: int, fence_boot_id: str, epoch: int, boot_id: str) -> bool:
    """The rule of every fence: a higher epoch, or an equal one from the same life; nothing else."""
    return epoch > fence_epoch or (epoch == fence_epoch and boot_id == fence_boot_id)
