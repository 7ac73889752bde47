"""The election: who leads, decided by one node for itself.

**The rule.** A node leads while it holds unexpired promises worth more than half of all votes. A promise is
time-bounded: "for the next L, I support nobody else". Voters are the members, this node among them, and the store,
whose vote is given by the leadership record. Where no members vote, the record alone decides: a policy like the others.

**Theory.** No two nodes compare what their clocks show; each trusts its own boot-time clock, its *rate* to within r.
A holder asks all voters again every heartbeat and may act for D after it *sent* what was confirmed. A voter that
promised waits for L after it promised (``vote.py``), and a candidate for the store's vote must see the same record
unchanged for L after it *arrived* (``lease.py``). Since L >= D (1 + r) / (1 - r) + drop, the holder has stopped and
dropped the address before any voter is free. Each write of the record is a compare-and-set against exactly what was
last read, so a pause between reading and writing is harmless.

**The order.** Ask the members without obligation; learn which epochs were used; fix one above them all; ask the members
for it, the store once its votes complete the majority; claim it in the database, which may be silent; lead. Who needed
no vote of the store takes it then. So who is in the record had the votes: a failed attempt's name there costs a lease.

**To read on.** ``timing.py``; ``promises.py``: until when; ``vote.py``, ``lease.py``, ``membership.py``: the ideas;
``candidate.py``, ``holder.py``: the phases; ``rules.py``: what planted bugs replace; ``docs/leadership.md``: why.

**What this does not promise.** It cannot stop a paused process from believing what it likes when it wakes between two
instructions: ``db/fence.py`` refuses what a guarded write carries, ``(epoch, boot id)``, once a newer epoch was there.
Workers know the deadline (``process/shared_state.py``), the supervisor kills a control process that sleeps past it, the
kernel drops the address (``cluster/vip``). It does not survive a hypervisor that stops the boot-time clock of a guest.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from rppam.cluster.consensus import any_phase as any_, effects as on
from rppam.cluster.consensus.any_phase import ignored
from rppam.cluster.consensus.candidate import Claiming, Learning, Prevote, Standby, Step, Voting
from rppam.cluster.consensus.effects import Effect, Event, Phase, VoteEvent
from rppam.cluster.consensus.holder import Leading, Stopping
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.messages import VoteRequestKind
from rppam.cluster.consensus.record import Record, Seal
from rppam.cluster.consensus.rules import Rules
from rppam.cluster.consensus.state import PhaseState, State
from rppam.cluster.consensus.status import Status, status_of
from rppam.cluster.consensus.vote import SoleVoter, Voter, VoterEffect
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import Instant

Handler = Callable[[Any, Any, Instant], None]
"""What a phase makes of an event."""
Table = Mapping[type[Event], tuple[Handler, ...]]
"""By event a handler for each :class:`Phase`, in their order. After each of them time is looked at: see ``Tick``."""

# fmt: off
_learned, _claimed, _too_late, _quiesced = (
    Learning.epoch_learned, Claiming.epoch_claimed, any_.claim_refused, Stopping.quiesced)
_change, _hand_over, _step_down, _ask_members = (
    Leading.change_membership, Leading.hand_over, Leading.stand_down, Leading.ask_again)
_pause, _give_up, _not_again, _ask_store, _impose = (
    any_.pause_failover, any_.stand_down, any_.stand_down_later, any_.ask_again, any_.impose)
_stop_step = Step.pause_failover
TABLE: Final[Table] = {
    #                  standby     prevote     learning    voting      claiming    leading       stopping
    on.Tick:              (ignored,) * 7,
    on.Connected:         (any_.connected,) * 7,
    on.Disconnected:      (any_.disconnected,) * 7,
    on.Granted:           (any_.replied,) * 7,
    on.Found:             (any_.replied,) * 7,
    on.Unknown:           (any_.replied,) * 7,
    on.ReleaseHeard:      (any_.release_heard,) * 7,
    on.Voted:             (any_.voted,) * 7,
    on.NotVoted:          (any_.not_voted,) * 7,
    on.Invited:           (any_.invited,) * 7,
    on.MembershipAdopted: (any_.membership_adopted,) * 7,
    on.FenceRefused:      (any_.fence_refused,) * 7,
    on.StandAgain:        (any_.stand_again,) * 7,
    on.Ordered:           (any_.ordered,) * 7,
    on.EpochLearned:      (ignored,    ignored,    _learned,   ignored,    ignored,    ignored,      ignored),
    on.EpochClaimed:      (_too_late,  ignored,    ignored,    ignored,    _claimed,   _too_late,    _too_late),
    on.ChangeMembership:  (ignored,    ignored,    ignored,    ignored,    ignored,    _change,      ignored),
    on.HandOver:          (ignored,    ignored,    ignored,    ignored,    ignored,    _hand_over,   ignored),
    on.Quiesced:          (ignored,    ignored,    ignored,    ignored,    ignored,    ignored,      _quiesced),
    on.StandDown:         (_give_up,   _give_up,   _give_up,   _give_up,   _give_up,   _step_down,   _not_again),
    on.PauseFailover:     (_pause,     _stop_step, _stop_step, _stop_step, _stop_step, _pause,       _pause),
    on.AskAgain:          (_ask_store, _ask_store, _ask_store, _ask_store, _ask_store, _ask_members, _ask_store),
    on.ImposeMembership:  (_impose,    _impose,    _impose,    _impose,    _impose,    ignored,      _impose),
}
# fmt: on
PHASES: Final[tuple[type[PhaseState], ...]] = (Standby, Prevote, Learning, Voting, Claiming, Leading, Stopping)
_PLACES: Final[dict[type[PhaseState], int]] = {phase: place for place, phase in enumerate(PHASES)}
_OWN: Final = object()
"""The handle of this node's own requests."""


