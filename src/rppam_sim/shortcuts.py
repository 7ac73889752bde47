"""The tempting shortcuts, one class each: what they replace is the clause that they show to be needed.

The table of planted bugs is in :mod:`rppam_sim.plants`; docs/leadership.md tells each beside its clause.
"""

from collections.abc import Collection
from typing import Any

from rppam.cluster.consensus.any_phase import ignored
from rppam.cluster.consensus.candidate import Claiming
from rppam.cluster.consensus.clock_rates import Rates
from rppam.cluster.consensus.effects import (
    Exchange,
    FenceRefused,
    Found,
    Granted,
    Invited,
    Phase,
    Purpose,
    Swap,
    Unknown,
)
from rppam.cluster.consensus.election import TABLE, Table
from rppam.cluster.consensus.exchange import Exchanged
from rppam.cluster.consensus.lease import LeaseObserver, Sent
from rppam.cluster.consensus.membership import Membership, VoterSet
from rppam.cluster.consensus.messages import NO_CANDIDACY, Candidacy, PersistedVote, VoteRequestKind
from rppam.cluster.consensus.promises import Promises, Weights
from rppam.cluster.consensus.record import Record, RecordState, parse_record, vacant
from rppam.cluster.consensus.rules import LeadershipRules, LeaseRules, MembershipRules, VoteRules
from rppam.cluster.consensus.state import PhaseState
from rppam.cluster.consensus.timing import Timing
from rppam.cluster.consensus.vote import OwnVote
from rppam.kernel.instant import US_PER_MS, Instant, after
from rppam_sim.clocks import MILLION
from rppam_sim.host import Host
from rppam_sim.store import SimStore

# ---- the holder -----------------------------------------------------------------------------------------------------


class FromReply(LeadershipRules):
    def promised_until(self, sent: Instant, arrived: Instant) -> Instant:  # noqa: ARG002
        return after(arrived, self.promise_us)


class NoRateMargin(LeadershipRules):
    def __init__(self, timing: Timing) -> None:
        super().__init__(timing)
        self.promise_us = (timing.lease_us - timing.drop_ms * US_PER_MS) * MILLION // (MILLION + timing.rate_error_ppm)


class NeverExpires(LeadershipRules):
    def has_permission(self, deadline: Instant | None, now: Instant) -> bool:  # noqa: ARG002
        return deadline is not None


class LateRenewal(LeadershipRules):
    def write_counts(self, purpose: Purpose, deadline: Instant | None, now: Instant) -> bool:
        return purpose is Purpose.RENEW or super().write_counts(purpose, deadline, now)


class LateRecreation(LeadershipRules):
    def write_counts(self, purpose: Purpose, deadline: Instant | None, now: Instant) -> bool:
        return purpose is Purpose.RECREATE or super().write_counts(purpose, deadline, now)


class WrongClockCountsStore(LeadershipRules):
    """Either half of the clause alone makes nearly every run safe: who holds the vote, and who wants it."""

    def store_counts(self, rates: Rates, others: Collection[str], rivals: Collection[str]) -> bool:  # noqa: ARG002
        return True

    def longer_us(self, rates: Rates, rivals: Collection[str], now: Instant) -> int:  # noqa: ARG002
        return 0


class OwnNamePermits(LeadershipRules):
    def reading_counts(self) -> bool:
        return True


class ReleasesFirst(LeadershipRules):
    def releases_before_stopping(self) -> bool:
        return True


class FreesFirst(LeadershipRules):
    def frees_before_stopping(self) -> bool:
        return True


class HandsOverToNobody(LeadershipRules):
    def may_go(self, *, is_left_in_hands: bool) -> bool:  # noqa: ARG002
        return True


class NeverLooksAtTheFence(LeadershipRules):
    def confirms_epoch(self) -> bool:
        return False


class SeqRestarts(LeaseRules):
    def seq_after_loss(self, own: int) -> int:  # noqa: ARG002
        return 0


class SeqStoredPlusOne(LeaseRules):
    def next_seq(self, own: int, found: Record) -> int:  # noqa: ARG002
        return found.seq + 1


class UnknownIsGranted(LeaseRules):
    def unknown_is_granted(self) -> bool:
        return True


