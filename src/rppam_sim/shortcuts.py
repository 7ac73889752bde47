"""The tempting shortcuts, one class each: what they replace is the clause that they show to be needed.

The table of planted bugs is in :mod:`rppam_sim.plants`; docs/leadership.md tells each beside its clause.
"""

from collections.abc import Collection

from rppam.cluster.consensus.clock_rates import Rates
from rppam.cluster.consensus.effects import (
    Effect,
    Event,
    Exchange,
    FenceRefused,
    Found,
    Granted,
    Purpose,
    StepDownReason,
    Swap,
    Unknown,
)
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.exchange import Exchanged
from rppam.cluster.consensus.lease_observer import LeaseObserver
from rppam.cluster.consensus.lease_writer import Sent
from rppam.cluster.consensus.phase import Phase
from rppam.cluster.consensus.record import Record, RecordState, Seal, parse_record, vacant
from rppam.cluster.consensus.rules import Rules
from rppam.cluster.consensus.timing import Timing
from rppam.cluster.consensus.voter import Voter
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import US_PER_MS, Instant, after
from rppam_sim.clocks import MILLION
from rppam_sim.host import Host
from rppam_sim.store import SimStore

# ---- the holder -----------------------------------------------------------------------------------------------------


class FromReply(Rules):
    def promised_until(self, sent: Instant, arrived: Instant) -> Instant:  # noqa: ARG002
        return after(arrived, self.promise_us)


class NoRateMargin(Rules):
    def __init__(self, timing: Timing) -> None:
        super().__init__(timing)
        self.promise_us = (timing.lease_us - timing.drop_ms * US_PER_MS) * MILLION // (MILLION + timing.rate_error_ppm)


class NeverExpires(Rules):
    def has_permission(self, deadline: Instant | None, now: Instant) -> bool:  # noqa: ARG002
        return deadline is not None


class LateRenewal(Rules):
    def write_counts(self, purpose: Purpose, deadline: Instant | None, now: Instant) -> bool:
        return purpose is Purpose.RENEW or super().write_counts(purpose, deadline, now)


class LateRecreation(Rules):
    def write_counts(self, purpose: Purpose, deadline: Instant | None, now: Instant) -> bool:
        return purpose is Purpose.RECREATE or super().write_counts(purpose, deadline, now)


class WrongClockCountsStore(Rules):
    """Either half of the clause alone makes nearly every run safe: who holds the vote, and who wants it."""

    def store_counts(self, rates: Rates, others: Collection[str], rivals: Collection[str]) -> bool:  # noqa: ARG002
        return True

    def longer_us(self, rates: Rates, rivals: Collection[str], now: Instant) -> int:  # noqa: ARG002
        return 0


class SeqRestarts(Rules):
    def seq_after_loss(self, own: int) -> int:  # noqa: ARG002
        return 0


class SeqStoredPlusOne(Rules):
    def next_seq(self, own: int, found: Record) -> int:  # noqa: ARG002
        return found.seq + 1


class UnknownIsGranted(Rules):
    def unknown_is_granted(self) -> bool:
        return True


class LowerEpochStops(Rules):
    def may_rewrite(self, found: Record, epoch: int) -> bool:  # noqa: ARG002
        return found.state is RecordState.VACANT


class SeenEpochStops(Rules):
    def may_rewrite(self, found: Record, epoch: int) -> bool:
        return found.epoch <= epoch and super().may_rewrite(found, epoch)


class OwnNamePermits(Election):
    def _found(self, sent: Sent, found: Record, now: Instant, effects: list[Effect]) -> None:
        super()._found(sent, found, now, effects)
        if self.phase is Phase.LEADER and self.pen.own is not None:
            self._count(sent.at, now)


class ReleasesFirst(Election):
    def _step_down(self, reason: StepDownReason, why: str, effects: list[Effect]) -> None:
        super()._step_down(reason, why, effects)
        self.phase = Phase.STANDBY


class OldReplyCounts(Election):
    def receive(self, event: Event, now: Instant) -> list[Effect]:
        if isinstance(event, Granted) and self.pen.sent is not None:
            event = Granted(self.pen.sent.request)
        return super().receive(event, now)


# ---- the candidate --------------------------------------------------------------------------------------------------


class AbsencePermits(Rules):
    def may_take(self, watch: LeaseObserver, now: Instant) -> bool:
        vacant_now = watch.record is not None and watch.record.state is RecordState.VACANT
        return vacant_now or super().may_take(watch, now)


class LeaseOfSilenceIsEnough(Rules):
    def silence_us(self, watch: LeaseObserver) -> int:  # noqa: ARG002
        return self.lease_us


