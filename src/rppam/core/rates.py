"""Does a member's clock run at our rate?

Every promise rests on one assumption: boot-time clocks differ in rate by no more than r each. It is checked here, from
what travels anyway. A vote carries the voter's clock; when it was read, our own clock stood somewhere between the
sending of the ballot and the arrival of the vote. Two such readings bound the ratio of the two rates from both sides,
however slow the network was. A member is **off** only if even the bound that favours it is outside what r allows; then
its promises are not counted. Slow or lost messages make the bounds wider, never wrong.

Which of the two clocks is the wrong one cannot be told between two alone. A step of a clock, which CLOCK_BOOTTIME never
makes, would look like a rate for a while.
"""

from collections import deque
from typing import Final, NamedTuple

from rppam.domain.instant import US_PER_S, Instant
from rppam.domain.timing import Timing

EVERY_US: Final = 5 * US_PER_S
"""A reading is kept this often."""
KEPT: Final = 12
"""So many: a minute."""


class _Reading(NamedTuple):
    sent: Instant
    arrived: Instant
    theirs: Instant


class Rates:
    """What is known of each member's rate."""

    __slots__ = ("_high", "_lives", "_low", "_readings", "off")

    def __init__(self, timing: Timing) -> None:
        self.off: dict[str, int] = {}
        """Members whose clock is certainly off, and by how many percent at least (negative: too slow)."""
        error = timing.rate_error_ppm / 1_000_000
        self._high = (1 + error) / (1 - error)
        self._low = (1 - error) / (1 + error)
        self._readings: dict[str, deque[_Reading]] = {}
        self._lives: dict[str, str] = {}

    def observe(self, member: str, boot_id: str, sent: Instant, arrived: Instant, theirs: Instant) -> bool:
        """A vote arrived; whether the judgement of this member changed."""
        was = member in self.off
        if self._lives.get(member) != boot_id:
            before = self._readings.get(member)
            if was and before and sent - before[-1].sent > KEPT * EVERY_US:
                del self.off[member]  # of a former life, and nobody has looked since
            self._lives[member] = boot_id
            self._readings[member] = deque(maxlen=KEPT)
        readings = self._readings[member]
        found = 0
        for earlier in readings:
            elapsed = theirs - earlier.theirs
            most, least = arrived - earlier.sent, sent - earlier.arrived
            if elapsed > self._high * most:
                found = max(1, round(100 * (elapsed / most - 1)))
            elif least > 0 and elapsed < self._low * least:
                found = min(-1, round(100 * (elapsed / least - 1)))
        if found:
            self.off[member] = found
        elif member in self.off and len(readings) == KEPT:
            del self.off[member]
        if not readings or sent - readings[-1].sent >= EVERY_US:
            readings.append(_Reading(sent, arrived, theirs))
        return was != (member in self.off)
