"""The holder's part: how a leader stays, what it writes, and how it stops.

**Staying.** Every heartbeat the leader asks all members again and writes its record again; each answer that came in
time carries it for D from when the question was *sent*. **The record.** While the store's promise runs, the leader
renews its record, writes it anew where the store lost it, and overwrites an older one that a failover brought back.
After that its own name there is worth nothing: it takes the store's vote again as any candidate would, once the record
was silent for L. **Stopping.** Permission ends first; then everything that acts stops; then what was promised is given
back.

It does not decide when to stand: that is :class:`rppam.cluster.consensus.election.Election`, which is built on this.
"""

from typing import Final

from rppam.cluster.consensus.clock_rates import Rates
from rppam.cluster.consensus.effects import (
    AdoptMembership,
    Effect,
    Free,
    Invite,
    Purpose,
    RecordRefuted,
    StepDownReason,
    SteppedDown,
    Swap,
    Told,
)
from rppam.cluster.consensus.lease_observer import SHOWN_MAX, LeaseObserver
from rppam.cluster.consensus.lease_writer import LeaseWriter, Sent
from rppam.cluster.consensus.ledger import SELF, STORE_AND_SELF, Ledger, Weights
from rppam.cluster.consensus.membership import STORE, Membership
from rppam.cluster.consensus.membership_change import NOT_BEGUN, MembershipChange, is_an_order
from rppam.cluster.consensus.messages import Candidacy, Freeing, Invitation, Readiness, Vote, VoteRequestKind
from rppam.cluster.consensus.phase import Phase
from rppam.cluster.consensus.record import Record, RecordState, Seal, vacant
from rppam.cluster.consensus.record_challenge import PUT_BACK, RecordChallenge
from rppam.cluster.consensus.rules import Rules
from rppam.cluster.consensus.timing import Timing
from rppam.cluster.consensus.vote_requests import VoteRequests
from rppam.cluster.consensus.voter import Voter
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import Instant, after

CLOCK_SOURCE: Final = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
OWN_CLOCK: Final = (
    "this host's clock does not run at the rate of that of {names}, so neither their promises nor the vote of Redis "
    f"count for it. Check the clock source of these hosts (cat {CLOCK_SOURCE}) and restart the wrong one"
)
NO_ELECTORATE: Final[Weights] = {"": 1}
"""Votes of nobody: a node that belongs to no cluster yet never has a majority."""


