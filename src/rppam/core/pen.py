"""The pen: what this node writes into the record, and the one request about it that is under way.

It numbers the writes of one epoch, never twice the same, remembers what its own record last said, and keeps at most one
request under way. It decides nothing: when to write, and whether a write counts, are the election's business.
"""

from typing import NamedTuple

from rppam.core.effects import Exchange, Purpose, Swap
from rppam.core.rules import Rules
from rppam.domain.entropy import Entropy
from rppam.domain.instant import Instant
from rppam.domain.record import Record, RecordState


class Sent(NamedTuple):
    """A request under way."""

    request: int
    swap: Swap | None
    at: Instant


class Pen:
    """One node's writing."""

    __slots__ = ("_boot_id", "_entropy", "_node", "_requests", "_rules", "nonce", "own", "sent", "seq")

    def __init__(self, node: str, boot_id: str, entropy: Entropy, rules: Rules) -> None:
        self.own: Record | None = None
        """What this node's record said when it was last confirmed."""
        self.sent: Sent | None = None
        self.seq = 0
        self.nonce = ""
        self._node = node
        self._boot_id = boot_id
        self._entropy = entropy
        self._rules = rules
        self._requests = 0

    def begin(self) -> None:
        """A new epoch: its writes are numbered from one, under a nonce of their own."""
        self.seq = 0
        self.nonce = self._entropy.nonce()
        self.own = None

    def swap(self, expected: Record, state: RecordState, purpose: Purpose, epoch: int) -> Swap:
        """The next write, over exactly ``expected``."""
        self.seq = self._rules.next_seq(self.seq, expected)
        nonce = self.nonce if state is RecordState.HELD else self._entropy.nonce()
        return Swap(expected, Record(state, self._node, self._boot_id, epoch, self.seq, nonce), purpose)

    def send(self, swap: Swap | None, mark: Record, now: Instant) -> Exchange:
        """The request is under way from now on."""
        self._requests += 1
        self.sent = Sent(self._requests, swap, now)
        return Exchange(self._requests, swap, mark)
