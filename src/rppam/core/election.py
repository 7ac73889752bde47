"""The election: who leads, decided by one node for itself.

**The rule.** A node leads while it holds unexpired promises worth more than half of all votes. A promise is
time-bounded: "for the next L, I support nobody else". Here the votes are the store's, given by the leadership record,
and the node's own.

**Theory.** Two nodes never compare clocks; each trusts only its own boot-time clock, and only its *rate*, to within r.
A holder writes the record every heartbeat and may act for D after it *sent* the last write that was confirmed. A
candidate must see the same record unchanged for L after it *arrived*. Since L >= D (1 + r) / (1 - r) + drop, the holder
has stopped and dropped the address before the candidate is allowed to write. Each write is a compare-and-set against
exactly the record last read, so a pause between reading and writing is harmless, and a write that arrives late changes
nothing, or is a record that gives nobody permission.

**What a reply can be.** Granted, found (not granted: the record says something else), or unknown. Unknown is never yes
and never no.

**What this does not promise.** It cannot stop a paused process from believing what it likes when it wakes between two
instructions: that is why every guarded write carries ``(epoch, boot id)`` and is refused by the place written to once a
newer epoch was there. It does not survive a hypervisor that stops the boot-time clock of a guest. With the record as
the only arbiter, no store means no leader, by design.

The clauses: :class:`Rules`. What a candidate saw: :class:`Watch`. Counter-examples are sought by ``rppam simulate``.
"""

from typing import NamedTuple

from rppam.core.effects import (
    NO_EPOCH_LEFT,
    ClaimEpoch,
    Connected,
    Disconnected,
    Effect,
    EpochClaimed,
    EpochLearned,
    Event,
    Exchange,
    Found,
    Granted,
    LearnEpoch,
    Promoted,
    Purpose,
    Quiesced,
    ReleaseHeard,
    StandAgain,
    StandDown,
    StepDownReason,
    SteppedDown,
    Swap,
    Told,
    Unknown,
)
from rppam.core.phase import Phase
from rppam.core.rules import Rules
from rppam.core.votes import SELF, STORE, STORE_AND_SELF, Ledger
from rppam.core.watch import Watch
from rppam.domain.entropy import Entropy
from rppam.domain.fence import Fenced
from rppam.domain.instant import US_PER_S, Instant, after
from rppam.domain.record import EPOCH_MAX, Record, RecordState, vacant
from rppam.domain.timing import Timing


class _Sent(NamedTuple):
    request: int
    swap: Swap | None
    at: Instant


