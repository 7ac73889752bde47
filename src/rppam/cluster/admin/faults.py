"""Faults of this node that a failover test asks for: bounded, and over by themselves.

Decides what each fault is, and that it ends whatever becomes of the tester. *stop* and *kill* are the supervisor's: it
ends all other processes of the node, in order or at one blow, and starts the node anew when the time has passed.
*isolate* is two comparisons with this process's clock: until then the member link and leadership's connection to Redis
are not there.

What it does not promise: that a test is without consequences. A leader that is stopped or killed ends what is under way
on it, sessions with targets as well.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from rppam.cluster.admin.errors import FaultImpossible
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_S, Instant, after

BEGINS_AFTER_S: Final = 0.5
"""So that the answer, and its record, leave first."""
SECONDS_MIN: Final = 5
SECONDS_MAX: Final = 300


class NodeFault(StrEnum):
    """What can be made to happen to the node that leads."""

    STOP = "stop"
    KILL = "kill"
    ISOLATE = "isolate"


SAID: Final = {
    NodeFault.STOP: "is stopped in order",
    NodeFault.KILL: "has all its processes killed, and releases nothing",
    NodeFault.ISOLATE: "loses Redis and the other members",
}


class NodeFaults:
    """What this process can make happen to its node."""

    def __init__(
        self,
        clock: Clock,
        *,
        halt: Callable[[str, int], bool] | None = None,
        hold: tuple[Callable[[Instant], None], ...] = (),
    ) -> None:
        """``halt``: has the supervisor stop or kill the node for so many seconds; ``None``: there is no supervisor.
        ``hold``: each keeps one way to the others closed until a moment."""
        self._clock, self._halt, self._hold = clock, halt, hold

    def begin(self, fault: str, seconds: int) -> str:
        """Have it happen in a moment; what was begun, behind the node's name. Raises FaultImpossible."""
        try:
            known = NodeFault(fault)
        except ValueError:
            raise FaultImpossible(f"expected one of {', '.join(NodeFault)}, found another fault") from None
        if not SECONDS_MIN <= seconds <= SECONDS_MAX:
            raise FaultImpossible(f"expected {SECONDS_MIN} to {SECONDS_MAX} seconds, found {seconds}")
        loop = asyncio.get_running_loop()
        if known is NodeFault.ISOLATE:
            if not self._hold:
                raise FaultImpossible("this node has no Redis and no members that it could lose")
            loop.call_later(BEGINS_AFTER_S, self._isolate, seconds)
        elif self._halt is None:
            raise FaultImpossible(
                "this node runs as a single process, so nobody would start it again. Test with switchover"
            )
        else:
            loop.call_later(BEGINS_AFTER_S, self._halt, known.value, seconds)
        return f"{SAID[known]} for {seconds} s, and is as before then"

    def _isolate(self, seconds: int) -> None:
        until = after(self._clock.now(), seconds * US_PER_S)
        for hold in self._hold:
            hold(until)