class OldReplyCounts(LeaseRules):
    def answers(self, reply: Granted | Found | Unknown, sent: Sent) -> bool:
        return isinstance(reply, Granted) or super().answers(reply, sent)


class LowerEpochStops(LeaseRules):
    def may_rewrite(self, found: Record, epoch: int) -> bool:  # noqa: ARG002
        return found.state is RecordState.VACANT


class SeenEpochStops(LeaseRules):
    def may_rewrite(self, found: Record, epoch: int) -> bool:
        return found.epoch <= epoch and super().may_rewrite(found, epoch)


# ---- the candidate --------------------------------------------------------------------------------------------------


class AbsencePermits(LeaseRules):
    def may_take(self, lease: LeaseObserver, now: Instant) -> bool:
        vacant_now = lease.record is not None and lease.record.state is RecordState.VACANT
        return vacant_now or super().may_take(lease, now)


class LeaseOfSilenceIsEnough(LeaseRules):
    def silence_us(self, lease: LeaseObserver) -> int:  # noqa: ARG002
        return self.lease_us


class NewIdentityBelieved(LeaseRules):
    def release_is_believed(self, lease: LeaseObserver, record: Record, now: Instant) -> bool:  # noqa: ARG002
        return record.state is RecordState.RELEASED and record.epoch >= lease.epochs.led


class ReleaseNeedsNoProof(LeaseRules):
    def is_proven(self, lease: LeaseObserver, record: Record) -> bool:  # noqa: ARG002
        return True


class FreshCommitmentBelieved(LeaseRules):
    def proven_since(self, lease: LeaseObserver, record: Record) -> Instant | None:  # noqa: ARG002
        return lease.trusted_since


class UnsignedCounts(LeaseRules):
    def is_unsigned(self, lease: LeaseObserver) -> bool:  # noqa: ARG002
        return False


class OwnNameNeedsNoWait(LeaseRules):
    def may_take(self, lease: LeaseObserver, now: Instant) -> bool:
        record = lease.record
        own = record is not None and record.state is RecordState.HELD and record.holder == lease.me.node
        return own or super().may_take(lease, now)


class ReusesEpoch(LeadershipRules):
    def pick_epoch(self, lease: LeaseObserver, tried: int, database: int | None, wall_ms: int) -> int:
        record = lease.record
        if record is not None and record.state is RecordState.RELEASED and record.epoch >= lease.epochs.led:
            return record.epoch
        return super().pick_epoch(lease, tried, database, wall_ms)


class SameEpochIsAbove(LeaseRules):
    def is_above(self, record: Record, epoch: int) -> bool:
        return record.epoch <= epoch


class EpochFromStore(LeadershipRules):
    def pick_epoch(self, lease: LeaseObserver, tried: int, database: int | None, wall_ms: int) -> int:  # noqa: ARG002
        return (lease.record.epoch if lease.record is not None else 0) + 1


class EpochAfterGrants(LeadershipRules):
    """Asks for votes at any epoch that will be granted, and then fixes its own by what it knows itself."""

    def epoch_to_lead(self, asked: int, tried: int, database: int | None, wall_ms: int) -> int:  # noqa: ARG002
        return max((database or 0) + 1, wall_ms, tried + 1)


class StoreFirst(LeadershipRules):
    """The record is written before a member was asked."""

    def asks_store(self, granted: Collection[str], *sets: Weights) -> bool:  # noqa: ARG002
        return True


class NoBootWait(LeaseRules):
    def watched_from(self, before: LeaseObserver, asked_at: Instant, arrived: Instant) -> Instant:
        first = before.epochs.led == 0 and before.record is None
        return Instant(arrived - 10**12) if first else super().watched_from(before, asked_at, arrived)


class WaitsFromAsking(LeaseRules):
    def watched_from(self, before: LeaseObserver, asked_at: Instant, arrived: Instant) -> Instant:  # noqa: ARG002
        return asked_at


class SurvivesReconnect(LeaseRules):
    def connection_begins_anew(self) -> bool:
        return False


