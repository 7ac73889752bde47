"""How a leader stays: each renewal prolongs its promise; without one it stops by itself."""

from rppam.cluster.consensus.effects import (
    Disconnected,
    Exchange,
    Found,
    Phase,
    Purpose,
    StepDownReason,
    SteppedDown,
)
from rppam.cluster.consensus.record import RecordState, vacant
from rppam.kernel.instant import US_PER_MS, Instant
from tests.cluster.consensus.stage import (
    BEAT,
    LEASE,
    ME,
    MY_LIFE,
    PROMISE,
    TIMING,
    asking,
    held,
    leader,
    released,
)


def test_the_promise_runs_from_before_the_request_and_ends_without_any_input() -> None:
    stage = asking()
    sent_at = stage.now
    stage.answer(after_ms=700)
    stage.claim()
    assert stage.election.status().permission(Instant(sent_at + PROMISE * US_PER_MS - 1)) == 1_000
    assert stage.election.status().permission(Instant(sent_at + PROMISE * US_PER_MS)) is None


def test_each_renewal_prolongs_the_promise_with_a_seq_of_its_own() -> None:
    stage = leader()
    stage.live(3 * LEASE)
    assert stage.permission == 1_000
    seqs = [exchange.swap.proposed.seq for exchange in stage.of(Exchange) if exchange.swap is not None]
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_leader_without_replies_steps_down_by_itself_when_its_promise_ends() -> None:
    stage = leader()
    stage.wait(PROMISE)
    stepped = stage.of(SteppedDown)
    assert [effect.reason for effect in stepped] == [StepDownReason.PROMISE_ENDED]
    assert "no write was confirmed" in stepped[0].sentence
    assert stage.phase is Phase.STOPPING


def test_a_renewal_confirmed_after_the_deadline_counts_for_nothing() -> None:
    stage = leader()
    stage.wait(BEAT)
    assert stage.asked.swap is not None
    assert stage.asked.swap.purpose is Purpose.RENEW
    stage.answer(after_ms=PROMISE)
    assert stage.permission is None
    assert stage.phase is Phase.STOPPING


def test_a_renewal_whose_reply_was_lost_is_found_and_renewed_at_once() -> None:
    stage = leader()
    stage.wait(BEAT)
    swap = stage.asked.swap
    assert swap is not None
    stage.stands = swap.proposed
    stage.wait(TIMING.request_timeout_ms)
    stage.answer()
    assert stage.asked.swap is not None
    assert stage.asked.swap.expected == swap.proposed
    stage.answer()
    assert stage.permission == 1_000


def test_a_leader_writes_its_record_anew_over_the_mark_that_stands_for_a_lost_one() -> None:
    stage = leader()
    stage.live(BEAT * 3)
    seq = stage.stands.seq if stage.stands is not None else 0
    stage.stands = None
    stage.live(BEAT * 2)
    assert stage.stands is not None
    assert (stage.stands.state, stage.stands.epoch) == (RecordState.HELD, 1_000)
    assert stage.stands.seq > seq
    assert stage.permission == 1_000
    assert "wrote the leadership record anew at epoch 1000" in stage.told


def test_a_re_creation_confirmed_after_the_deadline_counts_for_nothing() -> None:
    stage = leader()
    stage.stands = None
    stage.wait(BEAT)
    stage.answer()
    assert stage.asked.swap is not None
    assert stage.asked.swap.purpose is Purpose.RECREATE
    stage.answer(after_ms=PROMISE)
    assert stage.permission is None
    assert "anew" not in stage.told


def test_a_leader_overwrites_an_older_record_that_a_failover_brought_back() -> None:
    stage = leader()
    stage.stands = released(epoch=7)
    stage.live(BEAT * 2)
    assert stage.stands is not None
    assert stage.stands.is_of(ME, MY_LIFE, 1_000)
    assert stage.permission == 1_000


def test_a_leader_reads_before_it_re_creates_when_the_connection_changed_in_between() -> None:
    stage = leader()
    stage.stands = None
    stage.wait(BEAT)
    stage.answer()
    stage.tell(Disconnected(1))
    stage.connect(2)
    assert stage.asked.swap is None
    stage.answer()
    assert stage.asked.swap is not None
    assert stage.asked.swap.purpose is Purpose.RECREATE
    stage.answer()
    assert stage.permission == 1_000


def test_a_leader_stops_when_the_record_shows_a_holder_with_a_higher_epoch() -> None:
    stage = leader()
    stage.stands = held(epoch=2_000)
    stage.live(BEAT)
    assert [effect.reason for effect in stage.of(SteppedDown)] == [StepDownReason.REPLACED]
    assert "the record shows node2 at epoch 2000" in stage.of(SteppedDown)[0].sentence
    assert stage.permission is None


def test_a_vacant_mark_with_a_higher_epoch_that_was_only_tried_stops_no_leader() -> None:
    stage = leader()
    stage.stands = vacant(2_000, "ab" * 8)
    stage.live(BEAT * 2)
    assert stage.stands.is_of(ME, MY_LIFE, 1_000)
    assert stage.permission == 1_000


def test_a_store_that_shows_the_record_and_yet_refuses_is_asked_once_per_heartbeat() -> None:
    stage = leader()
    stage.wait(BEAT)
    swap = stage.asked.swap
    assert swap is not None
    stage.stands = swap.expected
    before = len(stage.of(Exchange))
    for _ in range(6):
        stage.tell(Found(stage.asked.request, swap.expected, was_absent=False), 1)
        stage.wait(BEAT - 1)
    assert len(stage.of(Exchange)) <= before + 6


def test_a_leader_on_a_broken_connection_goes_on_until_its_promise_ends() -> None:
    stage = leader()
    stage.tell(Disconnected(1))
    stage.wait(PROMISE - 100)
    assert stage.permission == 1_000
    stage.wait(100)
    assert stage.permission is None


def test_word_of_another_connections_end_changes_nothing() -> None:
    stage = leader()
    stage.tell(Disconnected(9))
    assert stage.election.status().lease.connection == 1
