"""The clauses of the rule, one method each.

They stand apart from the machine so that each can be read, cited and broken on its own: the simulation plants a bug by
replacing exactly one of these methods, and must then find a violation. See docs/leadership.md for why each is there.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from rppam.cluster.consensus.clock_rates import Rates
from rppam.cluster.consensus.effects import Purpose, Swap
from rppam.cluster.consensus.lease_observer import SHOWN_MAX, LeaseObserver
from rppam.cluster.consensus.ledger import Ledger
from rppam.cluster.consensus.membership import STORE
from rppam.cluster.consensus.record import Record, RecordState
from rppam.cluster.consensus.timing import Timing
from rppam.kernel.instant import Instant, after

if TYPE_CHECKING:
    from rppam.cluster.consensus.lease_writer import LeaseWriter

SLOWEST: Final = 0.1
"""A clock that may run slower than this, to 1 of this host's, is waited for as if it stood still: while it answers for
ever, and once it has gone like one that runs at this rate."""
FOR_EVER_US: Final = 10**15


class Rules:
    """The rule of leadership on the store's vote."""

    __slots__ = ("lease_us", "promise_us", "timing")

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.lease_us = timing.lease_us
        self.promise_us = timing.promise_us

    # ---- the holder -------------------------------------------------------------------------------------------------

    def promised_until(self, sent: Instant, arrived: Instant) -> Instant:  # noqa: ARG002  # what the rule ignores
        """A promise runs from before the request was sent: the store may have counted it at any moment since."""
        return after(sent, self.promise_us)

    def has_permission(self, deadline: Instant | None, now: Instant) -> bool:
        """Permission is a comparison made at the moment of acting. It ends without any input."""
        return deadline is not None and now < deadline

    def write_counts(self, purpose: Purpose, deadline: Instant | None, now: Instant) -> bool:  # noqa: ARG002
        """A write, whatever its purpose, that is confirmed after the holder's own deadline counts for nothing."""
        return self.has_permission(deadline, now)

    def store_still_promises(self, ledger: Ledger, now: Instant) -> bool:
        """Only while the store's promise runs may a leader write its record again without having watched it."""
        return ledger.holds(STORE, now)

    def store_counts(self, rates: Rates, others: Collection[str], rivals: Collection[str]) -> bool:
        """Whose clock is off neither counts the store's promise as a leader nor asks for it as a candidate."""
        return not rates.is_own_off(others, rivals)

    def may_rewrite(self, found: Record, epoch: int) -> bool:
        """Within its promise a holder re-creates over a vacant record, and overwrites an older one that came back.

        A vacant mark may name a higher epoch than the holder's: somebody tried that epoch, which stops nobody.
        """
        return found.state is RecordState.VACANT or found.epoch < epoch

    def next_seq(self, own: int, found: Record) -> int:  # noqa: ARG002  # what the rule ignores
        """The holder's own counter, never "what stands in the store, plus one": no value is ever written twice."""
        return own + 1

    def seq_after_loss(self, own: int) -> int:
        """The counter goes on after a re-creation; else a reader could take the new record for the old one."""
        return own

    def is_unsigned(self, watch: LeaseObserver) -> bool:
        """Where members have a key, a record that none of them signed is worth what a vacant mark is."""
        return watch.is_unsigned

    def is_put_back(self, pen: "LeaseWriter", found: Record, server: str) -> bool:
        """One server never forgets while it lives: what this node wrote over there comes back only if somebody puts it
        back. Others may then see silence where there is none, so what the store confirms is no promise any more."""
        return pen.wrote_over(found, server)

    def is_own(self, found: Record, holder: str, boot_id: str, epoch: int) -> bool:
        """A record is this holder's only if it names the node, this very life of it, and this epoch."""
        return found.is_of(holder, boot_id, epoch)

    # ---- the candidate ----------------------------------------------------------------------------------------------

    def may_take(self, watch: LeaseObserver, now: Instant) -> bool:
        """The store's vote may be asked for: the record was silent for a whole lease, or was released on purpose."""
        record = watch.record
        if record is None or not self.identity_is_settled(watch, now):
            return False
        return watch.silent_us(now) > self.silence_us(watch) or self.release_is_believed(watch, record, now)

    def silence_us(self, watch: LeaseObserver) -> int:
        """How long a record has to be silent: L; behind a failover longer, by as long as a replica that was not told of
        it may confirm what is written to the primary of before. Within its promise, so almost until L after the write
        that was seen, the holder may have gone on to the next. And longer, as its clock may run slower."""
        return self.lease_us + watch.extra_wait_us + watch.longer_us

    def longer_us(self, rates: Rates, rivals: Collection[str], now: Instant) -> int:
        """How much longer than L to wait, as the clock of a rival runs slower than this host's. Whoever may not lead
        never holds the store's promise, so nobody waits for the clock of a witness."""
        slowest = min((self.worst_rate(rates, name, now) for name in rivals), default=1.0)
        return int(self.lease_us * (1 / slowest - 1)) if slowest >= SLOWEST else FOR_EVER_US

    def worst_rate(self, rates: Rates, rival: str, now: Instant) -> float:
        """How slow a rival's clock is taken for, at the worst.

        By one that stands still a promise never ends. Whoever has it and answers can be restarted, so it is waited for.
        Of whoever has gone nobody may ever hear again. It is waited for no longer than a promise lasts by the slowest
        clock that is waited out: for so long it must not have answered, and then the record be silent for as long. That
        is a bound and no proof: a host that lives on, reaches nobody and is slower than that is the fence's business,
        as any whose clock stands still without a word. What was measured above the bound is obeyed in full.
        """
        has_gone = rates.silent_us(rival, now) > self.lease_us / SLOWEST
        return max(rates.slowest((rival,)), SLOWEST if has_gone else 0.0)

    def release_is_believed(self, watch: LeaseObserver, record: Record, now: Instant) -> bool:
        """A release shortens the wait only on a connection watched for a lease, if no higher epoch is known, and if it
        is proven to be its holder's."""
        believed_at = self._believed_at(watch, record)
        return believed_at is not None and now >= believed_at

    def is_proven(self, watch: LeaseObserver, record: Record) -> bool:
        """A release proves that the holder wrote it: it reveals the secret that the holder's ``held`` records commit it
        to, and where there is a key, it is signed. Who signed it is known also where nobody saw it held."""
        if watch.seal is None:
            return watch.is_revealed(record)
        return not self.is_unsigned(watch) and (watch.is_revealed(record) or not watch.has_seen_held(record))

    def proven_since(self, watch: LeaseObserver, record: Record) -> Instant | None:
        """From when on nobody but the present holder can have led beside it. Without a key whoever writes to the store
        may put up a ``held`` record with a secret of his own: so the commitment has to be a lease old itself, as long
        as the leader of before may not have noticed. What this process committed to is its own."""
        needs_no_age = watch.seal is not None or watch.is_own(record)
        return watch.trusted_since if needs_no_age else watch.committed_since

    def _believed_at(self, watch: LeaseObserver, record: Record) -> Instant | None:
        if record.state is not RecordState.RELEASED or record.epoch < watch.highest or watch.trusted_since is None:
            return None
        proven_since = self.proven_since(watch, record)
        if proven_since is None or not self.is_proven(watch, record):
            return None
        return after(max(watch.trusted_since, proven_since), self.lease_us + watch.longer_us + 1)

    def is_release_worth_it(self, watch: LeaseObserver, record: Record, now: Instant) -> bool:
        """Whoever sees a release that it does not believe waits for L from then on, and no longer from the write of
        before. So one that nobody would believe is written only where it costs no more than a heartbeat."""
        return record.epoch >= watch.highest or watch.silent_us(now) <= self.timing.heartbeat_us

    def identity_is_settled(self, watch: LeaseObserver, now: Instant) -> bool:
        """Behind a failover the server of before may have confirmed the holder for a while longer: L after that.

        And as long again: in another failover the holder may go on from there to the server after this one, which gave
        way just then and is still confirmed, too.
        """
        settled_at = self._settled_at(watch)
        return settled_at is None or now > settled_at

    def _settled_at(self, watch: LeaseObserver) -> Instant | None:
        if watch.extra_wait_us == 0 or watch.identity_since is None:
            return None
        return after(watch.identity_since, self.lease_us + watch.longer_us + 2 * watch.extra_wait_us)

    def take_at(self, watch: LeaseObserver) -> Instant | None:
        """The earliest instant at which :meth:`may_take` can become true without further news; ``None``: not so."""
        record = watch.record
        if record is None or watch.since is None or watch.trusted_since is None:
            return None
        take_at = after(watch.since, self.silence_us(watch) + 1)
        believed_at = self._believed_at(watch, record)
        take_at = take_at if believed_at is None else min(take_at, believed_at)
        settled_at = self._settled_at(watch)
        return take_at if settled_at is None else max(take_at, after(settled_at, 1))

    def pick_epoch(self, watch: LeaseObserver, tried: int, database: int | None, wall_ms: int) -> int:
        """One more than the highest epoch anybody shows or this life tried, and not below the wall clock: as far as one
        can be right."""
        return max(1 + max(watch.known, tried, database or 0), min(wall_ms, SHOWN_MAX))

    def is_of_attempt(self, swap: Swap, epoch: int) -> bool:
        """What the store says to a write counts only for the attempt, or the leadership, that sent it."""
        return swap.proposed.epoch == epoch

    def may_claim(self, deadline: Instant | None, now: Instant) -> bool:
        """Nobody writes an epoch to the database without a majority at that moment: it shuts out every lower one."""
        return self.has_permission(deadline, now)

    def is_above(self, record: Record, epoch: int) -> bool:
        """The store's vote is asked for only at an epoch above its record's, as a member's is: since this epoch was
        fixed, somebody may have led at a higher one. A vacant mark is believed as far as it raised this epoch."""
        believed = min(record.epoch, SHOWN_MAX) if record.state is RecordState.VACANT else record.epoch
        return believed < epoch

    def unknown_is_granted(self) -> bool:
        """No reply is never yes."""
        return False
