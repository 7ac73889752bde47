"""Watching the record: for how long has it said exactly this, by my own clock?

The store keeps no word of its own: it expires keys by a clock that may step, evicts them, forgets the last second in a
crash and more in a failover. So a reader believes only what it has watched itself: the same ``(epoch, seq, nonce)``,
over one connection, for a whole lease. Absence is never permission; absence, a lower epoch or seq, and another
connection (which may lead to another server) start the wait anew, whatever the record then shows. Where the store fails
over, another server identity makes the wait longer: replicas may go on confirming the old primary's writes for a while.

Promises nothing about the moment between two readings: that is what the compare-and-set is for.
"""

from typing import Final

from rppam.cluster.consensus.record import SEAL_DIGITS, Record, RecordState, Seal, is_genuine, reveals
from rppam.kernel.instant import Instant

SHOWN_MAX: Final = 10**14
"""Far above every wall clock in ms, and far below the last epoch: no made-up record uses the epochs up."""
LEAP_MAX: Final = 10**6
"""So far above its own promises, and above :data:`SHOWN_MAX`, a member finds an epoch plausible."""
HEARD_MAX: Final = LEAP_MAX // 1_000
"""So far above what is known first-hand, and above :data:`SHOWN_MAX`, another member's word of an epoch is followed.

Far less than what a member accepts: whoever makes numbers up uses a thousandth of that room with each leadership, so
also a member that was away meanwhile goes on finding the epochs plausible. Where members that are honest are further
ahead, the own failed attempts lead there."""


