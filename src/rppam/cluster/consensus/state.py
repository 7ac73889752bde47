"""What survives a phase of the election, and what every phase is made of.

Each phase is an object with a state of its own, in ``candidate.py`` and ``holder.py``. What more than one of them needs
stands here: who this node is, what it has seen of the record, what it asked the members, its own vote, when it talks to
the store, and what it wants done. Nobody outside of these files writes any of it.
"""

from collections.abc import Callable
from typing import ClassVar

from rppam.cluster.consensus.effects import Effect, Free, Phase, Purpose, Swap, Told
from rppam.cluster.consensus.lease import Identity, LeaseObserver, LeaseWriter, Sent
from rppam.cluster.consensus.membership import NO_CLUSTER, RECORD_ALONE, Membership, Wanted
from rppam.cluster.consensus.messages import Candidacy, Freeing, Vote, VoteRequestKind
from rppam.cluster.consensus.peers import Peers
from rppam.cluster.consensus.promises import STORE, Promises, Weights
from rppam.cluster.consensus.record import Record, RecordState, Seal
from rppam.cluster.consensus.rules import Rules
from rppam.cluster.consensus.standing import Pace, Standing
from rppam.cluster.consensus.vote import Voter
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import US_PER_S, Instant, after


class State:
    """What survives a phase, and the present phase."""

    def __init__(
        self,
        me: Identity,
        rules: Rules,
        voter: Voter,
        entropy: Entropy,
        begin: "Callable[[State], PhaseState]",
        *,
        now: Instant,
        seal: Seal | None,
        electable: bool,
        paused: bool,
    ) -> None:
        """``begin``: how the first phase begins, to which every other one leads back."""
        self.me = me
        self.rules = rules
        self.voter = voter
        self.begin = begin
        self.standing = Standing(entropy, now, electable=electable, paused=paused)
        self.membership: Membership = voter.vote.membership or NO_CLUSTER
        self.weights: tuple[Weights, ...] = ()
        """The votes of everybody whose majority is needed."""
        self.lease = LeaseObserver(me, seal)
        self.writer = LeaseWriter(me, entropy, rules.lease, seal)
        self.peers = Peers(me, now)
        self.pace = Pace(now)
        self.epoch = 0
        """The epoch this node leads at, stands for, or led at last: the highest that this life has tried."""
        self.attempts = 0
        self.out: list[Effect] = []
        """What is to be done."""
        self.weigh(self.membership)
        self.phase: PhaseState = begin(self)

    # ---- votes ------------------------------------------------------------------------------------------------------

    def weigh(self, membership: Membership) -> None:
        """Other votes count from now on."""
        self.membership = membership
        self.weights = tuple(voters.weights for voters in self.rules.membership.voter_sets(membership))
        self.lease = self.lease._replace(believes=self.store_has_vote)

    @property
    def is_record_alone(self) -> bool:
        """Whether the record alone decides: no member has a vote."""
        return self.membership is RECORD_ALONE

    @property
    def store_has_vote(self) -> bool:
        """Whether the store's vote counts for anything."""
        return self.rules.membership.store_has_vote(*self.weights)

    @property
    def store_counts(self) -> bool:
        """Whether the store's promise is worth anything to this node: not while its clock is off."""
        rates, others = self.peers.rates, self.others
        rivals = [name for name in others if self.membership.may_stand(name)]
        return not rates.off or self.rules.leadership.store_counts(rates, others, rivals)

    @property
    def others(self) -> tuple[str, ...]:
        """All members but this node."""
        return tuple(name for name in self.membership.members if name != self.me.node)

    @property
    def rivals(self) -> tuple[str, ...]:
        """Everybody else who may hold the store's promise: who may lead by the present list, or the one before."""
        return tuple(name for name in self.others if self.membership.may_lead(name))

    @property
    def highest_led(self) -> int:
        """The highest epoch at which somebody is known to have led."""
        return self.lease.epochs.led if self.is_record_alone else self.voter.vote.followed

    def permission(self, now: Instant) -> int | None:
        """The epoch at which this node may act at this very moment, or ``None``."""
        leads = self.phase.name is Phase.LEADER
        return self.epoch if leads and self.may_act(now) else None

    def may_act(self, now: Instant) -> bool:
        """Return whether the promises at hand are a majority now."""
        return self.rules.leadership.has_permission(self.phase.promises.deadline, now)

    def obey_clocks(self, now: Instant) -> None:
        """Whatever is known of rates is obeyed at once: also what was promised before counts for nothing then."""
        rates = self.peers.rates
        if not rates.off and not self.lease.longer_us:
            return
        longer_us = self.rules.leadership.longer_us(rates, self.rivals, now)
        if longer_us != self.lease.longer_us:
            self.lease = self.lease._replace(longer_us=longer_us)
        for name in rates.off:
            self.phase.promises.withdraw(name)
        if not self.store_counts:
            self.phase.promises.withdraw(STORE)

    # ---- the members ------------------------------------------------------------------------------------------------

    @property
    def candidacy(self) -> Candidacy:
        """What this node asks promises for."""
        return Candidacy(self.me.node, self.me.boot_id, self.epoch)

    def put(self, kind: VoteRequestKind, to: tuple[str, ...], now: Instant) -> None:
        """Ask these members."""
        if self.membership.members:
            self.out.extend(self.peers.put(kind, self.candidacy, self.membership, to, now))

    def free(self) -> None:
        """Give every promise for this epoch back, also those that have not arrived yet."""
        self.out.extend(Free(name, Freeing(self.candidacy)) for name in self.membership.members)

    # ---- the store --------------------------------------------------------------------------------------------------

    def hurry(self, now: Instant) -> None:
        """The next round trip is due now, or as soon as the one under way is over."""
        self.pace.next = now
        self.pace.hurried = self.writer.sent is not None

    def exchange(self, swap: Swap | None, now: Instant) -> None:
        """Begin a round trip."""
        self.pace.asked_at = now
        self.out.append(self.writer.send(swap, self.mark(), now))

    def mark(self) -> Record:
        """What to leave where no record is: the highest epoch that was shown, as far as anybody believes a mark, and a
        fresh nonce."""
        epochs, led = self.lease.epochs, self.epoch if self.phase.name is Phase.LEADER else 0
        return self.writer.mark(max(epochs.led, epochs.fenced, epochs.shown, led))

    def lose(self, sent: Sent, now: Instant) -> None:
        """A request is given up as unknown. Its write may still be made: reading will show."""
        self.writer.sent = None
        self.pace.next = max(now, after(sent.at, self.me.timing.heartbeat_us))
        self.pace.hurried = False
        self.phase.lost(sent, now)

    def is_mine(self, found: Record, epoch: int) -> bool:
        """Return whether the record that was just read is this life's, of this epoch."""
        rules = self.rules.lease
        return rules.is_own(found, self.me.node, self.me.boot_id, epoch) and not rules.is_unsigned(self.lease)

    def acquisition(self, now: Instant) -> Swap | None:
        """The store's vote is asked for, if the record has been silent for long enough."""
        record = self.lease.record
        if record is None or not self.store_counts or not self.rules.lease.may_take(self.lease, now):
            return None
        return self.writer.swap(record, RecordState.HELD, Purpose.ACQUIRE, self.epoch)

    def to_release(self, now: Instant) -> Record | None:
        """The record, if it is mine but I do not lead by it: an attempt given up, a write that arrived late, or a
        leadership that ended."""
        record = self.lease.record
        if record is None or record.state is not RecordState.HELD or not self.is_mine(record, record.epoch):
            return None
        return record if self.rules.lease.is_release_worth_it(self.lease, record, now) else None

    def release(self, now: Instant) -> Swap | None:
        """The write that releases it."""
        record = self.to_release(now)
        if record is None:
            return None
        self.writer.seq = max(self.writer.seq, record.seq)
        return self.writer.swap(record, RecordState.RELEASED, Purpose.RELEASE, record.epoch)

    def count_store(self, sent_at: Instant, now: Instant) -> None:
        """The store has confirmed a write: its promise runs."""
        if self.store_counts:
            self.phase.promises.add(STORE, self.rules.leadership.promised_until(sent_at, now))

    def learn_fence(self, epoch: int) -> None:
        """The database was asked, and knows ``epoch``."""
        self.lease = self.lease._replace(epochs=self.lease.epochs._replace(fenced=epoch))

    def tell(self, sentence: str, *, is_warning: bool = False) -> None:
        """Leave a line in the log."""
        self.out.append(Told(sentence, is_warning))


