"""Planted bugs: the production core, with exactly one clause of the rule replaced by the tempting shortcut.

They show that the simulation has teeth, and that each clause is needed. Each stands beside the clause that it breaks in
docs/leadership.md. A plant is never reachable from a node.
"""

from typing import NamedTuple

from rppam.core.effects import Effect, Event, Exchange, Found, Granted, Purpose, StepDownReason, Swap, Unknown
from rppam.core.election import Election, Phase, _Sent
from rppam.core.rules import Rules
from rppam.core.script import Exchanged
from rppam.core.watch import Watch
from rppam.domain.entropy import Entropy
from rppam.domain.fence import admits
from rppam.domain.instant import US_PER_MS, Instant, after
from rppam.domain.record import Record, RecordState, parse_record, vacant
from rppam.domain.timing import Timing
from rppam.simulation.clocks import MILLION
from rppam.simulation.host import Host
from rppam.simulation.places import Admits
from rppam.simulation.store import SimStore


class Plant(NamedTuple):
    """The production core with one clause replaced."""

    name: str
    sentence: str
    rules: type[Rules] = Rules
    watch: type[Watch] = Watch
    election: type[Election] = Election
    store: type[SimStore] = SimStore
    host: type[Host] = Host
    admits: Admits = admits

    def elect(self, host: Host, boot_id: str, timing: Timing, entropy: Entropy, now: Instant) -> Election:
        """A node's election, with the bug in it."""
        election = self.election(host.name, boot_id, timing, entropy, now=now, rules=self.rules(timing))
        election.watch = self.watch()
        return election


CORRECT = Plant("", "")

# ---- the holder -----------------------------------------------------------------------------------------------------


class _FromReply(Rules):
    def promised_until(self, sent: Instant, arrived: Instant) -> Instant:  # noqa: ARG002
        return after(arrived, self.promise_us)


class _NoRateMargin(Rules):
    def __init__(self, timing: Timing) -> None:
        super().__init__(timing)
        self.promise_us = (timing.lease_us - timing.drop_ms * US_PER_MS) * MILLION // (MILLION + timing.rate_error_ppm)


class _NeverExpires(Rules):
    def has_permission(self, deadline: Instant | None, now: Instant) -> bool:  # noqa: ARG002
        return deadline is not None


class _LateRenewal(Rules):
    def write_counts(self, purpose: Purpose, deadline: Instant | None, now: Instant) -> bool:
        return purpose is Purpose.RENEW or super().write_counts(purpose, deadline, now)


class _LateRecreation(Rules):
    def write_counts(self, purpose: Purpose, deadline: Instant | None, now: Instant) -> bool:
        return purpose is Purpose.RECREATE or super().write_counts(purpose, deadline, now)


class _SeqRestarts(Rules):
    def seq_after_loss(self, own: int) -> int:  # noqa: ARG002
        return 0


class _SeqStoredPlusOne(Rules):
    def next_seq(self, own: int, found: Record) -> int:  # noqa: ARG002
        return found.seq + 1


class _UnknownIsGranted(Rules):
    def unknown_is_granted(self) -> bool:
        return True


class _LowerEpochStops(Rules):
    def may_rewrite(self, found: Record, epoch: int) -> bool:
        return found.state is RecordState.VACANT


class _SeenEpochStops(Rules):
    def may_rewrite(self, found: Record, epoch: int) -> bool:
        return found.epoch <= epoch and super().may_rewrite(found, epoch)


class _OwnNamePermits(Election):
    def _found(self, sent: _Sent, found: Record, now: Instant, effects: list[Effect]) -> None:
        super()._found(sent, found, now, effects)
        if self.phase is Phase.LEADER and self._own is not None:
            self._count(sent.at, now)


class _ReleasesFirst(Election):
    def _step_down(self, reason: StepDownReason, why: str, effects: list[Effect]) -> None:
        super()._step_down(reason, why, effects)
        self.phase = Phase.STANDBY


class _OldReplyCounts(Election):
    def receive(self, event: Event, now: Instant) -> list[Effect]:
        if isinstance(event, Granted) and self._sent is not None:
            event = Granted(self._sent.request)
        return super().receive(event, now)


# ---- the candidate --------------------------------------------------------------------------------------------------


class _AbsencePermits(Rules):
    def may_take(self, watch: Watch, now: Instant) -> bool:
        vacant_now = watch.record is not None and watch.record.state is RecordState.VACANT
        return vacant_now or super().may_take(watch, now)


class _NewIdentityBelieved(Rules):
    def release_is_believed(self, watch: Watch, record: Record, now: Instant) -> bool:  # noqa: ARG002
        return record.state is RecordState.RELEASED and record.epoch >= watch.highest


class _OwnNameNeedsNoWait(Rules):
    node = ""

    def may_take(self, watch: Watch, now: Instant) -> bool:
        record = watch.record
        own = record is not None and record.state is RecordState.HELD and record.holder == self.node
        return own or super().may_take(watch, now)