class LeaseObserver:
    """What one candidate has seen of the record on its present connection."""

    __slots__ = (
        "believes",
        "committed",
        "committed_since",
        "connection",
        "extra_wait_us",
        "fenced",
        "heard",
        "highest",
        "identity",
        "identity_since",
        "is_unsigned",
        "life",
        "longer_us",
        "record",
        "seal",
        "shown",
        "since",
        "trusted_since",
    )

    def __init__(self) -> None:
        self.seal: Seal | None = None
        """What members sign records with; ``None`` where they have no key."""
        self.life = ""
        """The boot id of the watching process: what that has released it knows by itself."""
        self.believes = True
        """Whether an epoch that the record shows counts as one that was led: where the store has no vote, whoever may
        write there could make up any."""
        self.connection: int | None = None
        self.identity = ""
        self.identity_since: Instant | None = None
        """Since when every connection led to this very server with this very history."""
        self.extra_wait_us = 0
        self.longer_us = 0
        """How much longer than a lease to wait, as another's clock runs slower than this host's."""
        self.record: Record | None = None
        self.is_unsigned = False
        """Whether the present record says something that no holder of the key signed."""
        self.committed: Record | None = None
        """The first ``held`` record of the leadership that was seen last: only its writer can reveal the secret."""
        self.committed_since: Instant | None = None
        """When it arrived here."""
        self.since: Instant | None = None
        """When the present record arrived here first."""
        self.trusted_since: Instant | None = None
        """Since when this connection has shown nothing that speaks of a store that forgot."""
        self.highest = 0
        """The highest epoch that any record that is believed ever showed this node. Where there is a key, only what
        was signed with it is believed. A vacant mark never is: anybody who may write to the store can leave one."""
        self.fenced = 0
        """The epoch that the database showed this node last: a reason to go above. It says nothing of who has the
        store's vote, so it is none to doubt a lower record, and the release of whoever was shut out is believed. Not
        the highest ever: what an administrator puts right there is right, and whoever goes below is refused there."""
        self.shown = 0
        """The highest epoch of records that are not believed, up to :data:`SHOWN_MAX`: one more reason to go above."""
        self.heard = 0
        """The highest epoch that members say was tried, as far as followed: one more reason to go above."""

    def connected(self, connection: int, identity: str, now: Instant, extra_wait_us: int = 0) -> None:
        """A new connection: all waits begin anew, but the one for another identity where it is proven the same."""
        if not identity or identity != self.identity or self.identity_since is None:
            self.identity_since = now
        self.connection = connection
        self.identity = identity
        self.extra_wait_us = extra_wait_us
        self._forget()
        self.trusted_since = now

    def disconnected(self) -> None:
        """The connection is gone, and with it everything that was watched over it."""
        self.connection = None
        self._forget()
        self.trusted_since = None

    def _forget(self) -> None:
        self.record = self.since = self.committed = self.committed_since = None
        self.is_unsigned = False

    def see(self, record: Record, was_absent: bool, now: Instant) -> None:
        """The store showed ``record``; ``was_absent`` when no record stood there before this very reading."""
        before = self.record
        if record != before:
            says_something = record.state is not RecordState.VACANT
            self.is_unsigned = says_something and self.seal is not None and not is_genuine(record, self.seal)
            if was_absent or self._went_back(record, before):
                self.trusted_since = now
            self.record = record
            self.since = now
            self._look_for_commitment(record, now)
        if self.believes and not self.is_unsigned and record.state is not RecordState.VACANT:
            self.highest = max(self.highest, record.epoch)
        else:
            self.shown = max(self.shown, min(record.epoch, SHOWN_MAX))

    def learn(self, epoch: int) -> None:
        """Another witness of history, the database, was asked, and knows ``epoch``."""
        self.fenced = epoch

    def hear(self, epoch: int, first_hand: int = 0) -> None:
        """A member has promised for ``epoch`` once; whether anybody came to lead by that is not known.

        ``first_hand``: what the own vote knows. What was heard before is not: else each word would add to the last.
        """
        self.heard = max(self.heard, min(epoch, max(SHOWN_MAX, self.highest, first_hand) + HEARD_MAX))

    @property
    def known(self) -> int:
        """The highest epoch of which there is any word, believed or not: whoever fixes one goes above it."""
        return max(self.highest, self.fenced, self.shown, self.heard)

    @property
    def server(self) -> str:
        """The server process with this history of data that the connection leads to; without a name: the connection.
        It never forgets while it lives."""
        return self.identity or f"connection {self.connection}"

    def is_revealed(self, record: Record) -> bool:
        """Whether ``record`` reveals the secret to which the ``held`` record before it committed its writer."""
        return self.committed is not None and reveals(record, self.committed, self.seal)

    def is_own(self, record: Record) -> bool:
        """Whether the watching process wrote it, if anybody did."""
        return bool(self.life) and record.boot_id == self.life

    def has_seen_held(self, record: Record) -> bool:
        """Whether the leadership that was seen last is that of ``record``."""
        return self.committed is not None and record.is_of_same(self.committed)

    def committed_us(self, now: Instant) -> int:
        """For how long the commitment of the present leadership has been known; 0 when it is not."""
        return 0 if self.committed_since is None else now - self.committed_since

    def silent_us(self, now: Instant) -> int:
        """For how long the present record has stood unchanged; 0 when nothing was seen yet."""
        return 0 if self.since is None else now - self.since

    def trusted_us(self, now: Instant) -> int:
        """For how long the connection has shown nothing odd."""
        return 0 if self.trusted_since is None else now - self.trusted_since

    def _went_back(self, record: Record, before: Record | None) -> bool:
        if record.state is RecordState.VACANT or self.is_unsigned or record.epoch < self.highest:
            return True
        if before is None or record.epoch > before.epoch:
            return False
        if record.epoch < before.epoch or record.seq <= before.seq:
            return True
        return before.state is not RecordState.VACANT and not record.is_of_same(before)  # two of one epoch

    def _look_for_commitment(self, record: Record, now: Instant) -> None:
        if record.state is not RecordState.HELD or self.is_unsigned:
            return
        before, digits = self.committed, 0 if self.seal is None else SEAL_DIGITS
        is_same = before is not None and record.is_of_same(before)
        if before is None or not is_same or _bare(record, digits) != _bare(before, digits):
            self.committed, self.committed_since = record, now


def _bare(record: Record, seal_digits: int) -> str:
    return record.nonce[: len(record.nonce) - seal_digits]