class PhaseState:
    """One phase: what it has, when it wants to be polled, and what it makes of time, of answers and of other votes."""

    name: ClassVar[Phase] = Phase.STANDBY
    leads_to: ClassVar[tuple[Phase, ...]] = ()
    """The phases that may follow."""
    wants_promises: ClassVar[bool] = False
    """Whether promises for the own epoch are wanted, or may not be given back yet."""
    wanted: Wanted = Wanted()
    """What the members shall become, if this node leads and somebody asked for it."""
    keeps_writer_free: ClassVar[bool] = False
    """Whether nothing is read, as something will be written soon: one request is under way at most."""

    def __init__(self, state: State, promises: Promises | None = None) -> None:
        self.state = state
        self.promises = Promises() if promises is None else promises
        """Those for the own epoch."""

    def wake(self, due: Instant) -> Instant:
        """When to be polled next, if it were due at ``due`` for the store's sake."""
        return due

    def store_due(self) -> Instant:
        """When the store wants this node to be polled next."""
        state = self.state
        sent = state.writer.sent
        if sent is not None:
            return after(sent.at, state.me.timing.request_timeout_us)
        if state.lease.connection is None or self.keeps_writer_free:
            return after(state.pace.polled, US_PER_S)
        return state.pace.next

    # ---- time -------------------------------------------------------------------------------------------------------

    def expire(self, now: Instant) -> None:
        """What ends by time, before anything else is done."""

    def due(self, now: Instant) -> None:
        """What begins by time."""

    def ask_on(self, now: Instant) -> None:
        """What this phase still has to ask."""

    def routine(self, now: Instant) -> Swap | None:  # noqa: ARG002
        """What the next round trip to the store is for; ``None``: to read."""
        return None

    # ---- answers ----------------------------------------------------------------------------------------------------

    def found(self, sent: Sent, record: Record, now: Instant) -> None:
        """The store did not write, and showed what stands there."""

    def written(self, sent: Sent, swap: Swap, now: Instant) -> None:
        """The record was written, and not released. A write of an attempt or a leadership that is over is merely what
        stands there now."""

    def lost(self, sent: Sent, now: Instant) -> None:
        """A request to the store was given up as unknown."""

    def answered(self, vote: Vote, asked_at: Instant) -> None:
        """A member answered, whatever it said."""

    def granted(self, vote: Vote, asked_at: Instant, now: Instant) -> None:
        """A member granted what it was asked for, and its clock is right."""

    def reweighed(self, now: Instant) -> None:
        """Other votes count now."""


# ---- what several phases do ------------------------------------------------------------------------------------------


def may_stand(state: State, now: Instant) -> bool:
    """Return whether it would stand if it could: while failover is paused, only if invited, until somebody has led."""
    standing = state.standing
    return standing.electable and (not standing.paused or standing.is_invited(now, state.highest_led))


def release_soon(state: State, sent: Sent, now: Instant) -> None:
    """The record that was read may have to be released: the sooner that is done, the sooner somebody leads."""
    if sent.swap is None and state.to_release(now) is not None:
        state.hurry(now)


def give_up(state: State, now: Instant) -> None:
    """The attempt is over: its epoch is never used again, and its record, if it stands, is released when seen."""
    phase = state.phase
    if phase.wants_promises:
        state.free()
    asked_members = phase.name in {Phase.PREVOTE, Phase.VOTING}
    state.standing.hold_back(now, state.me.timing.lease_us, asked_members=asked_members)
    state.peers.open.clear()
    state.writer.own = None
    state.attempts += 1
    state.phase = state.begin(state)
    if state.writer.sent is None:
        state.pace.next = max(now, state.pace.next)
