"""The holder: how a leader stays, what it writes, and how it stops, a phase each.

**Staying.** Every heartbeat the leader asks all members again and writes its record again; each answer that came in
time carries it for D from when the request was *sent*. **The record.** While the store's promise runs, the leader
renews its record, writes it anew where the store lost it, and overwrites an older one that a failover brought back.
After that its own name there is worth nothing: it takes the store's vote again as any candidate would, once the record
was silent for L. **Stopping.** Permission ends first; then everything that acts stops; then what was promised is given
back.

**A record that contradicts the leader**, where the store has no vote. While most members' promises to this leader run,
nobody else can have come to lead; so a record of somebody else at its epoch or above is made up by whoever may write to
the store, or this host's boot-time clock stood still. Only the members can tell which: either most of them confirm the
leader to requests that were sent after the record was read, or it has been replaced. Where the store has a vote, its
record is not challenged: it is that vote.
"""

from typing import Final

from rppam.cluster.consensus import effects as on
from rppam.cluster.consensus.effects import Phase, Purpose, StepDownReason, Swap
from rppam.cluster.consensus.lease import Sent
from rppam.cluster.consensus.membership import NOT_BEGUN, Wanted, next_step
from rppam.cluster.consensus.messages import Invitation, Vote, VoteRequestKind
from rppam.cluster.consensus.peers import RecordChallenge
from rppam.cluster.consensus.promises import STORE, Promises
from rppam.cluster.consensus.record import Record, RecordState
from rppam.cluster.consensus.state import PhaseState, State
from rppam.cluster.consensus.status import OWN_CLOCK, status_of
from rppam.kernel.instant import Instant, after

CONFIRM_EVERY: Final = 2
"""In heartbeats: so often the leader has the database say that nobody stands above it there."""
NOBODY_FOLLOWS: Final = (
    "{why}, and leadership is kept all the same: nobody else could win it, as too few members could keep a promise on "
    "disk. See the warnings of each in its health, and make room there"
)
REFUTED: Final = (
    "a leadership record that no leader wrote. Most members have confirmed {node} since and Redis has no vote here, so "
    "leadership is kept; see who else may write these keys: ACL LIST. It names {holder} at epoch {epoch}"
)
PUT_BACK: Final = (
    "an old leadership record that somebody put back: this node had written over it on this very server. Others may "
    "take it for silence, so what Redis confirms is no promise for now; see who else may write these keys: ACL LIST. "
    "It names {holder} at epoch {epoch}, write {seq}"
)
NEVER: Final = Instant(2**63)


