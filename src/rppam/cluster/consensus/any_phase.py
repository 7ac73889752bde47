"""What an event means in whichever phase a node is; what is left to the phase, that one does.

A reply is granted, not granted, or unknown. Unknown is never yes and never no.
"""

from typing import Final

from rppam.cluster.consensus import effects as on
from rppam.cluster.consensus.effects import Event, Purpose
from rppam.cluster.consensus.holder import Leading
from rppam.cluster.consensus.membership import Membership, Version
from rppam.cluster.consensus.messages import Freeing, VoteRequestKind
from rppam.cluster.consensus.record import EPOCH_MAX
from rppam.cluster.consensus.state import PhaseState, give_up
from rppam.kernel.fence import Fenced
from rppam.kernel.instant import Instant, after

UNSIGNED: Final = (
    "a leadership record that no leader wrote: the cluster key did not sign it, so it is worth nothing; see who else "
    "may write these keys: ACL LIST. (A node of an older release signs none.) It names {holder} at epoch {epoch}"
)


def ignored(phase: PhaseState, event: Event, now: Instant) -> None:
    """Nothing follows from it in this phase, on purpose."""


# ---- the store ------------------------------------------------------------------------------------------------------


def connected(phase: PhaseState, event: on.Connected, now: Instant) -> None:
    """A new connection: what was under way is unknown, and the record is read at once."""
    state = phase.state
    if state.writer.sent is not None:
        state.lose(state.writer.sent, now)
    number, identity, extra_wait_us = event
    state.lease = state.lease.connected(state.rules.lease, number, identity, extra_wait_us, now)
    state.hurry(now)


def disconnected(phase: PhaseState, event: on.Disconnected, now: Instant) -> None:
    """The connection is gone."""
    state = phase.state
    if event.number == state.lease.connection:
        if state.writer.sent is not None:
            state.lose(state.writer.sent, now)
        state.lease = state.lease.disconnected(state.rules.lease)


def replied(phase: PhaseState, event: on.Granted | on.Found | on.Unknown, now: Instant) -> None:
    """The store has answered, or has not in time."""
    state, rules = phase.state, phase.state.rules.lease
    sent, pace = state.writer.sent, state.pace
    if sent is None or not rules.answers(event, sent):
        return  # a reply that nobody waits for counts for nothing
    if isinstance(event, on.Unknown) and not rules.unknown_is_granted():
        state.lose(sent, now)
        return
    state.writer.sent = None
    pace.next = now if pace.hurried else after(sent.at, state.me.timing.heartbeat_us)
    pace.hurried = False
    pace.caught_up(sent.at)
    if isinstance(event, on.Found):
        state.lease = state.lease.see(rules, event.record, sent.at, now, was_absent=event.was_absent)
        if rules.is_unsigned(state.lease):
            sentence = UNSIGNED.format(holder=event.record.holder, epoch=event.record.epoch)
            state.out.append(on.RecordRefuted(sentence))
        phase.found(sent, event.record, now)
    elif sent.swap is not None:
        state.lease = state.lease.see(rules, sent.swap.proposed, sent.at, now, was_absent=False)
        state.writer.wrote(sent.swap, state.lease.server)
        if sent.swap.purpose is not Purpose.RELEASE:
            phase.written(sent, sent.swap, now)


def release_heard(phase: PhaseState, event: on.ReleaseHeard, now: Instant) -> None:  # noqa: ARG001
    """Somebody says that the leader released: the one that it invited comes first, and this node reads."""
    state = phase.state
    rivals = sum(1 for name in state.membership.members if state.membership.may_stand(name))
    if rivals > 2 and not state.standing.is_invited(now, state.highest_led):
        state.standing.let_pass(now)
    state.hurry(now)


# ---- the members ----------------------------------------------------------------------------------------------------


def voted(phase: PhaseState, event: on.Voted, now: Instant) -> None:
    """A member answered. What it grants for an epoch that is over is given back at once."""
    state, peers, vote = phase.state, phase.state.peers, event.vote
    asked = peers.take(vote)
    is_promise = vote.is_granted and vote.kind is not VoteRequestKind.PROBE
    if is_promise:
        peers.granted(vote)
    is_wanted = vote.kind is VoteRequestKind.PROBE or (phase.wants_promises and vote.epoch == state.epoch)
    if is_promise and not is_wanted:
        state.out.append(on.Free(vote.voter, Freeing(state.candidacy._replace(epoch=vote.epoch))))
    if asked is None or not is_wanted:
        return
    state.pace.caught_up(asked.at)
    if peers.is_news(vote):
        state.lease = state.lease.hear(vote.highest, state.voter.vote.known)
    if vote.membership is not None:
        state.out.append(on.AdoptMembership(vote.membership, vote.voter))
    state.out.extend(peers.heard(vote, asked.at, now))
    state.obey_clocks(now)
    phase.answered(vote, asked.at)
    if vote.is_granted and vote.voter not in peers.rates.off:
        phase.granted(vote, asked.at, now)


