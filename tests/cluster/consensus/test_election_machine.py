"""Random lives of one election: whatever happens, in whatever order, its invariants hold."""

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rppam.cluster.consensus.effects import (
    ClaimEpoch,
    Connected,
    Disconnected,
    Effect,
    EpochClaimed,
    EpochLearned,
    Event,
    Exchange,
    Found,
    Granted,
    LearnEpoch,
    Phase,
    Promoted,
    Quiesced,
    ReleaseHeard,
    StandAgain,
    StandDown,
    SteppedDown,
    Tick,
    Unknown,
)
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.record import Record, RecordState
from rppam.kernel.fence import Fenced
from rppam.kernel.instant import US_PER_MS, Instant, WallMs
from tests.cluster.consensus.stage import ME, MY_LIFE, OTHER, OTHER_LIFE, TIMING, CountingEntropy
from tests.support.examples import examples

records = st.builds(
    Record,
    st.sampled_from(RecordState),
    st.sampled_from([ME, OTHER, "-"]),
    st.sampled_from([MY_LIFE, OTHER_LIFE]),
    st.integers(0, 12) | st.integers(990, 1010),
    st.integers(0, 6),
    st.sampled_from(["ab" * 8, "cd" * 8]),
)
spans_ms = st.sampled_from([0, 0, 1, 1, 5, 100, 499, 500, 501, 1_000, 3_429, 3_430, 4_001, 60_000])


