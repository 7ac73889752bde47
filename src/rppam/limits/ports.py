"""Counting in the store, for all nodes together."""

from collections.abc import Sequence
from typing import Protocol

from rppam.kernel.limit import Charge, Decision, Limit


class LimitStore(Protocol):
    """The shared counters, by the store's clock, in one round trip."""

    async def take(self, charges: Sequence[Charge]) -> Decision:
        """Charge all of them, or none when one limit refuses.

        Raises :class:`~rppam.redis.errors.StoreError`: unknown whether it was charged.
        """
        ...

    async def give_back(self, charges: Sequence[Charge]) -> None:
        """Undo a charge of :meth:`take` (a log-in that was right costs nothing). Raises ``StoreError``."""
        ...

    async def reset(self, limits: Sequence[Limit], subject: str) -> None:
        """Forget what was counted of ``subject`` against these limits. Raises ``StoreError``."""
        ...