class Holder:
    """What one node holds and writes. Made and driven as an :class:`rppam.cluster.consensus.election.Election`."""

    def __init__(
        self,
        node: str,
        boot_id: str,
        timing: Timing,
        entropy: Entropy,
        *,
        now: Instant,
        rules: Rules | None = None,
        voter: Voter | None = None,
        seal: Seal | None = None,
    ) -> None:
        """``voter``: this node's vote, where members vote; else the record alone decides. ``seal``: they sign it so."""
        self.node = node
        self.boot_id = boot_id
        self.timing = timing
        self.rules = rules or Rules(timing)
        self.voter = voter
        self.electorate: Membership | None = None if voter is None else voter.electorate
        self.watch = LeaseObserver()
        self.watch.seal, self.watch.life = seal, boot_id
        self.pen = LeaseWriter(node, boot_id, entropy, self.rules, seal)
        self.ballots = VoteRequests(timing)
        self.changes = MembershipChange()
        self.doubt = RecordChallenge()
        self.rates = Rates(timing)
        self.strangers: set[str] = set()
        """Members by name that turned out to belong to another cluster."""
        self.ledger = Ledger(*self._bodies())
        self.watch.believes = self.store_has_vote
        self.phase = Phase.STANDBY
        self.epoch = 0
        """The epoch this node leads at, stands for, or led at last."""
        self.electable = True
        self.paused = False
        """While automatic failover is paused nobody stands unless it is invited."""
        self.no_epoch = ""
        """Why no epoch could be picked when this node stood last, in a sentence; empty when one could."""
        self.unwilling: frozenset[str] = frozenset()
        """Members in maintenance, as far as their heartbeats tell; whether one is invited its own last vote says."""
        self.heard: dict[str, Instant] = {}
        """When each member last answered a ballot."""
        self.answers: dict[str, Vote] = {}
        """What each member last answered."""
        self.asked_at: dict[str, Instant] = {}  # when each was asked what it answered then
        self.succession: tuple[str, ...] = ()
        """Members in the order in which they are invited to follow this node; who is not named comes last."""
        self._granted_me: dict[str, int] = {}  # the highest epoch that each member granted this very life
        self._invitee = ""
        self._stopped_for = StepDownReason.ASKED
        self._would: set[str] = set()
        self._invited_until = self._ahead_until = self._passing_since = now
        self._entropy = entropy
        self._attempts = self._tried = self._passed_us = self._looks = self._invited_above = 0
        self._next_exchange = self._next_renewal = self._exchanged_at = self._next_confirmation = self._next_look = now
        self._step_until = self._back_off_until = self._polled = now
        self._hurried = False
        self._stalled_at: Instant | None = None

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
        told = None if self.voter is None else self.voter.leader(now)
        if told is not None and told.boot_id != self.boot_id:
            return told.candidate, told.epoch
        record = self.watch.record
        if record is None or record.state is not RecordState.HELD or record.boot_id == self.boot_id:
            return None
        can_lead = self.electorate is None or any(b.may_stand(record.holder) for b in self.electorate.bodies)
        if not can_lead or self.watch.is_unsigned:
            return None
        return (record.holder, record.epoch) if self.watch.silent_us(now) <= self.rules.lease_us else None

    @property
    def claim(self) -> Candidacy:
        """What this node asks promises for."""
        return Candidacy(self.node, self.boot_id, self.epoch)

    def _bodies(self) -> tuple[Weights, ...]:
        """The votes of everybody whose majority is needed."""
        if self.voter is None:
            return (STORE_AND_SELF,)
        if self.electorate is None:
            return (NO_ELECTORATE,)
        return tuple(body.weights for body in self.electorate.bodies)

    @property
    def store_has_vote(self) -> bool:
        """Whether the store's vote counts for anything."""
        return any(body.get(STORE, 0) for body in self._bodies())

    @property
    def store_counts(self) -> bool:
        """Whether the store's promise is worth anything to this node: not while its clock is off."""
        rivals = [name for name in self._others() if self.electorate is not None and self.electorate.may_stand(name)]
        return not self.rates.off or self.rules.store_counts(self.rates, self._others(), rivals)

    def _others(self) -> tuple[str, ...]:
        return tuple(name for name in self._members() if name != self.node)

    def _members(self) -> tuple[str, ...]:
        return () if self.electorate is None else self.electorate.members

    def _voters(self) -> tuple[str, ...]:
        """Everybody whose vote counts, the store among them."""
        return tuple(sorted({name for body in self._bodies() for name in body}))

    # ---- staying ----------------------------------------------------------------------------------------------------

    def _put(self, kind: VoteRequestKind, to: tuple[str, ...], now: Instant, effects: list[Effect]) -> None:
        if self.electorate is not None:
            effects.extend(self.ballots.put(kind, self.claim, self.electorate, to, now))

    def _renew_members(self, now: Instant, effects: list[Effect]) -> None:
        """Ask every member again; those who shall become members, too. A change of the electorate goes along."""
        electorate = self.electorate
        if electorate is None:
            return
        self._next_renewal = after(now, self.timing.heartbeat_us)
        if self.doubt.until is None:  # in step with it, so that whoever is asked knows when there is something to read
            self._next_exchange = min(self._next_exchange, now)
        wanted = self.changes.wanted
        step = (
            None
            if self._is_contradicted()
            else self.changes.next(electorate, self.ledger, self.epoch, after(now, self.timing.heartbeat_us))
        )
        if wanted is not None and self.changes.wanted is None and is_an_order(wanted, electorate.body):
            effects.append(Told(NOT_BEGUN.format(names=", ".join(wanted.members)), is_warning=True))
        if step is not None:  # once it is taken over, the members are asked with it
            effects.append(AdoptMembership(step))
            return
        self._put(VoteRequestKind.RENEW, self.changes.asked_too(electorate), now, effects)

    def _granted(self, swap: Swap, sent_at: Instant, now: Instant, effects: list[Effect]) -> None:
        """A leader's write was made."""
        self.pen.own = swap.proposed
        if self.doubt.until is None:
            self.doubt.clear()
        if self.rules.write_counts(swap.purpose, self.ledger.deadline, now):
            self._count(sent_at, now)
            if swap.purpose is Purpose.RECREATE:
                effects.append(Told(f"wrote the leadership record anew at epoch {self.epoch}; leadership is kept"))

    def _count(self, sent_at: Instant, now: Instant) -> None:
        until = self.rules.promised_until(sent_at, now)
        if self.store_counts:
            self.ledger.promise(STORE, until)
        if self.voter is None:
            self.ledger.promise(SELF, until)

    def _found(self, sent: Sent, found: Record, now: Instant, effects: list[Effect]) -> None:
        """The store did not write for a leader, and showed what stands there."""
        if self.rules.is_put_back(self.pen, found, self.watch.server):
            self._distrust_the_store(found, now, effects)
            return
        if self._is_mine(found, self.epoch) and found.state is RecordState.HELD:
            self.pen.read(found, self.watch.server)  # an earlier write of mine, without a reply, or one that came back
        elif self.rules.is_unsigned(self.watch) or self.rules.may_rewrite(found, self.epoch):
            self.pen.own = None
        elif self.store_has_vote or not self.rules.has_permission(self.ledger.deadline, now):
            self._replaced(found, effects)
        else:
            self._put_to_the_members(found, now)
        may_write = self.voter is None or self.rules.store_still_promises(self.ledger, now)
        if may_write and (sent.swap is None or sent.swap.expected != found):
            self._hurry(now)  # there is something to write now; refused again, the next heartbeat is soon enough

    def _replaced(self, by: Record, effects: list[Effect]) -> None:
        why = f"the record shows {by.holder} at epoch {by.epoch}; mine was {self.epoch}"
        self._step_down(StepDownReason.REPLACED, why, effects)

    def _distrust_the_store(self, found: Record, now: Instant, effects: list[Effect]) -> None:
        """What it confirmed is no promise any more; where leadership rests on that, it ends."""
        self.pen.own = None
        self.ledger.withdraw(STORE)
        sentence = PUT_BACK.format(holder=found.holder, epoch=found.epoch, seq=found.seq)
        effects.append(RecordRefuted(sentence))
        if not self.rules.has_permission(self.ledger.deadline, now):
            self._step_down(StepDownReason.REPLACED, sentence, effects)

    def _put_to_the_members(self, found: Record, now: Instant) -> None:
        """See ``record_challenge``. The record is written again like any candidate would: once it fell silent."""
        self.pen.own = None
        self.ledger.withdraw(STORE)
        until = after(now, self.timing.heartbeat_us + 2 * self.timing.request_timeout_us)  # one may be under way
        if self.doubt.put(found, now, until):
            self._next_renewal = now

    def _is_contradicted(self) -> bool:
        """Whether a record that is not believed stands there: it would end this leadership if the store had a vote."""
        record = self.watch.record
        if self.store_has_vote or record is None or record.state is RecordState.VACANT or record.epoch < self.epoch:
            return False
        return not self._is_mine(record, self.epoch) and not self.rules.is_unsigned(self.watch)

    def _is_mine(self, found: Record, epoch: int) -> bool:
        """Whether the record that was just read is this life's, of this epoch."""
        is_own = self.rules.is_own(found, self.node, self.boot_id, epoch)
        return is_own and not self.rules.is_unsigned(self.watch)

    def _renewal(self, now: Instant) -> Swap | None:
        """What the leader writes now: within the store's promise its own record again, else as any candidate would."""
        if not self.rules.has_permission(self.ledger.deadline, now):
            return None
        if not self.rules.store_still_promises(self.ledger, now):
            return self._acquisition(now)
        if self.pen.own is not None:
            return self.pen.swap(self.pen.own, RecordState.HELD, Purpose.RENEW, self.epoch)
        if self.watch.record is None:  # a fresh connection: read first
            return None
        self.pen.seq = self.rules.seq_after_loss(self.pen.seq)
        return self.pen.swap(self.watch.record, RecordState.HELD, Purpose.RECREATE, self.epoch)

    def _acquisition(self, now: Instant) -> Swap | None:
        """The store's vote is asked for, if the record has been silent for long enough."""
        record = self.watch.record
        if record is None or not self.store_counts or not self.rules.may_take(self.watch, now):
            return None
        return self.pen.swap(record, RecordState.HELD, Purpose.ACQUIRE, self.epoch)

    def _step_down(self, reason: StepDownReason, why: str, effects: list[Effect]) -> None:
        """Permission ends here, before anything else happens; the release waits until everything has stopped."""
        self.ledger.clear()
        self.ballots.clear()
        self.changes.forget()
        self.doubt.clear()
        self.phase = Phase.QUIESCING
        self.pen.own = None
        self._stopped_for = reason
        effects.append(SteppedDown(self.epoch, reason, f"stepping down from epoch {self.epoch}: {why}"))

    def _why_ended(self, now: Instant) -> str:
        silent_ms = 0 if self.ledger.deadline is None else (now - self.ledger.deadline) // 1000 + self.timing.promise_ms
        if self.voter is None:
            return f"no write was confirmed by the store for {silent_ms} ms, and nobody may act longer than promised"
        if self.store_has_vote and not self.store_counts:
            return OWN_CLOCK.format(names=", ".join(name for name in self._others() if name in self.rates.off))
        missing = [name for name in self._voters() if not self.ledger.holds(name, now)]
        return (
            f"no majority confirmed it for {silent_ms} ms, and nobody may act longer than promised; "
            f"no promise of {', '.join(missing)}"
        )

    def _free(self, effects: list[Effect]) -> None:
        """Give every promise for this epoch back, also those that have not arrived yet."""
        effects.extend(Free(name, Freeing(self.claim)) for name in self._members())

    def _invite(self, now: Instant, effects: list[Effect]) -> None:
        """Ask one member to stand: the one that was named, else the first in the order of succession that answers.

        While failover is paused only when somebody asked this node to stop; who is invited stands in spite of a pause.
        """
        if self.paused and self._stopped_for is not StepDownReason.ASKED:
            return
        near = (self._invitee,) if self._could_follow(self._invitee, now) else self.successors(now)
        if near:
            effects.append(Invite(near[0], Invitation(self.claim)))
        self._invitee = ""

    def heir(self, now: Instant) -> str:
        """Who is to be invited if this process dies; empty while failover is paused, or when nobody answers."""
        return "" if self.paused else "".join(self.successors(now)[:1])

    def successors(self, now: Instant) -> tuple[str, ...]:
        """Members that answer and could follow this node as the leader, in the order of succession.

        Each says with its vote whether it would; a member that has just started waits, and would fail.
        """
        able = (name for name in self._members() if self._could_follow(name, now) and self._is_ready(name))
        order = {name: place for place, name in enumerate(self.succession)}
        return tuple(sorted(able, key=lambda name: (order.get(name, len(order)), name)))

    def _could_follow(self, name: str, now: Instant) -> bool:
        can_lead = self.electorate is not None and self.electorate.may_stand(name)
        return can_lead and name != self.node and self.is_heard(name, now)

    def _is_ready(self, name: str) -> bool:
        answer = self.answers.get(name)
        return answer is not None and answer.stance is Readiness.READY

    def is_heard(self, name: str, now: Instant) -> bool:
        """Whether a member answered a ballot within the last lease."""
        heard = self.heard.get(name)
        return heard is not None and now - heard <= self.timing.lease_us

    # ---- the round trip ---------------------------------------------------------------------------------------------

    def _hurry(self, now: Instant) -> None:
        """The next round trip is due now, or as soon as the one under way is over."""
        self._next_exchange = now
        self._hurried = self.pen.sent is not None

    def keep_step(self, now: Instant) -> None:
        """The leader has just asked for this member's promise again, and writes its record with it: read that soon.

        The wait for the store's vote begins with the reading; out of step it may be a whole heartbeat late.
        """
        if self.phase is Phase.STANDBY and self.pen.sent is None and not self._hurried:
            beat = self.timing.heartbeat_us
            self._next_exchange = min(after(now, beat // 16), after(self._exchanged_at, beat + beat // 2))

    def _routine(self, now: Instant) -> Swap | None:
        """What the next round trip is for."""
        if self.phase is Phase.LEADER:
            return self._renewal(now)
        record = self._to_release(now)
        if record is None:
            return None
        self.pen.seq = max(self.pen.seq, record.seq)
        return self.pen.swap(record, RecordState.RELEASED, Purpose.RELEASE, record.epoch)

    def _to_release(self, now: Instant) -> Record | None:
        """The record, if it is mine but I do not lead by it: an attempt given up, a write that arrived late, or a
        leadership that ended. Who probes holds nothing yet, so it stands in no release's way."""
        record = self.watch.record
        if record is None or record.state is not RecordState.HELD or self.phase not in {Phase.STANDBY, Phase.PROBING}:
            return None
        is_mine = self._is_mine(record, record.epoch)
        return record if is_mine and self.rules.is_release_worth_it(self.watch, record, now) else None

    def _exchange(self, swap: Swap | None, now: Instant, effects: list[Effect]) -> None:
        self._exchanged_at = now
        effects.append(self.pen.send(swap, self.mark(), now))

    def mark(self) -> Record:
        """What to leave where no record is: the highest epoch known to have led, as far as anybody believes a mark, and
        a fresh nonce."""
        watch, led = self.watch, self.epoch if self.phase is Phase.LEADER else 0
        return vacant(min(max(watch.highest, watch.fenced, watch.shown, led), SHOWN_MAX), self._entropy.nonce())
