"""The highest epoch, remembered where Redis cannot forget it."""

from enum import StrEnum
from typing import Protocol


class Fenced(StrEnum):
    """Answer of a place that only a leader may write to."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """A newer epoch, or the same epoch from another life, was here before."""
    UNKNOWN = "unknown"
    """No answer in time; it may or may not have been written."""


class EpochRegister(Protocol):
    """The cluster's database, as far as leadership needs it. Each call is bounded by ``timeout_ms``."""

    async def highest(self, timeout_ms: int) -> int | None:
        """The highest epoch ever accepted here (0 when none), or ``None`` when the place does not answer in time."""
        ...

    async def claim(self, epoch: int, node: str, boot_id: str, timeout_ms: int) -> Fenced:
        """Record that ``node`` leads at ``epoch``: accepts a higher epoch, or an equal one from the same boot id."""
        ...