class NewIdentityBelieved(Rules):
    def release_is_believed(self, watch: LeaseObserver, record: Record, now: Instant) -> bool:  # noqa: ARG002
        return record.state is RecordState.RELEASED and record.epoch >= watch.highest


class ReleaseNeedsNoProof(Rules):
    def is_proven(self, watch: LeaseObserver, record: Record) -> bool:  # noqa: ARG002
        return True


class FreshCommitmentBelieved(Rules):
    def proven_since(self, watch: LeaseObserver, record: Record) -> Instant | None:  # noqa: ARG002
        return watch.trusted_since


class UnsignedCounts(Rules):
    def is_unsigned(self, watch: LeaseObserver) -> bool:  # noqa: ARG002
        return False


class OwnNameNeedsNoWait(Rules):
    node = ""

    def may_take(self, watch: LeaseObserver, now: Instant) -> bool:
        record = watch.record
        own = record is not None and record.state is RecordState.HELD and record.holder == self.node
        return own or super().may_take(watch, now)


class KnowsItsName(Election):
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
        super().__init__(node, boot_id, timing, entropy, now=now, rules=rules, voter=voter, seal=seal)
        if isinstance(rules, OwnNameNeedsNoWait):
            rules.node = node


class EpochFromStore(Rules):
    def pick_epoch(self, watch: LeaseObserver, tried: int, database: int | None, wall_ms: int) -> int:  # noqa: ARG002
        return (watch.record.epoch if watch.record is not None else 0) + 1


class ReusesEpoch(Rules):
    def pick_epoch(self, watch: LeaseObserver, tried: int, database: int | None, wall_ms: int) -> int:
        record = watch.record
        if record is not None and record.state is RecordState.RELEASED and record.epoch >= watch.highest:
            return record.epoch
        return super().pick_epoch(watch, tried, database, wall_ms)

    def is_above(self, record: Record, epoch: int) -> bool:
        return record.epoch <= epoch


class NoBootWait(LeaseObserver):
    def see(self, record: Record, was_absent: bool, now: Instant) -> None:
        first = self.highest == 0 and self.record is None
        super().see(record, was_absent, now)
        if first:
            self.since = self.trusted_since = Instant(now - 10**12)


class SurvivesReconnect(LeaseObserver):
    def connected(self, connection: int, identity: str, now: Instant, extra_wait_us: int = 0) -> None:
        self.connection, self.identity, self.extra_wait_us = connection, identity, extra_wait_us
        if self.trusted_since is None:
            self.trusted_since = now

    def disconnected(self) -> None:
        self.connection = None


class LowerEpochWaitsOn(LeaseObserver):
    def see(self, record: Record, was_absent: bool, now: Instant) -> None:
        since, trusted = self.since, self.trusted_since
        lower = record.epoch < self.highest and since is not None
        super().see(record, was_absent, now)
        if lower:
            self.since, self.trusted_since = since, trusted


class AbsenceWaitsOn(LeaseObserver):
    def see(self, record: Record, was_absent: bool, now: Instant) -> None:
        since, trusted = self.since, self.trusted_since
        gone = record.state is RecordState.VACANT and since is not None
        super().see(record, was_absent, now)
        if gone:
            self.since, self.trusted_since = since, trusted


class IgnoresSeq(LeaseObserver):
    def see(self, record: Record, was_absent: bool, now: Instant) -> None:
        since, before = self.since, self.record
        super().see(record, was_absent, now)
        if before is not None and before._replace(seq=record.seq) == record:
            self.since = since


class LateTakeoverCounts(Rules):
    def is_of_attempt(self, swap: Swap, epoch: int) -> bool:  # noqa: ARG002
        return True


class ClaimsWithoutMajority(Rules):
    def may_claim(self, deadline: Instant | None, now: Instant) -> bool:  # noqa: ARG002
        return True


class HeedsNoFence(Election):
    def _fenced(self, refused: FenceRefused, effects: list[Effect]) -> None:
        pass


class NeverLooksAtTheFence(Election):
    def _confirm_epoch(self, now: Instant, effects: list[Effect]) -> None:
        pass


class WaitsFromAsking(Election):
    def _replied(self, event: Granted | Found | Unknown, now: Instant, effects: list[Effect]) -> None:
        asked = None if self.pen.sent is None or event.request != self.pen.sent.request else self.pen.sent.at
        before = self.watch.record
        super()._replied(event, now, effects)
        if asked is not None and self.watch.record is not before and self.watch.since == now:
            self.watch.since = asked


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