def not_voted(phase: PhaseState, event: on.NotVoted, now: Instant) -> None:  # noqa: ARG001
    """A request gets no answer."""
    phase.state.peers.lost(event.voter, event.request)


def invited(phase: PhaseState, event: on.Invited, now: Instant) -> None:  # noqa: ARG001
    """A leader that has released asks this node to stand; that is no permission: it stands like anybody."""
    state = phase.state
    state.standing.start_ahead(now)
    state.standing.invite(after(now, state.me.timing.lease_us), state.highest_led)
    state.hurry(now)


def membership_adopted(phase: PhaseState, event: on.MembershipAdopted, now: Instant) -> None:
    """The own vote has taken over another list of members: other votes count from now on."""
    state, membership = phase.state, event.membership
    state.weigh(membership)
    phase.promises.reweigh(*state.weights)
    state.peers.keep(membership.members)
    state.obey_clocks(now)
    pending = " (pending: the old and the new votes are needed)" if membership.old is not None else ""
    state.tell(f"members are now {', '.join(membership.body.members)}, version {membership.version}{pending}")
    phase.reweighed(now)


# ---- the database ---------------------------------------------------------------------------------------------------


def fence_refused(phase: PhaseState, event: on.FenceRefused, now: Instant) -> None:  # noqa: ARG001
    """The database knows a newer epoch: a reason to go above it."""
    state = phase.state
    if not state.rules.leadership.fence_stops():
        return
    state.learn_fence(max(state.lease.epochs.fenced, event.highest))  # it may come late: the next attempt reads anew
    if isinstance(phase, Leading):
        phase.fence_refused(event)


def claim_refused(phase: PhaseState, event: on.EpochClaimed, now: Instant) -> None:
    """The database refuses the epoch of a node that came to lead without its answer."""
    state = phase.state
    if event.outcome is Fenced.REFUSED and event.attempt == state.attempts:
        fence_refused(phase, on.FenceRefused(state.epoch, state.epoch), now)


# ---- orders ---------------------------------------------------------------------------------------------------------


def stand_down(phase: PhaseState, event: on.StandDown, now: Instant) -> None:  # noqa: ARG001
    """This node does not stand any more."""
    phase.state.standing.electable = False
    give_up(phase.state, now)


def stand_down_later(phase: PhaseState, event: on.StandDown, now: Instant) -> None:  # noqa: ARG001
    """It stops already."""
    phase.state.standing.electable = False


def stand_again(phase: PhaseState, event: on.StandAgain, now: Instant) -> None:  # noqa: ARG001
    """It may be a candidate again."""
    phase.state.standing.electable = True


def pause_failover(phase: PhaseState, event: on.PauseFailover, now: Instant) -> None:  # noqa: ARG001
    """Automatic failover is paused, or resumed."""
    phase.state.standing.paused = event.is_on


def ask_again(phase: PhaseState, event: on.AskAgain, now: Instant) -> None:
    """Have the store's word now."""
    if not event.members:
        phase.state.hurry(now)


def ordered(phase: PhaseState, event: on.Ordered, now: Instant) -> None:  # noqa: ARG001
    """The order of succession is known."""
    phase.state.peers.succession = event.succession


def impose(phase: PhaseState, event: on.ImposeMembership, now: Instant) -> None:  # noqa: ARG001
    """A new list of members above every one that is known, by the administrator's word alone; never on a leader.

    Also above one that was forged: wherever that was taken over, and its maker is no member, the same is imposed. Not
    above what the own vote finds plausible: so others do, too.
    """
    state, vote = phase.state, phase.state.voter.vote
    before = state.membership
    if before.members:
        known = min(max(state.lease.epochs.known, state.epoch, vote.known), vote.plausible_max - 1)
        known = max(known, before.version.epoch)
        step = before.version.step if known >= EPOCH_MAX else 0
        version = Version(min(known + 1, EPOCH_MAX), step + 1)
        state.tell(f"the list of members {version} is imposed by an administrator", is_warning=True)
        state.out.append(on.AdoptMembership(Membership(before.lineage, version, event.body)))
