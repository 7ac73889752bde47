"""The election: who leads, decided by one node for itself.

**The rule.** A node leads while it holds unexpired promises worth more than half of all votes. A promise is
time-bounded: "for the next L, I support nobody else". Voters are the members of the electorate, this node among them,
and the store, whose vote is given by the leadership record. Without an electorate the record alone decides.

**Theory.** Two nodes never compare clocks; each trusts only its own boot-time clock, and only its *rate*, to within r.
A holder asks all voters again every heartbeat and may act for D after it *sent* what was confirmed. A voter that
promised waits for L after it promised (``voter.py``), and whoever wants the store's vote must see the same record
unchanged for L after it *arrived* (``watch.py``). Since L >= D (1 + r) / (1 - r) + drop, the holder has stopped and
dropped the address before any voter is free. Each write of the record is a compare-and-set against exactly what was
last read, so a pause between reading and writing is harmless.

**The order.** Probe the members without obligation; ask which epochs were used; fix one above them all; ask the members
for that epoch; the store last, and only if its votes complete the majority or the members' alone are one. So whoever's
name is in the record was a leader when it was written.

**What a reply can be.** Granted, not granted, or unknown. Unknown is never yes and never no.

**What this does not promise.** It cannot stop a paused process from believing what it likes when it wakes between two
instructions: that is why every guarded write carries ``(epoch, boot id)`` and is refused by the place written to once a
newer epoch was there. It does not survive a hypervisor that stops the boot-time clock of a guest.

The clauses: :class:`Rules`, :class:`Voter`. Counter-examples are sought by ``rppam simulate``.
"""

from typing import Final

from rppam.cluster.consensus.candidate import Candidate
from rppam.cluster.consensus.effects import (
    AdoptMembership,
    AskAgain,
    ChangeMembership,
    Connected,
    Disconnected,
    Effect,
    EpochClaimed,
    EpochLearned,
    Event,
    FenceRefused,
    Found,
    Free,
    Granted,
    HandOver,
    ImposeMembership,
    Invited,
    MembershipAdopted,
    NotVoted,
    PauseFailover,
    Purpose,
    Quiesced,
    RecordRefuted,
    ReleaseHeard,
    StandAgain,
    StandDown,
    StepDownReason,
    Swap,
    Told,
    Unknown,
    Voted,
)
from rppam.cluster.consensus.lease_writer import Sent
from rppam.cluster.consensus.membership import Membership, Version, VoterSet
from rppam.cluster.consensus.messages import Freeing, Vote, VoteRequestKind
from rppam.cluster.consensus.phase import Phase
from rppam.cluster.consensus.record import EPOCH_MAX
from rppam.cluster.consensus.record_challenge import REFUTED, UNSIGNED
from rppam.cluster.consensus.succession import NOBODY_FOLLOWS, is_left_in_hands
from rppam.kernel.fence import Fenced
from rppam.kernel.instant import US_PER_S, Instant, after

_STEPS: Final = frozenset((Phase.PROBING, Phase.LEARNING, Phase.ASKING, Phase.CLAIMING))
"""The steps of a candidate; each is bounded in time."""
_HOLDS: Final = frozenset((Phase.ASKING, Phase.CLAIMING, Phase.LEADER, Phase.QUIESCING))
"""Where promises for the own epoch are wanted, or may not be given back yet."""
_KEEPS_PEN_FREE: Final = frozenset((Phase.LEARNING, Phase.ASKING))