class _KnowsItsName(Election):
    def __init__(
        self, node: str, boot_id: str, timing: Timing, entropy: Entropy, *, now: Instant, rules: Rules | None = None
    ) -> None:
        super().__init__(node, boot_id, timing, entropy, now=now, rules=rules)
        if isinstance(rules, _OwnNameNeedsNoWait):
            rules.node = node


class _EpochFromStore(Rules):
    def pick_epoch(self, watch: Watch, tried: int, database: int | None, wall_ms: int) -> int:  # noqa: ARG002
        return (watch.record.epoch if watch.record is not None else 0) + 1


class _ReusesEpoch(Rules):
    def pick_epoch(self, watch: Watch, tried: int, database: int | None, wall_ms: int) -> int:
        record = watch.record
        if record is not None and record.state is RecordState.RELEASED and record.epoch >= watch.highest:
            return record.epoch
        return super().pick_epoch(watch, tried, database, wall_ms)


class _NoBootWait(Watch):
    def see(self, record: Record, was_absent: bool, now: Instant) -> None:
        first = self.highest == 0 and self.record is None
        super().see(record, was_absent, now)
        if first:
            self.since = self.trusted_since = Instant(now - 10**12)


class _SurvivesReconnect(Watch):
    def connected(self, connection: int, identity: str, now: Instant) -> None:
        self.connection, self.identity = connection, identity
        if self.trusted_since is None:
            self.trusted_since = now

    def disconnected(self) -> None:
        self.connection = None


class _LowerEpochWaitsOn(Watch):
    def see(self, record: Record, was_absent: bool, now: Instant) -> None:
        since, trusted = self.since, self.trusted_since
        lower = record.epoch < self.highest and since is not None
        super().see(record, was_absent, now)
        if lower:
            self.since, self.trusted_since = since, trusted


class _AbsenceWaitsOn(Watch):
    def see(self, record: Record, was_absent: bool, now: Instant) -> None:
        since, trusted = self.since, self.trusted_since
        gone = record.state is RecordState.VACANT and since is not None
        super().see(record, was_absent, now)
        if gone:
            self.since, self.trusted_since = since, trusted


class _IgnoresSeq(Watch):
    def see(self, record: Record, was_absent: bool, now: Instant) -> None:
        since, before = self.since, self.record
        super().see(record, was_absent, now)
        if before is not None and before._replace(seq=record.seq) == record:
            self.since = since


class _WaitsFromAsking(Election):
    def _replied(self, event: Granted | Found | Unknown, now: Instant, effects: list[Effect]) -> None:
        asked = None if self._sent is None or event.request != self._sent.request else self._sent.at
        before = self.watch.record
        super()._replied(event, now, effects)
        if asked is not None and self.watch.record is not before and self.watch.since == now:
            self.watch.since = asked


# ---- the store ------------------------------------------------------------------------------------------------------


class _ReleaseCreates(SimStore):
    def decide(self, stands: str | None, swap: Swap | None, mark: Record, stamp: str) -> Exchanged:
        if stands is None and swap is not None and swap.purpose is Purpose.RELEASE:
            return Exchanged(swap.proposed.encode(), granted=True, was_absent=True, moved_aside=False)
        return super().decide(stands, swap, mark, stamp)


class _Blind(SimStore):
    purpose: Purpose

    def holds(self, stands: Record, swap: Swap) -> bool:  # noqa: ARG002
        return True

    def decide(self, stands: str | None, swap: Swap | None, mark: Record, stamp: str) -> Exchanged:
        record = None if stands is None else parse_record(stands)
        if record is not None and swap is not None and swap.purpose is self.purpose and self.holds(record, swap):
            return Exchanged(swap.proposed.encode(), granted=True, was_absent=False, moved_aside=False)
        return super().decide(stands, swap, mark, stamp)


class _ReleaseByName(_Blind):
    purpose = Purpose.RELEASE

    def holds(self, stands: Record, swap: Swap) -> bool:
        return stands.holder == swap.proposed.holder


class _BlindRenewal(_Blind):
    purpose = Purpose.RENEW


class _BlindTakeover(_Blind):
    purpose = Purpose.ACQUIRE


class _MarkRepeats(SimStore):
    def decide(self, stands: str | None, swap: Swap | None, mark: Record, stamp: str) -> Exchanged:  # noqa: ARG002
        return super().decide(stands, swap, mark, "")


class _Unmarked(SimStore):
    """Absence has no mark of its own: it is one value, always the same, and a write may be made upon it."""

    def request(self, effect: Exchange, now_us: int) -> Granted | Found:
        answer = super().request(effect._replace(mark=vacant(0, "0" * 16)), now_us)
        record = None if self.text is None else parse_record(self.text)
        if record is not None and record.state is RecordState.VACANT:
            self.write(None, now_us)
        return answer

    def decide(self, stands: str | None, swap: Swap | None, mark: Record, stamp: str) -> Exchanged:
        return super().decide(mark.encode() if stands is None else stands, swap, mark, "")


# ---- the places written to, and the clock ---------------------------------------------------------------------------


def _accepts_all(fence_epoch: int, fence_boot_id: str, epoch: int, boot_id: str) -> bool:  # noqa: ARG001
    return True


