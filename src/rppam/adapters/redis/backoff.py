"""How long to wait before the next attempt to connect: doubling with jitter, and never beyond the cap.

Half of each wait is fixed and half is drawn, so that nodes which lost Redis together do not come back together, and
none comes back at once again and again. Pure: chance comes in as :class:`~rppam.ports.entropy.Entropy`.
"""

from typing import Final

from rppam.ports.entropy import Entropy

BASE_MS: Final = 50
CAP_MS: Final = 2_000
STEADY_MS: Final = 2_000
"""A connection that held for this long counts as a success; a shorter one does not start the series anew."""


class Backoff:
    """The series of waits of one link."""

    def __init__(self, entropy: Entropy, *, base_ms: int = BASE_MS, cap_ms: int = CAP_MS) -> None:
        self._entropy = entropy
        self._base_ms = base_ms
        self._cap_ms = cap_ms
        self._failures = 0

    def next_ms(self) -> int:
        """The next wait, between half and all of base, 2 base, 4 base ... cap."""
        ceiling = min(self._cap_ms, self._base_ms << min(self._failures, 16))
        self._failures += 1
        half = ceiling // 2
        return half + self._entropy.below(ceiling - half + 1)

    def succeeded(self, held_ms: int) -> None:
        """The last connection held for ``held_ms``."""
        if held_ms >= STEADY_MS:
            self._failures = 0
