"""Does a member's clock run at our rate?

Every promise rests on one assumption: boot-time clocks differ in rate by no more than r each. It is checked here, from
what travels anyway. A vote carries the voter's clock; when it was read, our own clock stood somewhere between the
sending of the request and the arrival of the vote. Two such readings bound the ratio of the two rates from both sides,
however slow the network was. A member is **off** only if even the bound that favours it is outside what r allows; then
its promises are not counted. Slow or lost messages make the bounds wider, never wrong.

Which of the two clocks is the wrong one cannot be told between two alone. A step of a clock, which CLOCK_BOOTTIME never
makes, would look like a rate for a while.

The store's promise is kept by those who wait for it, each by its own clock: so it is worth no more than a member's. A
node does not count it while its own clock is off: by the evidence of most that it knows, in whichever direction; and
where that is even, as between two, if a rival's runs faster, as that one may be done with waiting too soon. Whose clock
runs faster than another's waits as much longer. So of two that disagree the faster leads, and each of both is safe
without knowing whether the other has noticed.

What is known of a member outlasts its absence, as it may be away from here alone. It ends with its membership.
"""

from collections import deque
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from rppam.cluster.consensus.timing import Timing
from rppam.kernel.instant import US_PER_S, Instant

EVERY_US: Final = 5 * US_PER_S
"""A reading is kept this often."""
KEPT: Final = 12
"""So many: a minute."""
NARROW: Final = 1.05
"""A rate that is known this closely, and is not off, counts as evidence for this host's own."""


class _Reading(NamedTuple):
    sent: Instant
    arrived: Instant
    theirs: Instant


class Rates:
    """What is known of each member's rate."""

    __slots__ = ("_answered", "_bounds", "_high", "_lives", "_low", "_readings", "off")

    def __init__(self, timing: Timing) -> None:
        self.off: Mapping[str, int] = {}
        """Members whose clock is certainly off, and by how many percent at least (negative: too slow). Never changed in
        place."""
        error = timing.rate_error_ppm / 1_000_000
        self._high = (1 + error) / (1 - error)
        self._low = (1 - error) / (1 + error)
        self._readings: dict[str, deque[_Reading]] = {}
        self._lives: dict[str, str] = {}
        self._bounds: dict[str, tuple[float, float]] = {}
        """Between which the rate of each certainly is, this host's being 1."""
        self._answered: dict[str, Instant] = {}

    def is_own_off(self, others: Collection[str], rivals: Collection[str]) -> bool:
        """Whether this host's clock has to be taken for the wrong one: see the module. ``rivals`` may lead as well."""
        off = [name for name in others if name in self.off]
        if not off:
            return False
        right = 1 + sum(1 for name in others if self.agrees(name))
        faster = [name for name in off if self.off[name] > 0]
        return len(off) > right or (len(faster) >= right and any(name in rivals for name in faster))

    def agrees(self, member: str) -> bool:
        """Whether a member's clock is known to run as this host's does."""
        low, high = self._bounds.get(member, (0.0, 0.0))
        return member not in self.off and low > 0 and high <= NARROW * low

    def slowest(self, others: Collection[str]) -> float:
        """How slow, at the worst, a clock that is too slow runs to 1 of this host's; 1 when none is known to."""
        slow = [self._bounds.get(name, (0.0, 0.0))[0] for name in others if self.off.get(name, 0) < 0]
        return min(slow, default=1.0)

    def silent_us(self, member: str, now: Instant) -> int:
        """For how long a member whose clock was read once has not answered."""
        return now - self._answered.get(member, now)

    def keep(self, members: Collection[str]) -> None:
        """Of everybody else nothing is remembered."""
        self.off = {name: percent for name, percent in self.off.items() if name in members}
        known: tuple[dict[str, Any], ...] = (self._readings, self._lives, self._bounds, self._answered)
        for table in known:
            for name in [name for name in table if name not in members]:
                del table[name]

    def observe(self, member: str, boot_id: str, sent: Instant, arrived: Instant, theirs: Instant) -> bool:
        """A vote arrived; whether the judgement of this member changed."""
        was = member in self.off
        self._answered[member] = arrived
        if self._lives.get(member) != boot_id:
            before = self._readings.get(member)
            if was and before and sent - before[-1].sent > KEPT * EVERY_US:
                self._set(member, 0)  # of a former life, and nobody has looked since
            self._lives[member] = boot_id
            self._readings[member] = deque(maxlen=KEPT)
        readings = self._readings[member]
        found, low, high = 0, 0.0, float("inf")
        for earlier in readings:
            elapsed = theirs - earlier.theirs
            most, least = arrived - earlier.sent, sent - earlier.arrived
            low = max(low, elapsed / most if most > 0 else 0.0)
            high = min(high, elapsed / least if least > 0 else high)
            if elapsed > self._high * most:
                found = max(1, round(100 * (elapsed / max(1, most) - 1)))  # 0 where this host's own stands still
            elif least > 0 and elapsed < self._low * least:
                found = min(-1, round(100 * (elapsed / least - 1)))
        if readings and (found or high <= NARROW * low or member not in self._bounds):
            self._bounds[member] = low, high  # else what was known before says more, also of a life before
        if found or (was and len(readings) == KEPT):
            self._set(member, found)
        if not readings or sent - readings[-1].sent >= EVERY_US:
            readings.append(_Reading(sent, arrived, theirs))
        return was != (member in self.off)

    def _set(self, member: str, percent: int) -> None:
        rest = {name: known for name, known in self.off.items() if name != member}
        self.off = {**rest, member: percent} if percent else rest
