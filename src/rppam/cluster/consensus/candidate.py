"""The candidate: when a node stands, and the steps from standing to leading, a phase each.

Standby, then: ask the members without obligation (prevote), learn which epochs were used, ask for exactly one epoch,
the store last, then claim the epoch in the database (which may be silent), and lead. Each step is bounded in time, and
an attempt that fails is given up whole: this node never uses its epoch again.
"""

from rppam.cluster.consensus import effects as on
from rppam.cluster.consensus.effects import Phase, Purpose, Swap
from rppam.cluster.consensus.holder import Leading
from rppam.cluster.consensus.lease import Sent
from rppam.cluster.consensus.messages import Vote, VoteRequestKind
from rppam.cluster.consensus.promises import STORE, Promises, is_majority
from rppam.cluster.consensus.record import Record
from rppam.cluster.consensus.standing import FENCE_TOO_HIGH, NO_EPOCH_LEFT
from rppam.cluster.consensus.state import PhaseState, State, give_up, may_stand, release_soon
from rppam.kernel.fence import Fenced
from rppam.kernel.instant import Instant, after


class Standby(PhaseState):
    """Follows, and stands once nobody can lead any more."""

    name = Phase.STANDBY
    leads_to = (Phase.PREVOTE,)

    def wake(self, due: Instant) -> Instant:
        state = self.state
        if not may_stand(state, state.pace.polled):
            return due
        stand_at = self.stand_at()
        return due if stand_at is None else min(due, max(stand_at, state.standing.back_off_until))

    def stand_at(self) -> Instant | None:
        """The earliest instant at which this node could win; ``None``: not without further news."""
        state = self.state
        vote, beat_us, polled = state.voter.vote, state.me.timing.heartbeat_us, state.pace.polled
        if state.is_record_alone:
            return state.rules.lease.take_at(state.lease) if self._reads_in_time() else None
        if not state.membership.may_stand(state.me.node) or vote.strange:
            return None
        free_at = vote.free_at(state.me.node, state.me.boot_id)
        if vote.why_unable and not state.standing.is_invited(polled, state.highest_led):
            # Its own vote counts for nothing: a member that can keep a promise comes first, and nobody waits for long.
            free_at = after(free_at, beat_us)
        at_most = after(free_at, beat_us)
        if not free_at <= polled < at_most:
            return free_at
        return max(free_at, min(self._store_at() or free_at, at_most))

    def _store_at(self) -> Instant | None:
        """When the store's vote can be had, where it takes that one to follow the leader this member supported last.

        Members hear the leader's last word as it is said, the record is read once a heartbeat. A node that stood before
        the record was silent for long enough would fail for certain, and then hold back for longer than that.
        """
        state = self.state
        others = set(state.membership.members) - {state.voter.vote.promise.candidate}
        return None if is_majority(others, *state.weights) else state.rules.lease.take_at(state.lease)

    def _reads_in_time(self) -> bool:
        return self.state.writer.sent is None and self.state.pace.stalled_at is None

    def due(self, now: Instant) -> None:
        state = self.state
        if not may_stand(state, now) or now < state.standing.back_off_until:
            return
        if state.is_record_alone:
            if not self._reads_in_time() or not state.rules.lease.may_take(state.lease, now):
                return
        else:
            stand_at = self.stand_at()
            if stand_at is None or now < stand_at:
                return
        state.attempts += 1
        state.phase = Prevote(state, now)

    def ask_on(self, now: Instant) -> None:
        """Compare clocks with the others, by asking without obligation."""
        state = self.state
        if now < state.peers.next_look or not state.membership.members:
            return
        if state.store_has_vote and state.membership.may_stand(state.me.node):
            leader = state.voter.vote.leader(now)
            asked = state.peers.compared(state.others, leader.candidate if leader else "", now)
            state.put(VoteRequestKind.PROBE, asked, now)

    def routine(self, now: Instant) -> Swap | None:
        return self.state.release(now)

    def found(self, sent: Sent, record: Record, now: Instant) -> None:  # noqa: ARG002
        release_soon(self.state, sent, now)


