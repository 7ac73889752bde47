"""The pen: what this node writes into the record, and the one request about it that is under way.

It numbers the writes of one epoch, never twice the same, remembers what its own record last said, and keeps at most one
request under way. It decides nothing: when to write, and whether a write counts, are the election's business.

To each epoch belongs a secret, to which the ``held`` records commit it and which the ``released`` one reveals. Before
that it leaves this pen only for the last word of the own process, which the supervisor keeps in memory.
"""

from collections import deque
from typing import Final, NamedTuple

from rppam.cluster.consensus.effects import Exchange, Purpose, Swap
from rppam.cluster.consensus.record import Record, RecordState, Seal, commitment, sealed
from rppam.cluster.consensus.rules import Rules
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import Instant

KEPT: Final = 16
"""So many secrets of earlier epochs, and records that were written over, are remembered."""


class Sent(NamedTuple):
    """A request under way."""

    request: int
    swap: Swap | None
    at: Instant


class LeaseWriter:
    """One node's writing."""

    __slots__ = (
        "_boot_id",
        "_entropy",
        "_latest",
        "_node",
        "_over",
        "_requests",
        "_rules",
        "_seal",
        "_secrets",
        "_server",
        "nonce",
        "own",
        "sent",
        "seq",
    )

    def __init__(self, node: str, boot_id: str, entropy: Entropy, rules: Rules, seal: Seal | None = None) -> None:
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
        self._seal = seal
        self._secrets: dict[int, str] = {}
        self._server = ""
        self._over: deque[Record] = deque(maxlen=KEPT)
        self._latest: Record | None = None

    def begin(self, epoch: int) -> None:
        """A new epoch: its writes are numbered from one, under a nonce of their own."""
        self.seq = 0
        self._secrets[epoch] = secret = self._draw()
        while len(self._secrets) > KEPT:
            del self._secrets[min(self._secrets)]
        self.nonce = commitment(secret)
        self.own = None

    def _draw(self) -> str:
        return self._entropy.nonce() + (self._entropy.nonce() if self._seal is None else "")

    def swap(self, expected: Record, state: RecordState, purpose: Purpose, epoch: int) -> Swap:
        """The next write, over exactly ``expected``."""
        self.seq = self._rules.next_seq(self.seq, expected)
        if state is RecordState.RELEASED:
            return Swap(expected, self.released(expected, self.seq), purpose)
        held = Record(state, self._node, self._boot_id, epoch, self.seq, self.nonce)
        return Swap(expected, sealed(held, self._seal), purpose)

    def released(self, record: Record, seq: int) -> Record:
        """What releases this own ``record``. It reveals the secret of that epoch: keep it where it is safe."""
        secret = self._secrets.get(record.epoch)
        nonce = self._draw() if secret is None else secret
        return sealed(record._replace(state=RecordState.RELEASED, seq=seq, nonce=nonce), self._seal)

    def wrote(self, swap: Swap, server: str) -> None:
        """The store has confirmed this write."""
        self._at(server)
        self._over.append(swap.expected)
        self._latest = swap.proposed

    def read(self, own: Record, server: str) -> None:
        """The store shows the ``held`` record of the present epoch."""
        self._at(server)
        self.own = own
        if self._latest is None or own.epoch > self._latest.epoch or own.seq > self._latest.seq:
            self._latest = own

    def wrote_over(self, found: Record, server: str) -> bool:
        """Whether this very server had something later of this node's in the place of ``found``."""
        latest = self._latest
        if server != self._server or latest is None:
            return False
        is_older = found.is_of_same(latest) and found.state is RecordState.HELD and found.seq < latest.seq
        return is_older or found in self._over

    def _at(self, server: str) -> None:
        if server != self._server:
            self._server, self._latest = server, None
            self._over.clear()

    def send(self, swap: Swap | None, mark: Record, now: Instant) -> Exchange:
        """The request is under way from now on."""
        self._requests += 1
        self.sent = Sent(self._requests, swap, now)
        return Exchange(self._requests, swap, mark)