def _ignores_boot_id(fence_epoch: int, fence_boot_id: str, epoch: int, boot_id: str) -> bool:  # noqa: ARG001
    return epoch >= fence_epoch


class _WallClockHost(Host):
    """Takes the wall clock for the time; as a contract demands, its time at least never goes back."""

    def now(self, true_us: int) -> Instant:
        self.last_now = max(self.last_now, self.wall.read_ms(true_us) * US_PER_MS + true_us % US_PER_MS)
        return Instant(self.last_now)

    def true_at(self, instant: Instant, true_us: int) -> int:
        return true_us + max(0, instant - (self.wall.read_ms(true_us) * US_PER_MS + true_us % US_PER_MS))


def _rows() -> tuple[Plant, ...]:
    return (
        Plant("deadline-from-reply", "A promise runs from the reply, not from before the request.", rules=_FromReply),
        Plant(
            "no-rate-margin",
            "The promise leaves no room for the rates of two clocks: L = D (1 + r).",
            rules=_NoRateMargin,
        ),
        Plant("wall-clock-lease", "Deadlines and waits are read from the wall clock.", host=_WallClockHost),
        Plant("never-expires-by-itself", "A leader goes on until somebody tells it otherwise.", rules=_NeverExpires),
        Plant(
            "late-renewal-counts", "A renewal confirmed after the deadline brings permission back.", rules=_LateRenewal
        ),
        Plant(
            "late-recreation-counts",
            "A re-creation confirmed after the deadline brings permission back.",
            rules=_LateRecreation,
        ),
        Plant(
            "own-name-is-permission",
            "Reading its own name in the record prolongs a leader's promise.",
            election=_OwnNamePermits,
        ),
        Plant(
            "own-record-needs-no-wait",
            "A record with its own name may be taken over at once.",
            rules=_OwnNameNeedsNoWait,
            election=_KnowsItsName,
        ),
        Plant("unknown-counts-as-granted", "An error reply is taken for a yes.", rules=_UnknownIsGranted),
        Plant(
            "old-reply-counts",
            "A late yes to an attempt that is over counts for the present one.",
            election=_OldReplyCounts,
        ),
        Plant(
            "releases-before-stopping",
            "The record is released before everything that acts has stopped.",
            election=_ReleasesFirst,
        ),
        Plant(
            "lower-epoch-stops-leader",
            "A leader gives way to an older record that a failover brought back.",
            rules=_LowerEpochStops,
        ),
        Plant(
            "seen-epoch-stops-leader",
            "A leader gives way to a vacant mark with a higher epoch, which was only tried.",
            rules=_SeenEpochStops,
        ),
        Plant(
            "seq-restarts-after-recreation",
            "The holder's counter starts anew when the record was lost.",
            rules=_SeqRestarts,
        ),
        Plant("seq-stored-plus-one", "The counter is what stands in the store, plus one.", rules=_SeqStoredPlusOne),
        Plant("absence-as-permission", "A vacant record may be taken at once.", rules=_AbsencePermits),
        Plant(
            "absence-keeps-waiting", "The wait goes on although the record was gone in between.", watch=_AbsenceWaitsOn
        ),
        Plant(
            "no-boot-wait",
            "The first record seen after a start is believed as if it had been watched.",
            watch=_NoBootWait,
        ),
        Plant(
            "released-believed-on-new-identity",
            "A release is believed on a connection that is new.",
            rules=_NewIdentityBelieved,
        ),
        Plant("wait-survives-reconnect", "The wait goes on over another connection.", watch=_SurvivesReconnect),
        Plant(
            "lower-epoch-keeps-waiting",
            "A record with a lower epoch does not start the wait anew.",
            watch=_LowerEpochWaitsOn,
        ),
        Plant("wait-ignores-seq", "A renewal does not start the wait anew.", watch=_IgnoresSeq),
        Plant(
            "wait-from-the-asking",
            "The wait is counted from asking for the record, not from its arrival.",
            election=_WaitsFromAsking,
        ),
        Plant("epoch-from-store-only", "The next epoch is the record's, plus one.", rules=_EpochFromStore),
        Plant("reuses-released-epoch", "A released epoch is led again.", rules=_ReusesEpoch),
        Plant("absent-record-not-marked", "Nothing is left where no record is.", store=_Unmarked),
        Plant("mark-repeats", "A request carried out twice leaves the same vacant mark twice.", store=_MarkRepeats),
        Plant("release-creates-record", "A release writes where no record is.", store=_ReleaseCreates),
        Plant("release-names-only-node", "A release frees whatever record has the node's name.", store=_ReleaseByName),
        Plant("renew-without-compare", "A renewal overwrites whatever stands.", store=_BlindRenewal),
        Plant("takeover-without-compare", "A takeover overwrites whatever stands.", store=_BlindTakeover),
        Plant("fence-accepts-older", "The place written to does not compare epochs.", admits=_accepts_all),
        Plant(
            "fence-ignores-boot-id",
            "The place written to accepts an equal epoch from another life.",
            admits=_ignores_boot_id,
        ),
    )


PLANTS: dict[str, Plant] = {plant.name: plant for plant in _rows()}