class Leading(PhaseState):
    """Leads, as long as its promises carry it."""

    name = Phase.LEADER
    leads_to = (Phase.STOPPING,)
    wants_promises = True

    def __init__(self, state: State, promises: Promises, now: Instant) -> None:
        super().__init__(state, promises)
        self.wanted = Wanted()
        self._challenge = RecordChallenge()
        self._next_renewal = NEVER if state.is_record_alone else now
        self._next_confirmation = after(now, CONFIRM_EVERY * state.me.timing.heartbeat_us)
        state.out.append(on.Promoted(state.epoch, f"{state.me.node} leads at epoch {state.epoch}"))

    def wake(self, due: Instant) -> Instant:
        ends, settled = self.promises.deadline, self._challenge.until
        due = min(due, self._next_renewal)
        due = due if ends is None else min(due, ends)
        return due if settled is None else min(due, settled)

    # ---- staying ----------------------------------------------------------------------------------------------------

    def expire(self, now: Instant) -> None:
        state, challenge = self.state, self._challenge
        if not state.may_act(now):
            self._step_down(StepDownReason.PROMISE_ENDED, self._why_ended(now))
            return
        if now >= self._next_confirmation and state.rules.leadership.confirms_epoch():
            # A fence above the own epoch has to be noticed also while nobody makes a guarded write.
            self._next_confirmation = after(now, CONFIRM_EVERY * state.me.timing.heartbeat_us)
            state.out.append(on.ConfirmEpoch(state.epoch))
        record = challenge.record
        if record is None:
            return
        if challenge.is_refuted(*state.weights):
            challenge.until = None  # the same record is not put again
            sentence = REFUTED.format(holder=record.holder, epoch=record.epoch, node=state.me.node)
            state.out.append(on.RecordRefuted(sentence))
        elif challenge.is_true(now, *state.weights):
            self._replaced(record)

    def ask_on(self, now: Instant) -> None:
        """Ask every member again; those that shall become members, too. A change of the membership goes along."""
        if now < self._next_renewal:
            return
        state, beat_us = self.state, self.state.me.timing.heartbeat_us
        self._next_renewal = least = after(now, beat_us)
        if self._challenge.until is None:  # in step with it, so that whoever is asked knows when there is news to read
            state.pace.next = min(state.pace.next, now)
        if not self._is_contradicted():
            if self.wanted.is_idle(state.membership, least):
                if self.wanted.is_an_order(state.membership.body) and self.wanted.voters is not None:
                    names = ", ".join(self.wanted.voters.members)
                    state.tell(NOT_BEGUN.format(names=names), is_warning=True)
                self.wanted = self.wanted._replace(voters=None)
            on_disk = {name: answer.vote.version for name, answer in state.peers.answers.items()}
            step = next_step(
                state.rules.membership, self.wanted, state.membership, self.promises, on_disk, state.epoch, least
            )
            if step is not None:  # once it is taken over, the members are asked with it
                state.out.append(on.AdoptMembership(step))
                return
        state.put(VoteRequestKind.RENEW, self.wanted.asked_too(state.membership), now)

    def answered(self, vote: Vote, asked_at: Instant) -> None:
        self._challenge.heard(vote, asked_at, counts=vote.voter not in self.state.peers.rates.off)

    def granted(self, vote: Vote, asked_at: Instant, now: Instant) -> None:
        rules = self.state.rules.leadership
        if rules.write_counts(Purpose.RENEW, self.promises.deadline, now):
            self.promises.add(vote.voter, rules.promised_until(asked_at, now))

    def reweighed(self, now: Instant) -> None:
        self._next_renewal = now
        if not self.state.membership.may_stand(self.state.me.node):
            self._step_down(StepDownReason.ASKED, "this node is no member that may lead any more")

    # ---- the record -------------------------------------------------------------------------------------------------

    def routine(self, now: Instant) -> Swap | None:
        """What the leader writes now: within the store's promise its own record again, else as any candidate would."""
        state, writer, record = self.state, self.state.writer, self.state.lease.record
        if not state.may_act(now):
            return None
        if not state.rules.leadership.store_still_promises(self.promises, now):
            return state.acquisition(now)
        if writer.own is not None:
            return writer.swap(writer.own, RecordState.HELD, Purpose.RENEW, state.epoch)
        if record is None:  # a fresh connection: read first
            return None
        writer.seq = state.rules.lease.seq_after_loss(writer.seq)
        return writer.swap(record, RecordState.HELD, Purpose.RECREATE, state.epoch)

    def written(self, sent: Sent, swap: Swap, now: Instant) -> None:
        state = self.state
        if not state.rules.lease.is_of_attempt(swap, state.epoch):
            self.found(sent, swap.proposed, now)
            return
        state.writer.own = swap.proposed
        if self._challenge.until is None:
            self._challenge.record = None
        if state.rules.leadership.write_counts(swap.purpose, self.promises.deadline, now):
            state.count_store(sent.at, now)
            if swap.purpose is Purpose.RECREATE:
                state.tell(f"wrote the leadership record anew at epoch {state.epoch}; leadership is kept")

    def found(self, sent: Sent, record: Record, now: Instant) -> None:
        """The store did not write for the leader, and showed what stands there."""
        state, rules, writer, server = self.state, self.state.rules, self.state.writer, self.state.lease.server
        if rules.lease.is_put_back(writer, record, server):
            self._distrust_the_store(record, now)
            return
        if state.is_mine(record, state.epoch) and record.state is RecordState.HELD:
            writer.read(record, server)  # an earlier write of mine, without a reply, or one that came back
            if rules.leadership.reading_counts():
                state.count_store(sent.at, now)
        elif rules.lease.is_unsigned(state.lease) or rules.lease.may_rewrite(record, state.epoch):
            writer.own = None
        elif state.store_has_vote or not state.may_act(now):
            self._replaced(record)
        else:
            self._put_to_the_members(record, now)
        may_write = not state.membership.members or rules.leadership.store_still_promises(state.phase.promises, now)
        if may_write and (sent.swap is None or sent.swap.expected != record):
            state.hurry(now)  # there is something to write now; refused again, the next heartbeat is soon enough

    def _replaced(self, by: Record) -> None:
        why = f"the record shows {by.holder} at epoch {by.epoch}; mine was {self.state.epoch}"
        self._step_down(StepDownReason.REPLACED, why)

    def _distrust_the_store(self, found: Record, now: Instant) -> None:
        """What it confirmed is no promise any more; where leadership rests on that, it ends."""
        self.state.writer.own = None
        self.promises.withdraw(STORE)
        sentence = PUT_BACK.format(holder=found.holder, epoch=found.epoch, seq=found.seq)
        self.state.out.append(on.RecordRefuted(sentence))
        if not self.state.may_act(now):
            self._step_down(StepDownReason.REPLACED, sentence)

    def _put_to_the_members(self, found: Record, now: Instant) -> None:
        """The record is written again like any candidate would: once it fell silent."""
        timing = self.state.me.timing
        self.state.writer.own = None
        self.promises.withdraw(STORE)
        until = after(now, timing.heartbeat_us + 2 * timing.request_timeout_us)  # one may be under way
        if self._challenge.put(found, now, until):
            self._next_renewal = now

    def _is_contradicted(self) -> bool:
        """Whether a record that is not believed stands there: it would end this leadership if the store had a vote."""
        state, record = self.state, self.state.lease.record
        if state.store_has_vote or record is None or record.state is RecordState.VACANT or record.epoch < state.epoch:
            return False
        return not state.is_mine(record, state.epoch) and not state.rules.lease.is_unsigned(state.lease)

    # ---- orders -----------------------------------------------------------------------------------------------------

    def stand_down(self, event: on.StandDown, now: Instant) -> None:  # noqa: ARG002
        """The leader shall stop, and not stand again."""
        self.state.standing.electable = False
        self._step_down(StepDownReason.ASKED, event.why)

    def hand_over(self, event: on.HandOver, now: Instant) -> None:
        """The leader shall stop, and invite a successor; it stays where nobody could follow."""
        state, lease_us = self.state, self.state.me.timing.lease_us
        if not state.rules.leadership.may_go(is_left_in_hands=status_of(state).is_left_in_hands()):
            state.tell(NOBODY_FOLLOWS.format(why=event.why), is_warning=True)
            return
        state.standing.back_off_until = after(now, lease_us)
        state.standing.invite(after(now, 2 * lease_us), state.highest_led)  # should nobody follow
        self._step_down(StepDownReason.ASKED, event.why, event.to)

    def ask_again(self, event: on.AskAgain, now: Instant) -> None:
        """Have the word of these members now, or the store's."""
        self.state.put(VoteRequestKind.RENEW, event.members, now)
        if not event.members:
            self.state.hurry(now)

    def change_membership(self, event: on.ChangeMembership, now: Instant) -> None:
        """The members shall be others."""
        until = after(now, 10 * self.state.me.timing.lease_us)
        self.wanted = Wanted(event.body, frozenset(event.stated_off), until)

    def fence_refused(self, event: on.FenceRefused) -> None:
        """A leader below the fence may write nothing any more: it stops at once, and stands again above it."""
        epoch = self.state.epoch
        if event.epoch != epoch and event.highest <= epoch:
            return
        of = f" of {event.holder}" if event.holder else ""
        known = f"epoch {event.highest}{of}" if event.highest > epoch else f"another epoch {epoch}{of}"
        why = f"the database knows {known} and refuses what is written under this one"
        self._step_down(StepDownReason.FENCED, f"{why}; standing again above it")

    # ---- stopping ---------------------------------------------------------------------------------------------------

    def _step_down(self, reason: StepDownReason, why: str, successor: str = "") -> None:
        """Permission ends here, before anything else happens; the release waits until everything has stopped."""
        state, rules = self.state, self.state.rules.leadership
        state.peers.open.clear()
        state.writer.own = None
        state.phase = Stopping(state, reason, successor)
        state.out.append(on.SteppedDown(state.epoch, reason, f"stepping down from epoch {state.epoch}: {why}"))
        if rules.frees_before_stopping():
            state.free()
        if rules.releases_before_stopping():
            state.phase = state.begin(state)

    def _why_ended(self, now: Instant) -> str:
        state, deadline = self.state, self.promises.deadline
        silent_ms = 0 if deadline is None else (now - deadline) // 1000 + state.me.timing.promise_ms
        if state.is_record_alone:
            return f"no write was confirmed by the store for {silent_ms} ms, and nobody may act longer than promised"
        if state.store_has_vote and not state.store_counts:
            return OWN_CLOCK.format(names=", ".join(name for name in state.others if name in state.peers.rates.off))
        voters = sorted({name for votes in state.weights for name in votes})
        missing = [name for name in voters if not self.promises.holds(name, now)]
        return (
            f"no majority confirmed it for {silent_ms} ms, and nobody may act longer than promised; "
            f"no promise of {', '.join(missing)}"
        )