class LowerEpochWaitsOn(LeaseRules):
    def begins_anew(self, before: LeaseObserver, record: Record) -> bool:
        return record.epoch >= before.epochs.led or before.since is None

    def trusts_all_the_same(self, before: LeaseObserver, record: Record) -> bool:
        return not self.begins_anew(before, record)


class AbsenceWaitsOn(LeaseRules):
    def begins_anew(self, before: LeaseObserver, record: Record) -> bool:
        return record.state is not RecordState.VACANT or before.since is None

    def trusts_all_the_same(self, before: LeaseObserver, record: Record) -> bool:
        return not self.begins_anew(before, record)


class IgnoresSeq(LeaseRules):
    def begins_anew(self, before: LeaseObserver, record: Record) -> bool:
        return before.record is None or before.record._replace(seq=record.seq) != record


class LateTakeoverCounts(LeaseRules):
    def is_of_attempt(self, swap: Swap, epoch: int) -> bool:  # noqa: ARG002
        return True


class ClaimsWithoutMajority(LeadershipRules):
    def may_claim(self, deadline: Instant | None, now: Instant) -> bool:  # noqa: ARG002
        return True


def leads_at_once(phase: PhaseState, event: Invited, now: Instant) -> None:  # noqa: ARG001
    """On the promises that the inviter had, as if they had been given to this node."""
    state = phase.state
    if not state.standing.electable:
        return
    state.epoch = max(state.lease.epochs.led, state.epoch, state.voter.vote.highest) + 1
    promises = Promises(*state.weights)
    for name in sorted({name for votes in state.weights for name in votes}):
        promises.add(name, state.rules.leadership.promised_until(now, now))
    state.attempts += 1
    state.phase = Claiming(state, promises, now)


def replaced(event: type[Any], handler: Any, *phases: Phase) -> Table:
    """The table of the election with another handler of an event, in these phases or in all."""
    row = tuple(
        handler if not phases or phase in phases else usual for phase, usual in zip(Phase, TABLE[event], strict=True)
    )
    return {**TABLE, event: row}


INVITATION_PERMITS = replaced(Invited, leads_at_once, Phase.STANDBY)
HEEDS_NO_FENCE = replaced(FenceRefused, ignored)

# ---- how a member keeps its word ------------------------------------------------------------------------------------


class NoAbstention(VoteRules):
    def abstains_until(self, kept: PersistedVote, now: Instant) -> Instant:  # noqa: ARG002
        return now


class EmptyIsNew(VoteRules):
    def abstains_until(self, kept: PersistedVote, now: Instant) -> Instant:
        return now if kept.candidacy == NO_CANDIDACY else super().abstains_until(kept, now)


class ForgetsEpoch(VoteRules):
    def recalls(self, kept: PersistedVote) -> PersistedVote:
        return PersistedVote(NO_CANDIDACY, kept.membership)


class VotesTwice(VoteRules):
    def is_promised(self, vote: OwnVote, candidacy: Candidacy, now: Instant) -> bool:  # noqa: ARG002
        return False


class FreesByName(VoteRules):
    def releases(self, vote: OwnVote, given_back: Candidacy) -> bool:
        return given_back.candidate == vote.promise.candidate


class LateQuestionCounts(VoteRules):
    def is_stale(self, vote: OwnVote, candidacy: Candidacy) -> bool:  # noqa: ARG002
        return False


class SeenEpochBinds(VoteRules):
    def refused_epoch_binds(self) -> bool:
        return True


class ProbeBinds(VoteRules):
    def prevote_binds(self) -> bool:
        return True


class AnswersBeforeKept(VoteRules):
    def answers_before_kept(self) -> bool:
        return True


class DiskUntold(VoteRules):
    def tells_disk(self, vote: OwnVote) -> bool:  # noqa: ARG002
        return False


class RenewsAnybody(VoteRules):
    def abstains(self, vote: OwnVote, kind: VoteRequestKind, now: Instant) -> bool:
        return kind is not VoteRequestKind.RENEW and super().abstains(vote, kind, now)


class BelievesAnyMembership(VoteRules):
    def may_bring(self, vote: OwnVote, sender: str, offered: Membership, others: frozenset[str]) -> bool:  # noqa: ARG002
        return True


