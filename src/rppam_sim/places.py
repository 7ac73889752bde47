"""Two places that remember epochs: the cluster's database, and something only a leader may write to."""

from collections.abc import Callable
from typing import NamedTuple

from rppam.kernel.fence import Fenced, admits

Admits = Callable[[int, str, int, str], bool]


class Database:
    """The SQL register of the highest epoch. It is slow, late or away, but it never forgets."""

    __slots__ = ("away_until", "boot_id", "highest", "slow_until")

    def __init__(self) -> None:
        self.highest = 0
        self.boot_id = ""
        self.away_until = 0
        self.slow_until = 0

    def raise_fence(self, by: int) -> None:
        """Somebody else writes a newer epoch into the fence: by hand, from a backup, or from another cluster."""
        self.highest, self.boot_id = self.highest + by, "f" * 16

    def takes(self, epoch: int, boot_id: str) -> bool:
        """Whether a guarded write would be made."""
        return admits(self.highest, self.boot_id, epoch, boot_id)

    def claim(self, epoch: int, boot_id: str) -> Fenced:
        """Write the epoch down, unless a newer one stands there."""
        if not admits(self.highest, self.boot_id, epoch, boot_id):
            return Fenced.REFUSED
        self.highest, self.boot_id = epoch, boot_id
        return Fenced.ACCEPTED


class GuardedWrite(NamedTuple):
    """One write that only a leader may make, on its way."""

    node: str
    epoch: int
    boot_id: str
    decided_us: int


class GuardedPlace:
    """A place with a fence: it accepts by epoch and boot id, and by nothing else."""

    __slots__ = ("_admits", "boot_id", "epoch")

    def __init__(self, rule: Admits = admits) -> None:
        self._admits = rule
        self.epoch = 0
        self.boot_id = ""

    def accepts(self, write: GuardedWrite) -> bool:
        """Whether the write was made."""
        if not self._admits(self.epoch, self.boot_id, write.epoch, write.boot_id):
            return False
        self.epoch, self.boot_id = write.epoch, write.boot_id
        return True