class AnyLife(RuleBasedStateMachine):
    """Sends one election anything at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = Instant(0)
        self.election = Election(Identity(ME, MY_LIFE, TIMING), CountingEntropy(), now=self.now)
        self.requests = [Exchange(0, None, Record(RecordState.VACANT, "-", "0" * 16, 0, 0, "ab" * 8))]
        self.attempts = [0]
        self.stepped = [0]
        self.led = [0]

    def note(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Exchange):
                assert effect.request > self.requests[-1].request
                self.requests.append(effect)
            elif isinstance(effect, LearnEpoch | ClaimEpoch):
                self.attempts.append(effect.attempt)
            elif isinstance(effect, Promoted):
                assert effect.epoch > self.led[-1], "an epoch is led once"
                self.led.append(effect.epoch)
            elif isinstance(effect, SteppedDown):
                assert effect.epoch == self.led[-1]
                self.stepped.append(effect.epoch)

    def tell(self, event: Event) -> None:
        in_flight = self.election.status().under_way
        before = len(self.requests)
        self.note(self.election.step(event, self.now))
        sent = len(self.requests) - before
        assert sent <= 1, "one event, one request at most"
        if sent and in_flight is not None:
            answers = isinstance(event, Granted | Found | Unknown) and event.request == in_flight.request
            timed_out = self.now - in_flight.at >= TIMING.request_timeout_us
            assert answers or timed_out or isinstance(event, Connected | Disconnected), (
                "one request is under way at most"
            )

    @rule(span_ms=spans_ms, drive=st.booleans())
    def time_passes(self, span_ms: int, drive: bool) -> None:
        """With ``drive`` it is polled as it asks to be; without, its process stands still."""
        until = self.now + span_ms * US_PER_MS
        polls = 0
        while drive and self.election.deadline() <= until:
            self.now = Instant(max(self.now, self.election.deadline()))
            self.note(self.election.step(Tick(), self.now))
            assert self.election.deadline() > self.now, "after a poll nothing is due at that same instant"
            polls += 1
            assert polls <= 10 + span_ms // 100, "it does not spin"
        self.now = Instant(until)
        self.note(self.election.step(Tick(), self.now))

    @rule(back=st.integers(0, 3), record=records, was_absent=st.booleans())
    def found(self, back: int, record: Record, was_absent: bool) -> None:
        self.tell(Found(self.requests[max(0, len(self.requests) - 1 - back)].request, record, was_absent))

    @rule()
    def found_what_it_expected(self) -> None:
        swap = self.requests[-1].swap
        if swap is not None:
            self.tell(Found(self.requests[-1].request, swap.expected, was_absent=False))

    @rule(back=st.sampled_from([0, 0, 0, 1, 2]))
    def granted(self, back: int) -> None:
        self.tell(Granted(self.requests[max(0, len(self.requests) - 1 - back)].request))

    @rule()
    def unknown(self) -> None:
        self.tell(Unknown(self.requests[-1].request, "OOM"))

    @rule(number=st.integers(1, 3))
    def connected(self, number: int) -> None:
        self.tell(Connected(number, "run"))

    @rule(number=st.integers(1, 3))
    def disconnected(self, number: int) -> None:
        self.tell(Disconnected(number))

    @rule(
        highest=st.none() | st.integers(0, 20), wall_ms=st.sampled_from([0, 5, 1_000]), back=st.sampled_from([0, 0, 1])
    )
    def learned(self, highest: int | None, wall_ms: int, back: int) -> None:
        self.tell(EpochLearned(self.attempts[max(0, len(self.attempts) - 1 - back)], highest, WallMs(wall_ms)))

    @rule(outcome=st.sampled_from(Fenced), back=st.sampled_from([0, 0, 1]))
    def claimed(self, outcome: Fenced, back: int) -> None:
        self.tell(EpochClaimed(self.attempts[max(0, len(self.attempts) - 1 - back)], outcome))

    @rule(back=st.sampled_from([0, 0, 1]))
    def quiesced(self, back: int) -> None:
        self.tell(Quiesced(self.stepped[max(0, len(self.stepped) - 1 - back)]))

    @rule(event=st.sampled_from([ReleaseHeard(), StandDown("asked"), StandAgain()]))
    def other(self, event: Event) -> None:
        self.tell(event)

    @rule()
    def a_good_hour(self) -> None:
        """Watch a silent record for a lease, be granted everything: from a standby this makes a leader."""
        if self.election.status().phase is Phase.STOPPING:
            self.tell(Quiesced(self.election.status().epoch))
        self.tell(StandAgain())
        self.tell(Connected(9, "run"))
        silent = Record(RecordState.RELEASED, OTHER, OTHER_LIFE, 5, 5, "ef" * 8)
        for _ in range(14):
            sent = self.election.status().under_way
            if sent is not None and sent.swap is None:
                self.tell(Found(sent.request, silent, was_absent=False))
            self.time_passes(500, drive=True)
            if self.election.status().phase is Phase.LEARNING:
                self.tell(EpochLearned(self.attempts[-1], 0, WallMs(0)))
                self.granted(0)
                self.claimed(Fenced.ACCEPTED, 0)

    @invariant()
    def permission_only_as_leader_and_before_the_deadline(self) -> None:
        epoch = self.election.status().permission(self.now)
        deadline = self.election.status().deadline
        if epoch is not None:
            assert self.election.status().phase is Phase.LEADER
            assert deadline is not None
            assert self.now < deadline <= self.now + TIMING.promise_us
            assert epoch == self.led[-1]
            assert self.election.status().leader(self.now) == (ME, epoch)

    @invariant()
    def after_each_event_nothing_is_overdue(self) -> None:
        assert self.election.deadline() > self.now or self.now == 0

    @invariant()
    def a_write_names_this_life_and_a_seq_never_written_before(self) -> None:
        swaps = [request.swap for request in self.requests[-2:] if request.swap is not None]
        for swap in swaps:
            assert (swap.proposed.holder, swap.proposed.boot_id) == (ME, MY_LIFE)
            assert swap.proposed.state is not RecordState.VACANT
        if len(swaps) == 2 and swaps[0].proposed.epoch == swaps[1].proposed.epoch:
            assert swaps[1].proposed.seq > swaps[0].proposed.seq


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=examples(120), stateful_step_count=40, deadline=None)
