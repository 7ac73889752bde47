"""The highest epoch, remembered where Redis cannot forget it."""

from typing import Protocol

from rppam.kernel.fence import Claimed, Fenced

__all__ = ["EpochRegister", "Fenced"]


class EpochRegister(Protocol):
    """The cluster's database, as far as leadership needs it. Each call is bounded by ``timeout_ms``."""

    async def highest(self, timeout_ms: int) -> int | None:
        """The highest epoch ever accepted here (0 when none), or ``None`` when the place does not answer in time."""
        ...

    async def newest(self, timeout_ms: int) -> Claimed | None:
        """The same, and who claimed it; only reads."""
        ...

    async def claim(self, epoch: int, node: str, boot_id: str, timeout_ms: int) -> Fenced:
        """Record that ``node`` leads at ``epoch``: accepts a higher epoch, or an equal one from the same boot id."""
        ...