class Election:
    """One node's part in the election. Drive it as :class:`rppam.core.machine.Machine` says."""

    def __init__(
        self, node: str, boot_id: str, timing: Timing, entropy: Entropy, *, now: Instant, rules: Rules | None = None
    ) -> None:
        self.node = node
        self.boot_id = boot_id
        self.timing = timing
        self.rules = rules or Rules(timing)
        self.watch = Watch()
        self.ledger = Ledger(STORE_AND_SELF)
        self.phase = Phase.STANDBY
        self.epoch = 0
        """The epoch this node leads at, stands for, or led at last."""
        self.electable = True
        self._entropy = entropy
        self._own: Record | None = None
        """What this node's record said when it was last confirmed."""
        self._nonce = ""
        self._sent: _Sent | None = None
        self._seq = self._requests = self._attempts = self._tried = 0
        self._next_exchange = now
        self._hurried = False
        self._step_until = now
        self._back_off_until = now
        self._stalled_at: Instant | None = None
        self._polled = now

    # ---- questions --------------------------------------------------------------------------------------------------

    def permission(self, now: Instant) -> int | None:
        """The epoch at which this node may act at this very moment, or ``None``. Ask again for each act."""
        if self.phase is Phase.LEADER and self.rules.has_permission(self.ledger.deadline, now):
            return self.epoch
        return None

    def leader(self, now: Instant) -> tuple[str, int] | None:
        """Name and epoch of the leader as far as this node knows; ``None`` when there is none or it is not known."""
        if self.permission(now) is not None:
            return self.node, self.epoch
        record = self.watch.record
        if record is None or record.state is not RecordState.HELD or record.boot_id == self.boot_id:
            return None
        return (record.holder, record.epoch) if self.watch.silent_us(now) <= self.rules.lease_us else None

    def deadline(self) -> Instant:
        """When to be polled next, at the latest."""
        wake = self._next_exchange
        if self._sent is not None:
            wake = after(self._sent.at, self.timing.request_timeout_us)
        elif self.watch.connection is None:
            wake = after(self._polled, US_PER_S)
        if self.phase is Phase.LEARNING:
            wake = self._step_until
        elif self.phase is Phase.CLAIMING:
            wake = min(wake, self._step_until)
        elif self.phase is Phase.LEADER and self.ledger.deadline is not None:
            wake = min(wake, self.ledger.deadline)
        elif self.phase is Phase.STANDBY and self.electable and self._sent is None and self._stalled_at is None:
            take_at = self.rules.take_at(self.watch)
            if take_at is not None:
                wake = min(wake, max(take_at, self._back_off_until))
        return wake

    # ---- time -------------------------------------------------------------------------------------------------------

    def poll(self, now: Instant) -> list[Effect]:
        """Time passed."""
        effects: list[Effect] = []
        self._notice_stall(now, effects)
        return self._act(now, effects)

    def _act(self, now: Instant, effects: list[Effect]) -> list[Effect]:
        self._polled = now
        if self.phase is Phase.LEADER and not self.rules.has_permission(self.ledger.deadline, now):
            self._step_down(StepDownReason.PROMISE_ENDED, self._why_ended(now), effects)
        if self._sent is not None and now - self._sent.at >= self.timing.request_timeout_us:
            self._lost(self._sent, now)
        if self.phase is Phase.LEARNING and now >= self._step_until:
            self._ask(None, None, now, effects)
        elif self.phase is Phase.CLAIMING and now >= self._step_until:
            self._lead(now, effects)
        elif self.phase is Phase.STANDBY and self._may_stand(now):
            self._learn(now, effects)
        idle = self._sent is None and self.phase is not Phase.LEARNING  # one request is under way at most
        if idle and self.watch.connection is not None and now >= self._next_exchange:
            self._exchange(self._routine(now), now, effects)
        return effects

    def _notice_stall(self, now: Instant, effects: list[Effect]) -> None:
        """TILT: a loop that ran late may have missed anything, so it reads before it acts."""
        late_us = now - max(self.deadline(), self._polled)
        if late_us > self.timing.heartbeat_us and self._stalled_at is None:
            self._stalled_at = now
            effects.append(Told(f"stalled for {late_us // 1000} ms: this node watches, and acts when it caught up"))

    # ---- events -----------------------------------------------------------------------------------------------------

    def receive(self, event: Event, now: Instant) -> list[Effect]:
        """Something happened."""
        effects: list[Effect] = []
        self._notice_stall(now, effects)
        match event:
            case Granted() | Found() | Unknown():
                self._replied(event, now, effects)
            case Connected(number, identity, extra_wait_us):
                if self._sent is not None:
                    self._lost(self._sent, now)
                self.watch.connected(number, identity, now, extra_wait_us)
                self._hurry(now)
            case Disconnected(number):
                if number == self.watch.connection:
                    if self._sent is not None:
                        self._lost(self._sent, now)
                    self.watch.disconnected()
            case EpochLearned(attempt, highest, wall_ms):
                if self.phase is Phase.LEARNING and attempt == self._attempts:
                    self._ask(highest, wall_ms, now, effects)
            case EpochClaimed(attempt, outcome):
                if self.phase is Phase.CLAIMING and attempt == self._attempts:
                    self._claimed(outcome, now, effects)
            case Quiesced(epoch):
                if self.phase is Phase.QUIESCING and epoch == self.epoch:
                    self.phase = Phase.STANDBY
                    self._hurry(now)
            case ReleaseHeard():
                self._hurry(now)
            case StandDown(why):
                self.electable = False
                if self.phase is Phase.LEADER:
                    self._step_down(StepDownReason.ASKED, why, effects)
                elif self.phase is not Phase.QUIESCING:
                    self._give_up(now)
            case StandAgain():
                self.electable = True
        return self._act(now, effects)

    def _replied(self, event: Granted | Found | Unknown, now: Instant, effects: list[Effect]) -> None:
        sent = self._sent
        if sent is None or event.request != sent.request:
            return  # a reply that nobody waits for counts for nothing
        if isinstance(event, Unknown) and not self.rules.unknown_is_granted():
            self._lost(sent, now)
            return
        self._sent = None
        self._next_exchange = now if self._hurried else after(sent.at, self.timing.heartbeat_us)
        self._hurried = False
        if self._stalled_at is not None and sent.at >= self._stalled_at:
            self._stalled_at = None
        if isinstance(event, Found):
            self.watch.see(event.record, event.was_absent, now)
            self._found(sent, event.record, now, effects)
        elif sent.swap is not None:
            self.watch.see(sent.swap.proposed, was_absent=False, now=now)
            self._granted(sent.swap, sent.at, now, effects)

    def _lost(self, sent: _Sent, now: Instant) -> None:
        """A request is given up as unknown. Its write may still be made: reading will show."""
        self._sent = None
        self._next_exchange = max(now, after(sent.at, self.timing.heartbeat_us))
        self._hurried = False
        if self.phase is Phase.ASKING:
            self._give_up(now)

    def _hurry(self, now: Instant) -> None:
        """The next round trip is due now, or as soon as the one under way is over."""
        self._next_exchange = now
        self._hurried = self._sent is not None

    # ---- the holder -------------------------------------------------------------------------------------------------

    def _granted(self, swap: Swap, sent_at: Instant, now: Instant, effects: list[Effect]) -> None:
        if swap.purpose is Purpose.ACQUIRE and self.phase is Phase.ASKING:
            self._own = swap.proposed
            self._count(sent_at, now)
            self.phase = Phase.CLAIMING
            self._step_until = after(now, self.timing.request_timeout_us // 2)
            effects.append(ClaimEpoch(self._attempts, self.epoch))
        elif self.phase is Phase.LEADER and swap.purpose in {Purpose.RENEW, Purpose.RECREATE}:
            self._own = swap.proposed
            if self.rules.write_counts(swap.purpose, self.ledger.deadline, now):
                self._count(sent_at, now)
                if swap.purpose is Purpose.RECREATE:
                    effects.append(Told(f"wrote the leadership record anew at epoch {self.epoch}; leadership is kept"))

    def _count(self, sent_at: Instant, now: Instant) -> None:
        until = self.rules.promised_until(sent_at, now)
        self.ledger.promise(STORE, until)
        self.ledger.promise(SELF, until)

    def _found(self, sent: _Sent, found: Record, now: Instant, effects: list[Effect]) -> None:
        """The store did not write, and showed what stands there."""
        if self.phase is Phase.ASKING and sent.swap is not None:
            self._give_up(now)
        elif self.phase is Phase.LEADER:
            if self.rules.is_own(found, self.node, self.boot_id, self.epoch) and found.state is RecordState.HELD:
                self._own = found  # an earlier write of mine, of which I had no reply, or one that came back
            elif self.rules.may_rewrite(found, self.epoch):
                self._own = None
            else:
                why = f"the record shows {found.holder} at epoch {found.epoch}; mine was {self.epoch}"
                self._step_down(StepDownReason.REPLACED, why, effects)
            if sent.swap is None or sent.swap.expected != found:
                self._hurry(now)  # there is something to write now; refused again, the next heartbeat is soon enough

    def _renewal(self, now: Instant) -> Swap | None:
        """What the leader writes now."""
        if not self.rules.has_permission(self.ledger.deadline, now):
            return None
        if self._own is not None:
            return self._swap(self._own, RecordState.HELD, Purpose.RENEW)
        if self.watch.record is None:  # a fresh connection: read first
            return None
        self._seq = self.rules.seq_after_loss(self._seq)
        return self._swap(self.watch.record, RecordState.HELD, Purpose.RECREATE)

    def _swap(self, expected: Record, state: RecordState, purpose: Purpose, epoch: int | None = None) -> Swap:
        self._seq = self.rules.next_seq(self._seq, expected)
        nonce = self._nonce if state is RecordState.HELD else self._entropy.nonce()
        proposed = Record(state, self.node, self.boot_id, self.epoch if epoch is None else epoch, self._seq, nonce)
        return Swap(expected, proposed, purpose)

    def _step_down(self, reason: StepDownReason, why: str, effects: list[Effect]) -> None:
        """Permission ends here, before anything else happens; the release waits until everything has stopped."""
        self.ledger.clear()
        self.phase = Phase.QUIESCING
        self._own = None
        effects.append(SteppedDown(self.epoch, reason, f"stepping down from epoch {self.epoch}: {why}"))

    def _why_ended(self, now: Instant) -> str:
        silent_ms = 0 if self.ledger.deadline is None else (now - self.ledger.deadline) // 1000 + self.timing.promise_ms
        return f"no write was confirmed by the store for {silent_ms} ms, and nobody may act longer than promised"

    # ---- the candidate ----------------------------------------------------------------------------------------------

    def _may_stand(self, now: Instant) -> bool:
        return (
            self.electable
            and self._sent is None
            and self._stalled_at is None
            and now >= self._back_off_until
            and self.rules.may_take(self.watch, now)
        )

    def _learn(self, now: Instant, effects: list[Effect]) -> None:
        self._attempts += 1
        self.phase = Phase.LEARNING
        self._step_until = after(now, self.timing.request_timeout_us // 2)
        effects.append(LearnEpoch(self._attempts))

    def _ask(self, highest: int | None, wall_ms: int | None, now: Instant, effects: list[Effect]) -> None:
        """Fix the epoch, then ask the store for its vote for exactly that epoch."""
        if highest is not None:
            self.watch.learn(highest)
        record = self.watch.record
        epoch = self.rules.pick_epoch(self.watch, self._tried, highest, wall_ms or 0)
        if epoch > EPOCH_MAX > self._tried:
            self._tried = EPOCH_MAX  # told once in a life
            effects.append(NO_EPOCH_LEFT)
        if record is None or wall_ms is None or epoch > EPOCH_MAX or not self.rules.may_take(self.watch, now):
            self._give_up(now)
            return
        self.phase = Phase.ASKING
        self.epoch = self._tried = epoch
        self._seq = 0
        self._nonce = self._entropy.nonce()
        self._own = None
        self._exchange(self._swap(record, RecordState.HELD, Purpose.ACQUIRE), now, effects)

    def _claimed(self, outcome: Fenced, now: Instant, effects: list[Effect]) -> None:
        if outcome is Fenced.REFUSED:
            effects.append(Told(f"the database knows a newer epoch than {self.epoch}; standing again above it"))
            self._give_up(now)
        else:
            self._lead(now, effects)

    def _lead(self, now: Instant, effects: list[Effect]) -> None:
        if not self.rules.write_counts(Purpose.ACQUIRE, self.ledger.deadline, now):
            self._give_up(now)
            return
        self.phase = Phase.LEADER
        effects.append(Promoted(self.epoch, f"{self.node} leads at epoch {self.epoch}"))

    def _give_up(self, now: Instant) -> None:
        """The attempt is over: its epoch is never used again, and its record, if it stands, is released when seen."""
        self.ledger.clear()
        self._own = None
        self.phase = Phase.STANDBY
        self._attempts += 1
        self._back_off_until = after(now, self._entropy.below(max(1, min(US_PER_S, self.timing.lease_us // 4))))
        if self._sent is None:
            self._next_exchange = max(now, self._next_exchange)

    # ---- the round trip ---------------------------------------------------------------------------------------------

    def _routine(self, now: Instant) -> Swap | None:
        """What the next round trip is for."""
        if self.phase is Phase.LEADER:
            return self._renewal(now)
        record = self.watch.record
        if (
            self.phase is Phase.STANDBY
            and record is not None
            and record.state is RecordState.HELD
            and self.rules.is_own(record, self.node, self.boot_id, record.epoch)
        ):
            # Mine, but I do not lead by it: an attempt given up, a write that arrived late, or a leadership that ended.
            self._seq = max(self._seq, record.seq)
            return self._swap(record, RecordState.RELEASED, Purpose.RELEASE, record.epoch)
        return None

    def _exchange(self, swap: Swap | None, now: Instant, effects: list[Effect]) -> None:
        self._requests += 1
        self._sent = _Sent(self._requests, swap, now)
        effects.append(Exchange(self._requests, swap, self.mark()))

    def mark(self) -> Record:
        """What to leave where no record is: the highest epoch known to have led, and a fresh nonce."""
        led = self.epoch if self.phase is Phase.LEADER else 0
        return vacant(max(self.watch.highest, led), self._entropy.nonce())