class Election(Candidate):
    """One node's part in the election. Drive it as :mod:`rppam.cluster.consensus` says."""

    # ---- questions --------------------------------------------------------------------------------------------------

    def deadline(self) -> Instant:
        """When to be polled next, at the latest."""
        wake = self._next_exchange
        if self.pen.sent is not None:
            wake = after(self.pen.sent.at, self.timing.request_timeout_us)
        elif self.watch.connection is None or self.phase in _KEEPS_PEN_FREE:
            wake = after(self._polled, US_PER_S)
        if self.phase in _STEPS:
            wake = min(wake, self._step_until)
        elif self.phase is Phase.LEADER:
            wake = wake if self.ledger.deadline is None else min(wake, self.ledger.deadline)
            wake = wake if self.voter is None else min(wake, self._next_renewal)
            wake = wake if self.doubt.until is None else min(wake, self.doubt.until)
        elif self.phase is Phase.STANDBY and self._is_candidate(self._polled):
            stand_at = self._stand_at()
            wake = wake if stand_at is None else min(wake, max(stand_at, self._back_off_until))
        expires_at = self.ballots.expires_at
        return wake if expires_at is None else min(wake, expires_at)

    def is_left_in_hands(self) -> bool:
        """Whether somebody else could lead if this node went, as far as disks tell."""
        if self.voter is None or self.electorate is None:
            return True
        has_store = self.watch.connection is not None
        return is_left_in_hands(self.voter, self.electorate, self.answers, *self._bodies(), has_store=has_store)

    # ---- time -------------------------------------------------------------------------------------------------------

    def poll(self, now: Instant) -> list[Effect]:
        """Time passed."""
        effects: list[Effect] = []
        self._notice_stall(now, effects)
        return self._act(now, effects)

    def _act(self, now: Instant, effects: list[Effect]) -> list[Effect]:
        self._polled = now
        self._heed_clocks(now)
        if self.no_epoch and self.leader(now) is not None:
            self.no_epoch = ""  # somebody could
        if self.phase is Phase.LEADER and not self.rules.has_permission(self.ledger.deadline, now):
            self._step_down(StepDownReason.PROMISE_ENDED, self._why_ended(now), effects)
        if self.phase is Phase.LEADER:
            self._confirm_epoch(now, effects)
            self._settle_doubt(now, effects)
        sent = self.pen.sent
        if sent is not None and now - sent.at >= self.timing.request_timeout_us:
            self._lost(sent, now, effects)
        self.ballots.expire(now)
        if self.phase in _STEPS and now >= self._step_until:
            self._step_ended(now, effects)
        elif self.phase is Phase.STANDBY and self._may_stand(now):
            self._stand(now, effects)
        self._ask_on(now, effects)
        idle = self.pen.sent is None and self.phase not in _KEEPS_PEN_FREE  # one request is under way at most
        if idle and self.watch.connection is not None and now >= self._next_exchange:
            self._exchange(self._routine(now), now, effects)
        return effects

    def _step_ended(self, now: Instant, effects: list[Effect]) -> None:
        if self.phase is Phase.LEARNING:
            self._ask(None, None, now, effects)
        elif self.phase is Phase.CLAIMING:
            self._lead(now, effects)
        else:
            self._give_up(now, effects)

    def _notice_stall(self, now: Instant, effects: list[Effect]) -> None:
        """TILT: a loop that ran late may have missed anything, so it reads before it acts."""
        if now - self._polled <= self.timing.heartbeat_us:
            return  # it cannot be late by more than that
        late_us = now - max(self.deadline(), self._polled)
        if late_us > self.timing.heartbeat_us and self._stalled_at is None:
            self._stalled_at = now
            effects.append(Told(f"stalled for {late_us // 1000} ms: this node watches, and acts when it caught up"))

    def _caught_up(self, sent_at: Instant) -> None:
        if self._stalled_at is not None and sent_at >= self._stalled_at:
            self._stalled_at = None

    # ---- events -----------------------------------------------------------------------------------------------------

    def receive(self, event: Event, now: Instant) -> list[Effect]:
        """Something happened."""
        effects: list[Effect] = []
        self._notice_stall(now, effects)
        match event:
            case Granted() | Found() | Unknown():
                self._replied(event, now, effects)
            case Voted(vote):
                self._voted(vote, now, effects)
            case NotVoted(voter, request):
                self.ballots.lost(voter, request)
            case Connected(number, identity, extra_wait_us):
                if self.pen.sent is not None:
                    self._lost(self.pen.sent, now, effects)
                self.watch.connected(number, identity, now, extra_wait_us)
                self._hurry(now)
            case Disconnected(number):
                if number == self.watch.connection:
                    if self.pen.sent is not None:
                        self._lost(self.pen.sent, now, effects)
                    self.watch.disconnected()
            case EpochLearned(attempt, highest, wall_ms):
                if self.phase is Phase.LEARNING and attempt == self._attempts:
                    self._ask(highest, wall_ms, now, effects)
            case EpochClaimed(attempt, outcome):
                if self.phase is Phase.CLAIMING and attempt == self._attempts:
                    self._claimed(outcome, now, effects)
                elif outcome is Fenced.REFUSED and attempt == self._attempts:  # it came to lead without an answer
                    self._fenced(FenceRefused(self.epoch, self.epoch), effects)
            case FenceRefused():
                self._fenced(event, effects)
            case Quiesced(epoch):
                if self.phase is Phase.QUIESCING and epoch == self.epoch:
                    self.phase = Phase.STANDBY
                    self._free(effects)
                    self._follow_up(now, effects)
                    self._hurry(now)
            case ReleaseHeard():
                self._let_the_invited_pass(now)
                self._hurry(now)
            case Invited():
                self._start_ahead(now)
                self._invite_oneself(after(now, self.timing.lease_us))
                self._hurry(now)
            case _:
                self._administered(event, now, effects)
        return self._act(now, effects)

    def _administered(self, event: Event, now: Instant, effects: list[Effect]) -> None:
        match event:
            case StandDown(why):
                self.electable = False
                if self.phase is Phase.LEADER:
                    self._step_down(StepDownReason.ASKED, why, effects)
                elif self.phase is not Phase.QUIESCING:
                    self._give_up(now, effects)
            case HandOver(to, why):
                if self.phase is Phase.LEADER and not self.is_left_in_hands():
                    effects.append(Told(NOBODY_FOLLOWS.format(why=why), is_warning=True))
                elif self.phase is Phase.LEADER:
                    self._invitee = to
                    self._back_off_until = after(now, self.rules.lease_us)
                    self._invite_oneself(after(now, 2 * self.rules.lease_us))  # should nobody follow
                    self._step_down(StepDownReason.ASKED, why, effects)
            case StandAgain():
                self.electable = True
            case AskAgain(members):
                if self.phase is Phase.LEADER:
                    self._put(VoteRequestKind.RENEW, members, now, effects)
                if self.voter is None or not members:
                    self._hurry(now)
            case PauseFailover(is_on):
                self.paused = is_on
                if self.phase in _STEPS and not self._is_candidate(now):
                    self._give_up(now, effects)
            case ImposeMembership(body):
                self._impose(body, effects)
            case ChangeMembership(body, stated_off):
                if self.phase is Phase.LEADER:
                    self.changes.want(body, stated_off, after(now, 10 * self.timing.lease_us))
            case MembershipAdopted(electorate):
                self._reweigh(electorate, now, effects)

    def _replied(self, event: Granted | Found | Unknown, now: Instant, effects: list[Effect]) -> None:
        sent = self.pen.sent
        if sent is None or event.request != sent.request:
            return  # a reply that nobody waits for counts for nothing
        if isinstance(event, Unknown) and not self.rules.unknown_is_granted():
            self._lost(sent, now, effects)
            return
        self.pen.sent = None
        self._next_exchange = now if self._hurried else after(sent.at, self.timing.heartbeat_us)
        self._hurried = False
        self._caught_up(sent.at)
        if isinstance(event, Found):
            self.watch.see(event.record, event.was_absent, now)
            if self.rules.is_unsigned(self.watch):
                sentence = UNSIGNED.format(holder=event.record.holder, epoch=event.record.epoch)
                effects.append(RecordRefuted(sentence))
            if self.phase is Phase.LEADER:
                self._found(sent, event.record, now, effects)
            elif self._asked_the_store(sent):
                self._give_up(now, effects)
            elif sent.swap is None and self._to_release(now) is not None:
                self._hurry(now)  # the sooner it is released, the sooner somebody leads
        elif sent.swap is not None:
            self.watch.see(sent.swap.proposed, was_absent=False, now=now)
            self.pen.wrote(sent.swap, self.watch.server)
            self._written(sent, sent.swap, now, effects)

    def _written(self, sent: Sent, swap: Swap, now: Instant, effects: list[Effect]) -> None:
        """A write was made. One of an attempt or a leadership that is over is merely what stands there now."""
        if swap.purpose is Purpose.RELEASE:
            return
        is_present = self.rules.is_of_attempt(swap, self.epoch)
        if swap.purpose is Purpose.ACQUIRE and self.phase is Phase.ASKING and is_present:
            self.pen.own = swap.proposed
            self._count(sent.at, now)
            self._won(now, effects)
        elif self.phase is Phase.LEADER and is_present:
            self._granted(swap, sent.at, now, effects)
        elif self.phase is Phase.LEADER:
            self._found(sent, swap.proposed, now, effects)

    def _voted(self, vote: Vote, now: Instant, effects: list[Effect]) -> None:
        """A member answered. What it grants for an epoch that is over is given back at once."""
        asked = self.ballots.take(vote)
        if vote.is_granted and vote.kind is not VoteRequestKind.PROBE:
            self._granted_me[vote.voter] = max(vote.epoch, self._granted_me.get(vote.voter, 0))
        wanted = vote.epoch == self.epoch and self.phase in _HOLDS
        if asked is None or (vote.kind is not VoteRequestKind.PROBE and not wanted):
            if vote.is_granted and vote.kind is not VoteRequestKind.PROBE and not wanted:
                effects.append(Free(vote.voter, Freeing(self.claim._replace(epoch=vote.epoch))))
            return
        self.heard[vote.voter] = now
        self.answers[vote.voter] = vote
        self.asked_at[vote.voter] = asked.at
        self._caught_up(asked.at)
        if vote.highest != self._granted_me.get(vote.voter):  # else it is this node's own attempt, and nobody's news
            self.watch.hear(vote.highest, 0 if self.voter is None else self.voter.known)
        self.changes.heard(vote.voter, vote.version)
        if vote.electorate is not None:
            effects.append(AdoptMembership(vote.electorate, vote.voter))
        self._take_note(vote, asked.at, now, effects)
        self.doubt.heard(vote, asked.at, counts=vote.voter not in self.rates.off)
        if not vote.is_granted or vote.voter in self.rates.off:
            return
        if vote.kind is VoteRequestKind.PROBE:
            self._would.add(vote.voter)
        elif self.phase is not Phase.LEADER or self.rules.write_counts(Purpose.RENEW, self.ledger.deadline, now):
            self.ledger.promise(vote.voter, self.rules.promised_until(asked.at, now))
            if self.phase is Phase.ASKING and self.rules.has_permission(self.ledger.deadline, now):
                self._won(now, effects)

    def _settle_doubt(self, now: Instant, effects: list[Effect]) -> None:
        record = self.doubt.record
        if record is None:
            return
        if self.doubt.is_refuted(*self._bodies()):
            self.doubt.settle()
            sentence = REFUTED.format(holder=record.holder, epoch=record.epoch, node=self.node)
            effects.append(RecordRefuted(sentence))
        elif self.doubt.is_true(now, *self._bodies()):
            self._replaced(record, effects)

    def _reweigh(self, electorate: Membership, now: Instant, effects: list[Effect]) -> None:
        """Other votes count from now on."""
        self.electorate = electorate
        self.ledger.reweigh(*self._bodies())
        self.watch.believes = self.store_has_vote
        self._next_renewal = now
        self.heard = {name: at for name, at in self.heard.items() if name in electorate.members}
        self.answers = {name: vote for name, vote in self.answers.items() if name in electorate.members}
        self.asked_at = {name: at for name, at in self.asked_at.items() if name in electorate.members}
        self.ballots.keep(electorate.members)
        self.rates.keep(electorate.members)
        self._heed_clocks(now)
        pending = " (pending: the old and the new votes are needed)" if electorate.old is not None else ""
        effects.append(
            Told(f"members are now {', '.join(electorate.body.members)}, version {electorate.version}{pending}")
        )
        if self.phase in {Phase.PROBING, Phase.ASKING}:
            self._give_up(now, effects)
        elif self.phase is Phase.LEADER and not electorate.may_stand(self.node):
            self._step_down(StepDownReason.ASKED, "this node is no member that may lead any more", effects)

    def _impose(self, body: VoterSet, effects: list[Effect]) -> None:
        """A new list of members above every one that is known, by the administrator's word alone; never on a leader.

        Also above one that was forged: wherever that was taken over, and its maker is no member, the same is imposed.
        Not above what the own vote finds plausible: so others do, too.
        """
        if self.voter is None or self.electorate is None or self.phase is Phase.LEADER:
            return
        known = min(max(self.watch.known, self._tried, self.voter.known), self.voter.plausible_max - 1)
        known = max(known, self.electorate.version.epoch)
        step = self.electorate.version.step if known >= EPOCH_MAX else 0
        imposed = Membership(self.electorate.lineage, Version(min(known + 1, EPOCH_MAX), step + 1), body)
        effects.append(Told(f"the list of members {imposed.version} is imposed by an administrator", is_warning=True))
        effects.append(AdoptMembership(imposed))

    def _lost(self, sent: Sent, now: Instant, effects: list[Effect]) -> None:
        """A request is given up as unknown. Its write may still be made: reading will show."""
        self.pen.sent = None
        self._next_exchange = max(now, after(sent.at, self.timing.heartbeat_us))
        self._hurried = False
        if self._asked_the_store(sent):
            self._give_up(now, effects)

    def _asked_the_store(self, sent: Sent) -> bool:
        """Whether this request was the present attempt's own, and no release that was still under way."""
        swap = sent.swap
        if swap is None or swap.purpose is not Purpose.ACQUIRE or self.phase is not Phase.ASKING:
            return False
        return self.rules.is_of_attempt(swap, self.epoch)
