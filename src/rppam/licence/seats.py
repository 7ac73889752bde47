"""Whether the licence of this node lets one more node join, asked now."""

from rppam.kernel.clock import Clock
from rppam.licence.model import Allowed, Denied, Licence, may_join


class Seats:
    """The seats of one licence."""

    def __init__(self, licence: Licence | None, clock: Clock) -> None:
        self._licence, self._clock = licence, clock

    def ask(self, others: int) -> Allowed | Denied:
        """Whether one more node may join beside ``others``."""
        return may_join(self._licence, others, self._clock.wall_ms())