class Stopping(PhaseState):
    """Has stepped down; whatever acted is being stopped, and the address dropped."""

    name = Phase.STOPPING
    leads_to = (Phase.STANDBY,)
    wants_promises = True

    def __init__(self, state: State, reason: StepDownReason, successor: str) -> None:
        super().__init__(state)
        self._reason = reason
        self._successor = successor
        """Whom to invite; empty: whoever comes first in the order of succession."""

    def quiesced(self, event: on.Quiesced, now: Instant) -> None:
        """All has stopped: give back what was promised, and invite a successor."""
        state, standing = self.state, self.state.standing
        if event.epoch != state.epoch:
            return
        state.phase = state.begin(state)
        state.free()
        if self._reason is StepDownReason.FENCED and standing.electable:
            # Only the fence was above it: it stands again itself, also while failover is paused. Nobody else would.
            standing.start_ahead(now)
            standing.invite(after(now, state.me.timing.lease_us), state.highest_led)
        elif not standing.paused or self._reason is StepDownReason.ASKED:
            # While failover is paused only when somebody asked this node to stop; the invited stands in spite of it.
            status, named = status_of(state), self._successor
            near = (named,) if status.could_follow(named, now) else status.successors(now)
            if near:
                state.out.append(on.Invite(near[0], Invitation(state.candidacy)))
        state.hurry(now)
