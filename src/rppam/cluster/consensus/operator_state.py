"""What an administrator has ordered and a restart must not forget: maintenance of this node, a pause of failover.

Maintenance concerns one node and is kept there. The pause concerns the cluster: every node keeps what it knows, tells
it in its heartbeats, and adopts what is newer. The last writer wins, by a stamp that is above every one it knew.
"""

from typing import Final, NamedTuple

from rppam.kernel.instant import WallMs

BY_CHARS_MAX: Final = 64


class Pause(NamedTuple):
    """Whether automatic failover is paused. Pauses compare by ``(stamp, is_on, by)``: the greater is the newer."""

    stamp: int = 0
    """When it was ordered, by the wall clock of the node that was asked, or one above an earlier order; 0: never."""
    is_on: bool = False
    by: str = ""
    """Who ordered it."""

    def followed_by(self, wall_ms: WallMs, *, is_on: bool, by: str) -> "Pause":
        """A newer order."""
        return Pause(max(wall_ms, self.stamp + 1), is_on, by)


class OperatorState(NamedTuple):
    """What one node keeps."""

    pause: Pause = Pause()
    maintenance: bool = False
    maintenance_by: str = ""


NO_ORDERS: Final = OperatorState()


def person(name: str) -> str:
    """``name`` as it may be kept and shown: printable, and not too long."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:BY_CHARS_MAX]
