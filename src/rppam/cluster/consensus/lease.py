"""The lease: the leadership record in Redis, as one node reads it and writes it.

**Reading.** The store keeps no word of its own: it expires keys by a clock that may step, evicts them, forgets the last
second in a crash and more in a failover. So a reader believes only what it has watched itself: the same ``(epoch, seq,
nonce)``, over one connection, for a whole lease. Absence is never permission; absence, any other record, and another
connection (which may lead to another server) start the wait anew, whatever the record then shows. Where the
store fails over, another server identity makes the wait longer: replicas may go on confirming the old primary's writes.

**Writing.** Each write is a compare-and-set against exactly what was last read, and is numbered, never twice the same.
To each epoch belongs a secret, to which the ``held`` records commit it and which the ``released`` one reveals.

It promises nothing about the moment between two readings: that is what the compare-and-set is for.
"""

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from rppam.cluster.consensus.effects import Exchange, Purpose, Swap
from rppam.cluster.consensus.record import (
    SEAL_DIGITS,
    Record,
    RecordState,
    Seal,
    commitment,
    is_genuine,
    reveals,
    sealed,
    vacant,
)
from rppam.cluster.consensus.timing import Timing
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import Instant

if TYPE_CHECKING:
    from rppam.cluster.consensus.rules import LeaseRules

SHOWN_MAX: Final = 10**14
"""Far above every wall clock in ms, and far below the last epoch: no made-up record uses the epochs up."""
LEAP_MAX: Final = 10**6
"""So far above its own promises, and above :data:`SHOWN_MAX`, a member finds an epoch plausible."""
HEARD_MAX: Final = LEAP_MAX // 1_000
"""So far above what is known first-hand, and above :data:`SHOWN_MAX`, another member's word of an epoch is followed.

Far less than what a member accepts: whoever makes numbers up uses a thousandth of that room with each leadership, so
also a member that was away meanwhile goes on finding the epochs plausible. Where members that are honest are further
ahead, the own failed attempts lead there."""
KEPT: Final = 16
"""So many secrets of earlier epochs, and records that were written over, are remembered."""


class Sent(NamedTuple):
    """A request to the store that is under way."""

    request: int
    swap: Swap | None
    at: Instant


class Identity(NamedTuple):
    """Who takes part: one node, in one life of its process."""

    node: str
    boot_id: str
    timing: Timing


class KnownEpochs(NamedTuple):
    """The epochs of which there is any word, by how far it is believed."""

    led: int = 0
    """The highest that a believed record showed. Where there is a key, only what was signed with it is believed. A
    vacant mark never is: anybody who may write to the store can leave one."""
    fenced: int = 0
    """What the database showed last: a reason to go above. It says nothing of who has the store's vote, so it is none
    to doubt a lower record, and the release of a leader that was shut out is believed. Not the highest ever: what an
    administrator puts right there is right, and a leader below it is refused there."""
    shown: int = 0
    """The highest of records that are not believed, up to :data:`SHOWN_MAX`: one more reason to go above."""
    heard: int = 0
    """The highest that members say was tried, as far as followed: one more reason to go above."""

    @property
    def known(self) -> int:
        """The highest of which there is any word, believed or not: a candidate goes above it."""
        return max(self)


