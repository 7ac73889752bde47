"""The tempting shortcuts of members that vote, one class each. The table is in :mod:`rppam_sim.plants`."""

from rppam.cluster.consensus.effects import Effect, Event, Invited, StepDownReason
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.ledger import Ledger, Weights
from rppam.cluster.consensus.membership import Membership, VoterSet
from rppam.cluster.consensus.membership_change import MembershipChange
from rppam.cluster.consensus.messages import (
    NO_CLAIM,
    Candidacy,
    Freeing,
    PersistedVote,
    Refusal,
    VoteRequest,
    VoteRequestKind,
)
from rppam.cluster.consensus.phase import Phase
from rppam.cluster.consensus.timing import Timing
from rppam.cluster.consensus.voter import SaveKept, SendVote, Voter, VoterEffect
from rppam.kernel.instant import Instant, after

# ---- how a member keeps its word ------------------------------------------------------------------------------------


class NoAbstention(Voter):
    def __init__(self, node: str, boot_id: str, timing: Timing, kept: PersistedVote, *, now: Instant) -> None:
        super().__init__(node, boot_id, timing, kept, now=now)
        self._boot_until = now


class EmptyIsNew(Voter):
    def __init__(self, node: str, boot_id: str, timing: Timing, kept: PersistedVote, *, now: Instant) -> None:
        super().__init__(node, boot_id, timing, kept, now=now)
        if kept.claim == NO_CLAIM:
            self._boot_until = now


class ForgetsEpoch(Voter):
    def __init__(self, node: str, boot_id: str, timing: Timing, kept: PersistedVote, *, now: Instant) -> None:
        forgetful = PersistedVote(NO_CLAIM, kept.electorate)
        super().__init__(node, boot_id, timing, forgetful, now=now)


class VotesTwice(Voter):
    def _promised_to_another(self, candidate: str, boot_id: str, now: Instant) -> bool:  # noqa: ARG002
        return False


class FreesByName(Voter):
    def freed(self, freeing: Freeing) -> None:
        if freeing.claim.candidate == self.claim.candidate:
            freeing = Freeing(self.claim)
        super().freed(freeing)


class LateQuestionCounts(Voter):
    def is_stale(self, claim: Candidacy) -> bool:  # noqa: ARG002
        return False


class SeenEpochBinds(Voter):
    def _refusal(self, ballot: VoteRequest, now: Instant) -> Refusal:
        refusal = super()._refusal(ballot, now)
        if refusal is not Refusal.NONE and ballot.claim.epoch > self.highest:
            self.highest = ballot.claim.epoch
            self.claim = self.claim._replace(epoch=ballot.claim.epoch)
        return refusal


class ProbeBinds(Voter):
    def ask(self, ballot: VoteRequest, handle: object, now: Instant) -> list[VoterEffect]:
        effects = super().ask(ballot, handle, now)
        if ballot.kind is VoteRequestKind.PROBE and self._refusal(ballot, now) is Refusal.NONE:
            self.claim = ballot.claim
            self.promised_until = after(now, self.timing.lease_us)
        return effects


class AnswersBeforeKept(Voter):
    def ask(self, ballot: VoteRequest, handle: object, now: Instant) -> list[VoterEffect]:
        effects = super().ask(ballot, handle, now)
        effects.extend(SendVote(waiting.handle, waiting.vote) for waiting in self._waiting)
        self._waiting.clear()
        return sorted(effects, key=lambda effect: isinstance(effect, SaveKept))


class DiskUntold(Voter):
    def tells_disk(self) -> bool:
        return False


class HandsOverToNobody(Election):
    def is_left_in_hands(self) -> bool:
        return True


class RenewsAnybody(Voter):
    def _refusal(self, ballot: VoteRequest, now: Instant) -> Refusal:
        refusal = super()._refusal(ballot, now)
        if refusal is Refusal.BOOT_WAIT and ballot.kind is VoteRequestKind.RENEW:
            return Refusal.NONE
        return refusal


class BelievesAnyMembership(Voter):
    def may_bring(self, sender: str, electorate: Membership) -> bool:  # noqa: ARG002
        return True


class OldMembershipCounts(Voter):
    def is_outdated(self, theirs: Membership) -> bool:  # noqa: ARG002
        return False


# ---- the candidate and the leader -----------------------------------------------------------------------------------


class EpochAfterGrants(Election):
    """Asks for votes at any epoch that will be granted, and then fixes its own by what it knows itself."""

    def _ask(self, highest: int | None, wall_ms: int | None, now: Instant, effects: list[Effect]) -> None:
        self._late = max((highest or 0) + 1, wall_ms or 0, self._tried + 1)
        super()._ask(highest, wall_ms, now, effects)

    def _won(self, now: Instant, effects: list[Effect]) -> None:
        self.epoch = self._tried = self._late
        super()._won(now, effects)


class InvitationPermits(Election):
    """Who is invited leads at once, on the promises that the inviter had."""

    def receive(self, event: Event, now: Instant) -> list[Effect]:
        if isinstance(event, Invited) and self.phase is Phase.STANDBY and self.electable and self.voter is not None:
            self.epoch = self._tried = max(self.watch.highest, self._tried, self.voter.highest) + 1
            for name in self._voters():
                self.ledger.promise(name, self.rules.promised_until(now, now))
            self._attempts += 1
            effects: list[Effect] = []
            self._won(now, effects)
            return effects
        return super().receive(event, now)


class BelievesAnyRecord(Election):
    @property
    def store_has_vote(self) -> bool:
        return True


class FreesFirst(Election):
    def _step_down(self, reason: StepDownReason, why: str, effects: list[Effect]) -> None:
        super()._step_down(reason, why, effects)
        self._free(effects)


class StoreFirst(Election):
    """The record is written before a member was asked."""

    def _ask_on(self, now: Instant, effects: list[Effect]) -> None:
        if self.phase is Phase.ASKING and self.pen.sent is None and self.pen.own is None:
            swap = self._acquisition(now) if self.watch.connection is not None else None
            if swap is not None:
                self._exchange(swap, now, effects)
                return
        super()._ask_on(now, effects)


# ---- changes of the electorate --------------------------------------------------------------------------------------


class OnlyTheNew(Election):
    def _bodies(self) -> tuple[Weights, ...]:
        if self.voter is None or self.electorate is None:
            return super()._bodies()
        return (self.electorate.body.weights,)


class TooFew(MembershipChange):
    """In force with one fewer than needed."""

    def is_in_force(self, electorate: Membership) -> bool:
        old = electorate.old
        return old is None or self.have(electorate, old) >= old.blocking - 1

    def have(self, electorate: Membership, old: VoterSet) -> int:
        return sum(1 for member in old.members if self.has(member, electorate.version))


class ByMajority(TooFew):
    """In force once more than half of the old members have it, whatever the policy."""

    def is_in_force(self, electorate: Membership) -> bool:
        old = electorate.old
        return old is None or 2 * self.have(electorate, old) > len(old.members)


class Shortens(MembershipChange):
    """A step is taken although the leader was given more under the votes of before."""

    def next(self, electorate: Membership, ledger: Ledger, epoch: int, least: Instant) -> Membership | None:
        ledger.longest = None
        return super().next(electorate, ledger, epoch, least)