class Step(PhaseState):
    """One step of a candidate, bounded in time."""

    def __init__(self, state: State, until: Instant, promises: Promises | None = None) -> None:
        super().__init__(state, promises)
        self.until = until

    def wake(self, due: Instant) -> Instant:
        return min(due, self.until)

    def due(self, now: Instant) -> None:
        if now >= self.until:
            self.ended(now)

    def ended(self, now: Instant) -> None:
        """The time of this step is over."""
        give_up(self.state, now)

    def pause_failover(self, event: on.PauseFailover, now: Instant) -> None:
        """A candidate stops, unless it was invited."""
        self.state.standing.paused = event.is_on
        if not may_stand(self.state, now):
            give_up(self.state, now)


class Prevote(Step):
    """Asking the members, without obligation, whether they would vote for it. Who asks this holds nothing yet."""

    name = Phase.PREVOTE
    leads_to = (Phase.LEARNING, Phase.STANDBY)

    def __init__(self, state: State, now: Instant) -> None:
        super().__init__(state, after(now, state.me.timing.request_timeout_us // 2))
        self.would: set[str] = set()
        state.peers.open.clear()
        state.put(VoteRequestKind.PROBE, state.membership.members, now)

    def ask_on(self, now: Instant) -> None:
        state = self.state
        takes = state.store_counts and state.rules.lease.may_take(state.lease, now)
        would = {*self.would, STORE} if takes else self.would
        if state.pace.stalled_at is None and is_majority(would, *state.weights):
            state.phase = Learning(state, now)
        elif not state.peers.open:
            give_up(state, now)

    def routine(self, now: Instant) -> Swap | None:
        return self.state.release(now)

    def found(self, sent: Sent, record: Record, now: Instant) -> None:  # noqa: ARG002
        release_soon(self.state, sent, now)

    def granted(self, vote: Vote, asked_at: Instant, now: Instant) -> None:  # noqa: ARG002
        self.would.add(vote.voter)

    def reweighed(self, now: Instant) -> None:
        give_up(self.state, now)


class Learning(Step):
    """Asking the database which epochs were used."""

    name = Phase.LEARNING
    leads_to = (Phase.VOTING, Phase.STANDBY)
    keeps_writer_free = True

    def __init__(self, state: State, now: Instant) -> None:
        super().__init__(state, after(now, state.me.timing.request_timeout_us // 2))
        state.out.append(on.LearnEpoch(state.attempts))

    def ended(self, now: Instant) -> None:
        self._stand(None, None, now)

    def epoch_learned(self, event: on.EpochLearned, now: Instant) -> None:
        """The database has answered, or has not; and the wall clock was read."""
        if event.attempt == self.state.attempts:
            self._stand(event.highest, event.wall_ms, now)

    def _stand(self, highest: int | None, wall_ms: int | None, now: Instant) -> None:
        """Fix the epoch, then ask for votes for exactly that epoch."""
        state = self.state
        if highest is not None:
            state.learn_fence(highest)
        epoch = state.rules.leadership.pick_epoch(state.lease, state.epoch, highest, wall_ms or 0)
        epoch = max(epoch, state.voter.vote.highest + 1, state.membership.version.epoch)
        before, why = state.standing.no_epoch, self._why_too_high(epoch)
        state.standing.no_epoch = why
        if why not in {"", before}:
            state.tell(why, is_warning=True)
        is_late = state.is_record_alone and not state.rules.lease.may_take(state.lease, now)
        if wall_ms is None or why or is_late:
            give_up(state, now)
        else:
            leads_at = state.rules.leadership.epoch_to_lead(epoch, state.epoch, highest, wall_ms)
            state.phase = Voting(state, epoch, leads_at, now)

    def _why_too_high(self, epoch: int) -> str:
        """Why nobody would grant this epoch, judged as this member's own vote judges it; empty when they may.

        Wall clocks, marks and the word of others never bring it there: only what has to be exceeded does.
        """
        epochs, most = self.state.lease.epochs, self.state.voter.vote.plausible_max
        if epoch <= most:
            return ""
        if epochs.led < most <= epochs.fenced:
            return FENCE_TOO_HIGH.format(epoch=epochs.fenced, most=most - 1)
        return NO_EPOCH_LEFT.format(epoch=epoch - 1, most=most - 1)


class Voting(Step):
    """Asking the members for their votes, and the store for its."""

    name = Phase.VOTING
    leads_to = (Phase.CLAIMING, Phase.STANDBY)
    wants_promises = True
    keeps_writer_free = True

    def __init__(self, state: State, epoch: int, leads_at: int, now: Instant) -> None:
        super().__init__(state, after(now, state.me.timing.request_timeout_us), Promises(*state.weights))
        self._leads_at = leads_at
        state.epoch = epoch
        state.writer.begin(epoch)
        state.peers.open.clear()
        state.put(VoteRequestKind.VOTE, state.membership.members, now)

    def ask_on(self, now: Instant) -> None:
        """Members first, the store last."""
        state = self.state
        if state.writer.sent is not None:
            return
        record, rules = state.lease.record, state.rules.lease
        is_bound = record is not None and state.store_has_vote and not rules.is_unsigned(state.lease)
        if record is not None and is_bound and not rules.is_above(record, state.epoch):
            give_up(state, now)
            return
        granted = {name for name in state.membership.members if self.promises.holds(name, now)}
        if state.rules.leadership.asks_store(granted, *state.weights):
            swap = state.acquisition(now) if state.lease.connection is not None else None
            if swap is not None:
                state.exchange(swap, now)
                return
        if not state.peers.open:
            give_up(state, now)

    def found(self, sent: Sent, record: Record, now: Instant) -> None:  # noqa: ARG002
        self.lost(sent, now)

    def lost(self, sent: Sent, now: Instant) -> None:
        swap = sent.swap
        asked_store = swap is not None and swap.purpose is Purpose.ACQUIRE  # and no release that was still under way
        if swap is not None and asked_store and self.state.rules.lease.is_of_attempt(swap, self.state.epoch):
            give_up(self.state, now)

    def written(self, sent: Sent, swap: Swap, now: Instant) -> None:
        state = self.state
        if swap.purpose is Purpose.ACQUIRE and state.rules.lease.is_of_attempt(swap, state.epoch):
            state.writer.own = swap.proposed
            state.count_store(sent.at, now)
            self._won(now)

    def granted(self, vote: Vote, asked_at: Instant, now: Instant) -> None:
        self.promises.add(vote.voter, self.state.rules.leadership.promised_until(asked_at, now))
        if self.state.may_act(now):
            self._won(now)

    def _won(self, now: Instant) -> None:
        """The promises are a majority: write the epoch down before acting."""
        state = self.state
        state.epoch = self._leads_at
        if state.rules.leadership.may_claim(self.promises.deadline, now):
            state.phase = Claiming(state, self.promises, now)
        else:
            give_up(state, now)

    def reweighed(self, now: Instant) -> None:
        give_up(self.state, now)


class Claiming(Step):
    """With a majority: writing the epoch down before it acts."""

    name = Phase.CLAIMING
    leads_to = (Phase.LEADER, Phase.STANDBY)
    wants_promises = True

    def __init__(self, state: State, promises: Promises, now: Instant) -> None:
        super().__init__(state, after(now, state.me.timing.request_timeout_us // 2), promises)
        state.out.append(on.ClaimEpoch(state.attempts, state.epoch))

    def ended(self, now: Instant) -> None:
        self._lead(now)

    def epoch_claimed(self, event: on.EpochClaimed, now: Instant) -> None:
        """The database has taken the epoch, has refused it, or has not answered."""
        state = self.state
        if event.attempt != state.attempts:
            return
        if event.outcome is Fenced.REFUSED:
            state.tell(f"the database knows a newer epoch than {state.epoch}; standing again above it")
            give_up(state, now)
        else:
            self._lead(now)

    def _lead(self, now: Instant) -> None:
        state = self.state
        if state.rules.leadership.write_counts(Purpose.ACQUIRE, self.promises.deadline, now):
            state.phase = Leading(state, self.promises, now)
        else:
            give_up(state, now)

    def granted(self, vote: Vote, asked_at: Instant, now: Instant) -> None:
        self.promises.add(vote.voter, self.state.rules.leadership.promised_until(asked_at, now))