class LeaseObserver(NamedTuple):
    """What this node has seen of the record on its present connection. A value: each reading makes another one."""

    me: Identity
    """Who watches: what this very life has released it knows by itself."""
    seal: Seal | None = None
    """What members sign records with; ``None`` where they have no key."""
    believes: bool = True
    """Whether an epoch that the record shows counts as one that was led: where the store has no vote, anybody who may
    write there could make one up."""
    connection: int | None = None
    identity: str = ""
    identity_since: Instant | None = None
    """Since when every connection led to this very server with this very history."""
    extra_wait_us: int = 0
    """Behind a failover: for how long the server of before may still confirm writes."""
    longer_us: int = 0
    """How much longer than a lease to wait, as another's clock runs slower than this host's."""
    record: Record | None = None
    is_unsigned: bool = False
    """Whether the present record says something that no holder of the key signed."""
    since: Instant | None = None
    """When the present record was first seen."""
    trusted_since: Instant | None = None
    """Since when the connection has shown nothing odd."""
    committed: Record | None = None
    """The ``held`` record of the present leadership that was seen first, with its commitment."""
    committed_since: Instant | None = None
    epochs: KnownEpochs = KnownEpochs()

    def connected(
        self, rules: "LeaseRules", number: int, identity: str, extra_wait_us: int, now: Instant
    ) -> "LeaseObserver":
        """A new connection: all waits begin anew, but the one for another identity where it is proven the same."""
        if not rules.connection_begins_anew():
            trusted = now if self.trusted_since is None else self.trusted_since
            return self._replace(
                connection=number, identity=identity, extra_wait_us=extra_wait_us, trusted_since=trusted
            )
        is_same = identity and identity == self.identity and self.identity_since is not None
        return self._forgotten()._replace(
            identity_since=self.identity_since if is_same else now,
            connection=number,
            identity=identity,
            extra_wait_us=extra_wait_us,
            trusted_since=now,
        )

    def disconnected(self, rules: "LeaseRules") -> "LeaseObserver":
        """The connection is gone, and with it everything that was watched over it."""
        gone = self._forgotten() if rules.connection_begins_anew() else self
        return gone._replace(connection=None)

    def _forgotten(self) -> "LeaseObserver":
        return self._replace(
            record=None, since=None, committed=None, committed_since=None, trusted_since=None, is_unsigned=False
        )

    def see(
        self, rules: "LeaseRules", record: Record, asked_at: Instant, now: Instant, *, was_absent: bool
    ) -> "LeaseObserver":
        """The store showed ``record``; ``was_absent`` when no record stood there before this very reading."""
        seen = self
        if record != self.record:
            says_something = record.state is not RecordState.VACANT
            unsigned = says_something and self.seal is not None and not is_genuine(record, self.seal)
            is_odd = was_absent or self._went_back(record, is_unsigned=unsigned)
            begins_anew, trusts = rules.begins_anew(self, record), not is_odd or rules.trusts_all_the_same(self, record)
            seen = LeaseObserver(
                *self[:8],
                record,
                unsigned,
                rules.watched_from(self, asked_at, now) if begins_anew else self.since,
                self.trusted_since if trusts else now,
                *self._commitment(record, now, is_unsigned=unsigned),
                self.epochs,
            )
        epochs = self.epochs
        if seen.believes and not seen.is_unsigned and record.state is not RecordState.VACANT:
            if record.epoch > epochs.led:
                return seen._replace(epochs=epochs._replace(led=record.epoch))
        elif min(record.epoch, SHOWN_MAX) > epochs.shown:
            return seen._replace(epochs=epochs._replace(shown=min(record.epoch, SHOWN_MAX)))
        return seen

    def hear(self, epoch: int, first_hand: int) -> "LeaseObserver":
        """A member has promised for ``epoch`` once; whether anybody came to lead by that is not known.

        ``first_hand``: what the own vote knows. What was heard before is not: else each word would add to the last.
        """
        heard = min(epoch, max(SHOWN_MAX, self.epochs.led, first_hand) + HEARD_MAX)
        return self if heard <= self.epochs.heard else self._replace(epochs=self.epochs._replace(heard=heard))

    def _went_back(self, record: Record, *, is_unsigned: bool) -> bool:
        before = self.record
        if record.state is RecordState.VACANT or is_unsigned or record.epoch < self.epochs.led:
            return True
        if before is None or record.epoch > before.epoch:
            return False
        if record.epoch < before.epoch or record.seq <= before.seq:
            return True
        return before.state is not RecordState.VACANT and not record.is_of_same(before)  # two of one epoch

    def _commitment(self, record: Record, now: Instant, *, is_unsigned: bool) -> tuple[Record | None, Instant | None]:
        before, digits = self.committed, 0 if self.seal is None else SEAL_DIGITS
        if record.state is RecordState.HELD and not is_unsigned:
            is_same = before is not None and record.is_of_same(before)
            if before is None or not is_same or _bare(record, digits) != _bare(before, digits):
                return record, now
        return before, self.committed_since

    @property
    def server(self) -> str:
        """The server process with this history of data that the connection leads to; without a name: the connection.
        It never forgets while it lives."""
        return self.identity or f"connection {self.connection}"

    def is_revealed(self, record: Record) -> bool:
        """Return whether ``record`` reveals the secret to which the ``held`` record before it committed its writer."""
        return self.committed is not None and reveals(record, self.committed, self.seal)

    def has_seen_held(self, record: Record) -> bool:
        """Return whether the leadership that was seen last is that of ``record``."""
        return self.committed is not None and record.is_of_same(self.committed)

    def silent_us(self, now: Instant) -> int:
        """For how long the present record has stood unchanged; 0 when nothing was seen yet."""
        return 0 if self.since is None else now - self.since


def _bare(record: Record, seal_digits: int) -> str:
    return record.nonce[: len(record.nonce) - seal_digits]


class LeaseWriter:
    """What this node writes into the record, and the one request about it that is under way."""

    def __init__(self, me: Identity, entropy: Entropy, rules: "LeaseRules", seal: Seal | None = None) -> None:
        self.own: Record | None = None
        """What this node's record said when it was last confirmed."""
        self.sent: Sent | None = None
        self.seq = 0
        self.nonce = ""
        self._me = me
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
        held = Record(state, self._me.node, self._me.boot_id, epoch, self.seq, self.nonce)
        return Swap(expected, sealed(held, self._seal), purpose)

    def released(self, record: Record, seq: int) -> Record:
        """What releases this own ``record``. It reveals the secret of that epoch: keep it where it is safe."""
        secret = self._secrets.get(record.epoch)
        nonce = self._draw() if secret is None else secret
        return sealed(record._replace(state=RecordState.RELEASED, seq=seq, nonce=nonce), self._seal)

    def mark(self, epoch: int) -> Record:
        """What to leave where no record is: ``epoch``, as far as anybody believes a mark, and a fresh nonce."""
        return vacant(min(epoch, SHOWN_MAX), self._entropy.nonce())

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
        """Return whether this very server had something later of this node's in the place of ``found``."""
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