class OldMembershipCounts(VoteRules):
    def is_outdated(self, vote: OwnVote, theirs: Membership) -> bool:  # noqa: ARG002
        return False


# ---- votes and their change -----------------------------------------------------------------------------------------


class BelievesAnyRecord(MembershipRules):
    def store_has_vote(self, *sets: Weights) -> bool:  # noqa: ARG002
        return True


class OnlyTheNew(MembershipRules):
    def voter_sets(self, membership: Membership) -> tuple[VoterSet, ...]:
        return (membership.body,)


class TooFew(MembershipRules):
    """In force with one fewer than needed."""

    def is_in_force(self, have: int, old: VoterSet) -> bool:
        return have >= old.blocking - 1


class ByMajority(MembershipRules):
    """In force once more than half of the old members have it, whatever the policy."""

    def is_in_force(self, have: int, old: VoterSet) -> bool:
        return 2 * have > len(old.members)


class Shortens(MembershipRules):
    """A step is taken although the leader was given more under the votes of before."""

    def lasts(self, deadline: Instant, longest: Instant | None) -> bool:  # noqa: ARG002
        return True


# ---- the store ------------------------------------------------------------------------------------------------------


class ReleaseCreates(SimStore):
    def decide(self, stands: str | None, swap: Swap | None, mark: Record, stamp: str) -> Exchanged:
        if stands is None and swap is not None and swap.purpose is Purpose.RELEASE:
            return Exchanged(swap.proposed.encode(), granted=True, was_absent=True, moved_aside=False)
        return super().decide(stands, swap, mark, stamp)


class Blind(SimStore):
    purpose: Purpose

    def holds(self, stands: Record, swap: Swap) -> bool:  # noqa: ARG002
        return True

    def decide(self, stands: str | None, swap: Swap | None, mark: Record, stamp: str) -> Exchanged:
        record = None if stands is None else parse_record(stands)
        if record is not None and swap is not None and swap.purpose is self.purpose and self.holds(record, swap):
            return Exchanged(swap.proposed.encode(), granted=True, was_absent=False, moved_aside=False)
        return super().decide(stands, swap, mark, stamp)


class ReleaseByName(Blind):
    purpose = Purpose.RELEASE

    def holds(self, stands: Record, swap: Swap) -> bool:
        return stands.holder == swap.proposed.holder


class BlindRenewal(Blind):
    purpose = Purpose.RENEW


class BlindTakeover(Blind):
    purpose = Purpose.ACQUIRE


class MarkRepeats(SimStore):
    def decide(self, stands: str | None, swap: Swap | None, mark: Record, stamp: str) -> Exchanged:  # noqa: ARG002
        return super().decide(stands, swap, mark, "")


class Unmarked(SimStore):
    """Absence has no mark of its own: it is one value, always the same, and a write may be made upon it."""

    def request(self, effect: Exchange, now_us: int) -> Granted | Found:
        answer = super().request(effect._replace(mark=vacant(0, "0" * 16)), now_us)
        record = None if self.text is None else parse_record(self.text)
        if record is not None and record.state is RecordState.VACANT:
            self.write(None, now_us)
        return answer

    def decide(self, stands: str | None, swap: Swap | None, mark: Record, stamp: str) -> Exchanged:  # noqa: ARG002
        return super().decide(mark.encode() if stands is None else stands, swap, mark, "")


# ---- the places written to, and the clock ---------------------------------------------------------------------------


def accepts_all(fence_epoch: int, fence_boot_id: str, epoch: int, boot_id: str) -> bool:  # noqa: ARG001
    return True


def ignores_boot_id(fence_epoch: int, fence_boot_id: str, epoch: int, boot_id: str) -> bool:  # noqa: ARG001
    return epoch >= fence_epoch


class WallClockHost(Host):
    """Takes the wall clock for the time; as a contract demands, its time at least never goes back."""

    def now(self, true_us: int) -> Instant:
        self.last_now = max(self.last_now, self.wall.read_ms(true_us) * US_PER_MS + true_us % US_PER_MS)
        return Instant(self.last_now)

    def true_at(self, instant: Instant, true_us: int) -> int:
        return true_us + max(0, instant - (self.wall.read_ms(true_us) * US_PER_MS + true_us % US_PER_MS))
