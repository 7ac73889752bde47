"""The candidate's part: when a node stands, and the steps from standing to leading.

Probe the members without obligation, learn which epochs were used, ask for exactly one epoch, the store last; then
write the epoch down, and lead. Each step is bounded in time, and an attempt that fails is given up whole: its epoch is
never used again.

It does not decide what an answer is worth: that is ``Election``, which is built on this.
"""

from typing import Final

from rppam.cluster.consensus.clock_rates import EVERY_US
from rppam.cluster.consensus.effects import (
    FENCE_TOO_HIGH,
    NO_EPOCH_LEFT,
    ClaimEpoch,
    ConfirmEpoch,
    Effect,
    FenceRefused,
    LearnEpoch,
    Promoted,
    Purpose,
    StepDownReason,
    Told,
)
from rppam.cluster.consensus.holder import CLOCK_SOURCE, Holder
from rppam.cluster.consensus.ledger import is_majority
from rppam.cluster.consensus.membership import STORE
from rppam.cluster.consensus.messages import Refusal, Vote, VoteRequestKind
from rppam.cluster.consensus.phase import Phase
from rppam.cluster.consensus.record import EPOCH_MAX
from rppam.cluster.consensus.vote_requests import STRANGER
from rppam.kernel.fence import Fenced
from rppam.kernel.instant import US_PER_S, Instant, after

HEAD_START_US: Final = 20_000
"""So long nobody else stands after a leader released: the member that it invited comes first."""
CONFIRM_EVERY: Final = 2
"""In heartbeats: so often the leader has the database say that nobody stands above it there."""
PASS_US: Final = 500_000
"""So long at most others hold back at words of releases, within twice that time."""