class Election:
    """One node's part in the election, and its own vote.

    One way in, :meth:`step`; one way out, the effects, to be carried out in order; one view, :meth:`status`. It is
    synchronous and total: it never blocks, never raises on an odd event, reads no clock and draws no chance of its own.
    ``now`` never goes back. It wants a :class:`Tick` no later than :meth:`deadline` says.
    """

    def __init__(
        self,
        me: Identity,
        entropy: Entropy,
        *,
        now: Instant,
        rules: Rules | None = None,
        voter: Voter | None = None,
        seal: Seal | None = None,
        electable: bool = True,
        paused: bool = False,
        table: Table = TABLE,
    ) -> None:
        """``voter``: this node's vote; without one the record alone decides. ``seal``: members sign the record so."""
        rules = rules or Rules.of(me.timing)
        self._voter = voter or SoleVoter(me, rules.vote, now)
        self._table = table
        self._state = State(
            me, rules, self._voter, entropy, Standby, now=now, seal=seal, electable=electable, paused=paused
        )
        self._status: Status | None = None
        self._deadline: Instant | None = None

    def step(self, event: Event | VoteEvent, now: Instant) -> list[Effect]:
        """Something happened, or time passed."""
        self._status = self._deadline = None
        if not isinstance(event, VoteEvent):
            return self._handle(event, now)
        match event:
            case on.Asked(request, handle):
                effects = self._voted(self._voter.ask(request, handle, now), now)
                is_renewal = request.kind is VoteRequestKind.RENEW and self._voter.vote.leader(now) == request.candidacy
                state = self._state
                if is_renewal and state.phase.name is Phase.STANDBY and state.writer.sent is None:
                    state.pace.keep_step(state.me.timing.heartbeat_us, now)
                return effects
            case on.Freed(freeing):
                self._voter.freed(freeing)
                return self._handle(on.ReleaseHeard(), now)
            case on.Saved(ticket, why_not):
                return self._voted(self._voter.saved(ticket, why_not), now)
            case on.Tried(why_not):
                return self._voted(self._voter.tried(why_not), now)
            case on.Ready(readiness):
                self._voter.ready(readiness)
                return []

    def deadline(self) -> Instant:
        """When to be told of the time next, at the latest."""
        if self._deadline is None:
            self._deadline = self._due()
        return self._deadline

    def status(self) -> Status:
        """What there is to know of it now."""
        if self._status is None:
            self._status = status_of(self._state)
        return self._status

    def mark(self) -> Record:
        """What to leave where no record is."""
        return self._state.mark()

    def released(self, record: Record, seq: int) -> Record:
        """What releases this own ``record``. It reveals the secret of that epoch: keep it where it is safe."""
        return self._state.writer.released(record, seq)

    # ---- the machine ------------------------------------------------------------------------------------------------

    def _handle(self, event: Event, now: Instant) -> list[Effect]:
        state = self._state
        self._notice_stall(now)
        phase = state.phase
        self._table[type(event)][_PLACES[type(phase)]](phase, event, now)
        self._look_at_time(now)
        effects, state.out = state.out, []
        return self._route(effects, now) if effects else effects

    def _look_at_time(self, now: Instant) -> None:
        state = self._state
        writer, standing = state.writer, state.standing
        state.pace.polled = now
        state.obey_clocks(now)
        if standing.no_epoch and status_of(state).leader(now) is not None:
            standing.no_epoch = ""  # somebody could
        state.phase.expire(now)
        if writer.sent is not None and now - writer.sent.at >= state.me.timing.request_timeout_us:
            state.lose(writer.sent, now)
        state.peers.expire(now)
        state.phase.due(now)
        state.phase.ask_on(now)
        is_idle = writer.sent is None and not state.phase.keeps_writer_free  # one request is under way at most
        if is_idle and state.lease.connection is not None and now >= state.pace.next:
            state.exchange(state.phase.routine(now), now)

    def _due(self) -> Instant:
        phase = self._state.phase
        wake, expires_at = phase.wake(phase.store_due()), self._state.peers.expires_at
        return wake if expires_at is None else min(wake, expires_at)

    def _notice_stall(self, now: Instant) -> None:
        """TILT: a loop that ran late may have missed anything, so a candidate reads before it stands."""
        pace, beat_us = self._state.pace, self._state.me.timing.heartbeat_us
        if now - pace.polled <= beat_us:
            return  # it cannot be late by more than that
        late_us = now - max(self._due(), pace.polled)
        if late_us > beat_us and pace.stalled_at is None:
            pace.stalled_at = now
            told = f"stalled for {late_us // 1000} ms: this node does not stand before it has caught up"
            self._state.out.append(on.Told(told))

    # ---- the own vote -----------------------------------------------------------------------------------------------

    def _route(self, effects: list[Effect], now: Instant) -> list[Effect]:
        """A node asks its own vote with the same requests as everybody else's; what is asked of it is answered here."""
        out: list[Effect] = []
        me = self._state.me.node
        for effect in effects:
            if isinstance(effect, on.Ask) and effect.to == me:
                out.extend(self._voted(self._voter.ask(effect.vote_request, _OWN, now), now))
            elif isinstance(effect, on.Free) and effect.to == me:
                self._voter.freed(effect.freeing)
            elif isinstance(effect, on.AdoptMembership):
                out.extend(self._voted(self._voter.adopt(effect.membership, now, effect.told_by), now))
            else:
                out.append(effect)
        return out

    def _voted(self, effects: list[VoterEffect], now: Instant) -> list[Effect]:
        """Hand the own vote's answer to the own election, and tell it of another list of members first.

        What is to be kept goes out before that: the election may change the members again at once, and what is kept
        later must be what was decided later.
        """
        out: list[Effect] = [effect for effect in effects if not _is_own(effect)]
        membership = self._voter.vote.membership
        if membership is not None and membership is not self._state.membership:
            out.extend(self._handle(on.MembershipAdopted(membership), now))
        for effect in effects:
            if isinstance(effect, on.SendVote) and _is_own(effect):
                out.extend(self._handle(on.Voted(effect.vote), now))
        return out


def _is_own(effect: VoterEffect) -> bool:
    return isinstance(effect, on.SendVote) and effect.handle is _OWN