class Candidate(Holder):
    """How one node comes to lead. Made and driven as an :class:`rppam.cluster.consensus.election.Election`."""

    def _stand_at(self) -> Instant | None:
        if self.voter is None:
            ready = self.pen.sent is None and self._stalled_at is None
            return self.rules.take_at(self.watch) if ready else None
        if self.electorate is None or not self.electorate.may_stand(self.node) or not self.voter.has_vote():
            return None
        free_at = self.voter.free_at(self.node, self.boot_id)
        if self.voter.why_unable and not self._is_invited(self._polled):
            # Its own vote counts for nothing: whoever can keep a promise comes first, and nobody waits for long.
            free_at = after(free_at, self.timing.heartbeat_us)
        at_most = after(free_at, self.timing.heartbeat_us)
        if not free_at <= self._polled < at_most:
            return free_at
        return max(free_at, min(self._store_at() or free_at, at_most))

    def _store_at(self) -> Instant | None:
        """When the store's vote can be had, where it takes that one to follow whom this member supported last.

        Members hear the leader's last word as it is said, the record is read once a heartbeat. Who stood before the
        record was silent for long enough would fail for certain, and then hold back for longer than that.
        """
        assert self.voter is not None
        others = set(self._members()) - {self.voter.claim.candidate}
        return None if is_majority(others, *self._bodies()) else self.rules.take_at(self.watch)

    def _is_candidate(self, now: Instant) -> bool:
        """Whether it would stand if it could: while failover is paused, only if invited, until somebody has led."""
        return self.electable and (not self.paused or self._is_invited(now))

    def _is_invited(self, now: Instant) -> bool:
        """Whether an invitation stands: it is for once, and over as soon as somebody has led since."""
        return now < self._invited_until and self._highest_led() <= self._invited_above

    def _invite_oneself(self, until: Instant) -> None:
        """Stand until then even while failover is paused, unless somebody comes to lead meanwhile."""
        self._invited_until = until
        self._invited_above = self._highest_led()

    def _start_ahead(self, now: Instant) -> None:
        """This node was invited, and the others hold back for a moment."""
        self._back_off_until = now
        self._ahead_until = after(now, HEAD_START_US)

    def _let_the_invited_pass(self, now: Instant) -> None:
        """Who releases invites one member; the others hold back for a moment, so that they do not split the votes.

        Not for ever: whoever may write to the store could make up enough words of releases to stop every election.
        """
        if self._is_invited(now):  # who was invited does not let itself pass
            return
        electorate = self.electorate
        if electorate is None or sum(1 for name in electorate.members if electorate.may_stand(name)) <= 2:
            return
        if now - self._passing_since >= 2 * PASS_US:
            self._passing_since, self._passed_us = now, 0
        until = after(now, HEAD_START_US + self._entropy.below(40_000))
        longer_us = until - max(now, self._back_off_until)
        if longer_us > 0 and self._passed_us + longer_us <= PASS_US:
            self._passed_us += longer_us
            self._back_off_until = until

    def _back_off_us(self, now: Instant) -> int:
        """How long to hold back after an attempt that failed.

        What the leader gives back reaches the members at different times: one that answers before it arrived refuses,
        and would not a moment later. Another has tried a higher epoch, of which this node hears by being refused. So
        who was invited asks again within the head start that it has.
        """
        if self.phase in {Phase.PROBING, Phase.ASKING} and now < self._ahead_until:
            return 1_000 + self._entropy.below(3_000)
        return self._entropy.below(max(1, min(US_PER_S, self.timing.lease_us // 4)))

    def _highest_led(self) -> int:
        """The highest epoch at which somebody is known to have led."""
        return self.watch.highest if self.voter is None else self.voter.followed

    def _may_stand(self, now: Instant) -> bool:
        if not self._is_candidate(now) or now < self._back_off_until:
            return False
        if self.voter is None:
            ready = self.pen.sent is None and self._stalled_at is None
            return ready and self.rules.may_take(self.watch, now)
        stand_at = self._stand_at()
        return stand_at is not None and now >= stand_at

    def _stand(self, now: Instant, effects: list[Effect]) -> None:
        self._attempts += 1
        if self.voter is None:
            self._learn(now, effects)
            return
        self.phase = Phase.PROBING
        self._step_until = after(now, self.timing.request_timeout_us // 2)
        self._would = set()
        self.ballots.clear()
        self._put(VoteRequestKind.PROBE, self._members(), now, effects)

    def _learn(self, now: Instant, effects: list[Effect]) -> None:
        self.phase = Phase.LEARNING
        self._step_until = after(now, self.timing.request_timeout_us // 2)
        effects.append(LearnEpoch(self._attempts))

    def _ask(self, highest: int | None, wall_ms: int | None, now: Instant, effects: list[Effect]) -> None:
        """Fix the epoch, then ask for votes for exactly that epoch."""
        if highest is not None:
            self.watch.learn(highest)
        epoch = self.rules.pick_epoch(self.watch, self._tried, highest, wall_ms or 0)
        if self.voter is not None:
            made_at = 0 if self.electorate is None else self.electorate.version.epoch
            epoch = max(epoch, self.voter.highest + 1, made_at)
        before, self.no_epoch = self.no_epoch, self._why_too_high(epoch)
        if self.no_epoch not in {"", before}:
            effects.append(Told(self.no_epoch, is_warning=True))
        if wall_ms is None or self.no_epoch or (self.voter is None and not self.rules.may_take(self.watch, now)):
            self._give_up(now, effects)
            return
        self.phase = Phase.ASKING
        self._step_until = after(now, self.timing.request_timeout_us)
        self.epoch = self._tried = epoch
        self.pen.begin(epoch)
        self.ballots.clear()
        self._put(VoteRequestKind.VOTE, self._members(), now, effects)

    def _why_too_high(self, epoch: int) -> str:
        """Why nobody would grant this epoch, judged as this member's own vote judges it; empty when they may.

        Wall clocks, marks and the word of others never bring it there: only what has to be exceeded does.
        """
        most = EPOCH_MAX if self.voter is None else self.voter.plausible_max
        if epoch <= most:
            return ""
        if self.watch.highest < most <= self.watch.fenced:
            return FENCE_TOO_HIGH.format(epoch=self.watch.fenced, most=most - 1)
        return NO_EPOCH_LEFT.format(epoch=epoch - 1, most=most - 1)

    def _ask_on(self, now: Instant, effects: list[Effect]) -> None:
        """What the present step still has to ask."""
        if self.phase is Phase.PROBING:
            takes = self.store_counts and self.rules.may_take(self.watch, now)
            would = {*self._would, STORE} if takes else self._would
            if self._stalled_at is None and is_majority(would, *self._bodies()):
                self._learn(now, effects)
            elif not self.ballots.open:
                self._give_up(now, effects)
        elif self.phase is Phase.STANDBY:
            self._look_at_clocks(now, effects)
        elif self.phase is Phase.ASKING and self.pen.sent is None:
            self._ask_store_last(now, effects)
        elif self.phase is Phase.LEADER and self.voter is not None and now >= self._next_renewal:
            self._renew_members(now, effects)

    def _ask_store_last(self, now: Instant, effects: list[Effect]) -> None:
        record = self.watch.record
        is_bound = record is not None and self.store_has_vote and not self.rules.is_unsigned(self.watch)
        if record is not None and is_bound and not self.rules.is_above(record, self.epoch):
            self._give_up(now, effects)
            return
        held = {name for name in self._members() if self.ledger.holds(name, now)}
        if self.voter is None or is_majority({*held, STORE}, *self._bodies()):
            swap = self._acquisition(now) if self.watch.connection is not None else None
            if swap is not None:
                self._exchange(swap, now, effects)
                return
        if not self.ballots.open:
            self._give_up(now, effects)

    def _won(self, now: Instant, effects: list[Effect]) -> None:
        """The promises are a majority: write the epoch down before acting."""
        if not self.rules.may_claim(self.ledger.deadline, now):
            self._give_up(now, effects)
            return
        self.phase = Phase.CLAIMING
        self._step_until = after(now, self.timing.request_timeout_us // 2)
        effects.append(ClaimEpoch(self._attempts, self.epoch))

    def _claimed(self, outcome: Fenced, now: Instant, effects: list[Effect]) -> None:
        if outcome is Fenced.REFUSED:
            effects.append(Told(f"the database knows a newer epoch than {self.epoch}; standing again above it"))
            self._give_up(now, effects)
        else:
            self._lead(now, effects)

    def _lead(self, now: Instant, effects: list[Effect]) -> None:
        if not self.rules.write_counts(Purpose.ACQUIRE, self.ledger.deadline, now):
            self._give_up(now, effects)
            return
        self.phase = Phase.LEADER
        self._next_renewal = now
        self._next_confirmation = after(now, CONFIRM_EVERY * self.timing.heartbeat_us)
        effects.append(Promoted(self.epoch, f"{self.node} leads at epoch {self.epoch}"))

    # ---- the fence --------------------------------------------------------------------------------------------------

    def _confirm_epoch(self, now: Instant, effects: list[Effect]) -> None:
        """A fence above the own epoch has to be noticed also while nobody makes a guarded write."""
        if now >= self._next_confirmation:
            self._next_confirmation = after(now, CONFIRM_EVERY * self.timing.heartbeat_us)
            effects.append(ConfirmEpoch(self.epoch))

    def _fenced(self, refused: FenceRefused, effects: list[Effect]) -> None:
        """Whoever leads below the fence may write nothing any more: it stops at once, and stands again above it."""
        self.watch.learn(max(self.watch.fenced, refused.highest))  # it may come late: the next attempt reads anew
        is_mine = refused.epoch == self.epoch or refused.highest > self.epoch
        if self.phase is Phase.LEADER and is_mine:
            of = f" of {refused.holder}" if refused.holder else ""
            known = (
                f"epoch {refused.highest}{of}" if refused.highest > self.epoch else f"another epoch {self.epoch}{of}"
            )
            why = f"the database knows {known} and refuses what is written under this one"
            self._step_down(StepDownReason.FENCED, f"{why}; standing again above it", effects)

    def _follow_up(self, now: Instant, effects: list[Effect]) -> None:
        """Everything has stopped: another one is invited to lead, or it stands again itself, if only the fence was
        above it. Then also while failover is paused: nobody else would."""
        if self._stopped_for is StepDownReason.FENCED and self.electable:
            self._start_ahead(now)
            self._invite_oneself(after(now, self.timing.lease_us))
        else:
            self._invite(now, effects)

    # ---- clocks -----------------------------------------------------------------------------------------------------

    def _take_note(self, vote: Vote, sent_at: Instant, now: Instant, effects: list[Effect]) -> None:
        """What a vote tells besides: a stranger's, and the rate of the voter's clock, which decides if it counts."""
        name = vote.voter
        if (vote.refusal is Refusal.FOREIGN) != (name in self.strangers):
            self.strangers ^= {name}
            if name in self.strangers:
                effects.append(Told(STRANGER.format(name=name), is_warning=True))
        if name == self.node:
            return
        has_changed = self.rates.observe(name, vote.boot_id, sent_at, now, vote.now)
        self._heed_clocks(now)
        if not has_changed:
            return
        percent = self.rates.off.get(name)
        if percent is None:
            effects.append(Told(f"the clock of {name} runs at this host's rate again; its promises count"))
            return
        how = f"{abs(percent)} % {'faster' if percent > 0 else 'slower'} than this host's"
        fix = f"Check the clock source of both hosts (cat {CLOCK_SOURCE}) and restart the wrong one"
        effects.append(Told(f"the clock of {name} runs {how}; its promises are not counted. {fix}", is_warning=True))

    def _heed_clocks(self, now: Instant) -> None:
        """Whatever is known of rates is obeyed at once: also what was promised before counts for nothing then."""
        if not self.rates.off and not self.watch.longer_us:
            return
        self.watch.longer_us = self.rules.longer_us(self.rates, self._holders(), now)
        for name in self.rates.off:
            self.ledger.withdraw(name)
        if not self.store_counts:
            self.ledger.withdraw(STORE)

    def _holders(self) -> tuple[str, ...]:
        """Everybody else who may hold the store's promise: who may lead by the present list, or the one before."""
        bodies = () if self.electorate is None else self.electorate.bodies
        return tuple(name for name in self._others() if any(body.may_stand(name) for body in bodies))

    def awaited(self) -> tuple[str, ...]:
        """Whose slow clocks make the wait for the store's vote longer; the slowest come first."""
        slow = {name: self.rates.slowest((name,)) for name in self._holders()}
        return tuple(sorted((name for name in slow if slow[name] < 1), key=lambda name: (slow[name], name)))

    def _look_at_clocks(self, now: Instant, effects: list[Effect]) -> None:
        """Whoever follows compares clocks as well, by asking without obligation: the leader, and another in turn.

        It may want the store's vote at any time, and whether its own clock is off it must know by then.
        """
        electorate, others = self.electorate, self._others()
        if electorate is None or self.voter is None or not others or now < self._next_look:
            return
        if not self.store_has_vote or not electorate.may_stand(self.node):
            return
        is_new = self._looks < 2 * len(others)
        self._next_look = after(now, self.timing.heartbeat_us if is_new else max(EVERY_US, self.timing.heartbeat_us))
        leader = self.voter.leader(now)
        asked = {others[self._looks % len(others)], *((leader.candidate,) if leader else ())}
        self._looks += 1
        self._put(VoteRequestKind.PROBE, tuple(name for name in others if name in asked), now, effects)

    # ---- the end of an attempt --------------------------------------------------------------------------------------

    def _give_up(self, now: Instant, effects: list[Effect]) -> None:
        """The attempt is over: its epoch is never used again, and its record, if it stands, is released when seen."""
        if self.phase in {Phase.ASKING, Phase.CLAIMING}:
            self._free(effects)
        self._back_off_until = after(now, self._back_off_us(now))
        self.ledger.clear()
        self.ballots.clear()
        self.pen.own = None
        self.phase = Phase.STANDBY
        self._attempts += 1
        if self.pen.sent is None:
            self._next_exchange = max(now, self._next_exchange)
