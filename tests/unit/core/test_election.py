"""The election of one node, told as stories."""

import pytest

from rppam.core.effects import (
    ClaimEpoch,
    Connected,
    Disconnected,
    EpochClaimed,
    EpochLearned,
    Exchange,
    Found,
    Granted,
    LearnEpoch,
    Promoted,
    Purpose,
    Quiesced,
    ReleaseHeard,
    StandAgain,
    StandDown,
    StepDownReason,
    SteppedDown,
    Told,
    Unknown,
)
from rppam.core.phase import Phase
from rppam.domain.fence import Fenced
from rppam.domain.instant import US_PER_MS, Instant, WallMs
from rppam.domain.record import EPOCH_MAX, Record, RecordState, vacant
from tests.unit.core.stage import (
    ME,
    MY_LIFE,
    OTHER,
    OTHER_LIFE,
    TIMING,
    Stage,
    asking,
    candidate,
    held,
    leader,
    released,
)

LEASE, PROMISE, BEAT = TIMING.lease_ms, TIMING.promise_ms, TIMING.heartbeat_ms

# ---- coming ---------------------------------------------------------------------------------------------------------


def test_a_first_node_waits_a_whole_lease_from_the_mark_it_left_where_no_record_was() -> None:
    stage = Stage()
    stage.connect()
    assert stage.asked.swap is None
    stage.answer()
    assert stage.stands is not None
    assert stage.stands.state is RecordState.VACANT
    stage.live(LEASE - 10)
    assert stage.phase is Phase.STANDBY
    stage.live(20)
    assert stage.phase is Phase.LEARNING


def test_a_candidate_leads_once_the_store_granted_and_the_epoch_is_written_down() -> None:
    stage = asking()
    swap = stage.asked.swap
    assert swap is not None
    assert (swap.purpose, swap.proposed.epoch, swap.proposed.seq) == (Purpose.ACQUIRE, 1_000, 1)
    stage.answer()
    assert stage.of(ClaimEpoch)[-1].epoch == 1_000
    assert stage.permission is None
    stage.claim()
    assert stage.permission == 1_000
    assert stage.of(Promoted)[-1].sentence == "node1 leads at epoch 1000"
    assert stage.election.leader(stage.now) == (ME, 1_000)


@pytest.mark.parametrize(
    ("record", "database", "wall_ms", "epoch"),
    [(held(epoch=7), 3, 5, 8), (held(epoch=7), 30, 5, 31), (held(epoch=7), 30, 500, 500), (held(epoch=7), None, 5, 8)],
)
def test_the_epoch_is_above_the_record_and_the_database_and_not_below_the_wall_clock(
    record: Record, database: int | None, wall_ms: int, epoch: int
) -> None:
    stage = candidate(record)
    stage.learn(database, wall_ms)
    assert stage.election.epoch == epoch


def test_a_node_that_gave_up_an_epoch_never_tries_it_again() -> None:
    stage = asking()
    tried = stage.election.epoch
    stage.stands = held(epoch=1)
    stage.answer()
    stage.live(LEASE + 2_000)
    stage.learn(wall_ms=0)
    assert stage.election.epoch == tried + 1


def test_a_candidate_that_gets_no_answer_from_the_database_gives_up_and_stands_again_later() -> None:
    stage = candidate()
    stage.wait(TIMING.request_timeout_ms // 2)
    assert stage.phase is Phase.STANDBY
    stage.live(2_000)
    assert stage.phase is Phase.LEARNING


def test_an_answer_of_the_database_to_an_earlier_attempt_counts_for_nothing() -> None:
    stage = candidate()
    stage.tell(EpochLearned(stage.of(LearnEpoch)[-1].attempt - 1, 5, WallMs(5)))
    assert stage.phase is Phase.LEARNING
    stage.learn()
    stage.answer()
    stage.tell(EpochClaimed(stage.of(ClaimEpoch)[-1].attempt + 1, Fenced.ACCEPTED))
    assert stage.phase is Phase.CLAIMING


def test_a_candidate_that_lost_its_connection_while_it_asked_the_database_gives_up() -> None:
    stage = candidate()
    stage.tell(Disconnected(1))
    stage.learn()
    assert stage.phase is Phase.STANDBY


def test_no_second_request_is_under_way_while_the_candidate_asks_the_database() -> None:
    stage = candidate()
    before = len(stage.of(Exchange))
    stage.wait(TIMING.request_timeout_ms // 2 - 1)
    assert len(stage.of(Exchange)) == before
    stage.learn()
    assert len(stage.of(Exchange)) == before + 1


def test_an_epoch_beyond_what_the_store_can_compare_is_never_tried() -> None:
    stage = candidate(held(epoch=EPOCH_MAX))
    stage.learn()
    assert stage.phase is Phase.STANDBY
    assert stage.election.epoch == 0


def test_that_no_epoch_is_left_is_told_once_with_what_to_do() -> None:
    stage = candidate(held(epoch=EPOCH_MAX))
    stage.learn()
    stage.live(3 * LEASE)
    told = [effect for effect in stage.effects if isinstance(effect, Told) and effect.is_warning]
    assert len(told) == 1
    assert "delete the key" in told[0].sentence


def test_a_candidate_that_finds_another_record_gives_up_and_backs_off() -> None:
    stage = asking()
    stage.stands = held()
    stage.answer()
    assert stage.phase is Phase.STANDBY
    assert stage.election.leader(stage.now) == (OTHER, 7)


def test_a_candidate_whose_request_times_out_gives_up_and_releases_what_it_may_have_written() -> None:
    stage = asking()
    swap = stage.asked.swap
    assert swap is not None
    stage.stands = swap.proposed  # written, but the reply is lost
    stage.wait(TIMING.request_timeout_ms)
    assert stage.phase is Phase.STANDBY
    assert stage.permission is None
    stage.live(2 * BEAT)
    release = [exchange.swap for exchange in stage.of(Exchange) if exchange.swap is not None][1]
    assert (release.purpose, release.expected) == (Purpose.RELEASE, swap.proposed)
    assert release.proposed.epoch == swap.proposed.epoch
    assert release.proposed.seq > swap.proposed.seq


def test_a_yes_to_an_attempt_that_is_over_counts_for_nothing() -> None:
    stage = asking()
    late = Granted(stage.asked.request)
    stage.wait(TIMING.request_timeout_ms)
    stage.tell(late)
    assert stage.phase is Phase.STANDBY
    assert not stage.of(ClaimEpoch)


def test_an_error_reply_is_neither_yes_nor_no() -> None:
    stage = asking()
    stage.tell(Unknown(stage.asked.request, "OOM"))
    assert stage.phase is Phase.STANDBY
    assert not stage.of(ClaimEpoch)


def test_a_refusal_by_the_database_makes_it_stand_again_above_what_the_database_knows() -> None:
    stage = asking()
    stage.answer()
    stage.claim(Fenced.REFUSED)
    assert stage.phase is Phase.STANDBY
    assert "newer epoch" in stage.told
    stage.live(3_000)
    stage.learn(highest=5_000)  # a higher epoch than the release shows: the release is not believed any more
    assert stage.phase is Phase.STANDBY
    stage.live(LEASE + 2_000)
    stage.learn(highest=5_000)
    assert stage.election.epoch == 5_001


def test_a_database_that_does_not_answer_the_claim_does_not_stop_the_leader() -> None:
    stage = asking()
    stage.answer()
    stage.wait(TIMING.request_timeout_ms // 2)
    assert stage.permission == 1_000


def test_a_candidate_whose_promise_ended_before_the_database_answered_does_not_lead() -> None:
    stage = asking()
    stage.answer()
    stage.now = Instant(stage.now + PROMISE * US_PER_MS)
    stage.claim()
    assert stage.phase is Phase.STANDBY
    assert not stage.of(Promoted)


# ---- waiting --------------------------------------------------------------------------------------------------------


def test_a_renewal_starts_the_wait_anew() -> None:
    stage = Stage()
    stage.stands = held(seq=1)
    stage.connect()
    stage.live(LEASE - 600)
    stage.stands = held(seq=2)
    stage.live(LEASE - 600)
    assert stage.phase is Phase.STANDBY
    stage.live(1_200)
    assert stage.phase is Phase.LEARNING


def test_a_new_connection_starts_the_wait_anew_even_to_the_same_server() -> None:
    stage = Stage()
    stage.stands = held()
    stage.connect()
    stage.live(LEASE - 600)
    stage.tell(Disconnected(1))
    stage.connect(2)
    stage.live(LEASE - 600)
    assert stage.phase is Phase.STANDBY


def test_a_release_is_believed_at_once_on_a_connection_watched_for_a_lease() -> None:
    stage = Stage()
    stage.stands = held()
    stage.connect()
    for seq in range(3, 14):
        stage.stands = held(seq=seq)
        stage.live(BEAT)
    stage.stands = released(seq=20)
    stage.tell(ReleaseHeard())
    stage.answer()
    assert stage.phase is Phase.LEARNING


@pytest.mark.parametrize("epoch", [6, 7])
def test_a_release_is_not_believed_on_a_new_connection_nor_when_a_higher_epoch_is_known(epoch: int) -> None:
    stage = Stage()
    stage.stands = held(epoch=7)
    stage.connect()
    stage.live(BEAT)
    if epoch == 7:
        stage.connect(2)
    else:
        for seq in range(3, 14):
            stage.stands = held(seq=seq)
            stage.live(BEAT)
    stage.stands = released(epoch=epoch, seq=20)
    stage.tell(ReleaseHeard())
    stage.live(BEAT)
    assert stage.phase is Phase.STANDBY


def test_word_of_a_release_is_worth_a_reading_and_nothing_more() -> None:
    stage = Stage()
    stage.stands = held()
    stage.connect()
    stage.answer()
    before = len(stage.of(Exchange))
    stage.tell(ReleaseHeard(), 1)
    assert len(stage.of(Exchange)) == before + 1
    stage.tell(ReleaseHeard(), 1)  # while one is under way: the next follows its reply at once
    assert len(stage.of(Exchange)) == before + 1
    stage.answer()
    assert len(stage.of(Exchange)) == before + 2
    assert stage.phase is Phase.STANDBY


def test_its_own_name_in_the_record_is_worth_nothing_after_a_restart() -> None:
    stage = Stage()
    stage.stands = held(holder=ME, life="9" * 16)
    stage.connect()
    stage.live(LEASE - 600)
    assert stage.phase is Phase.STANDBY
    assert all(exchange.swap is None for exchange in stage.of(Exchange))
    assert stage.permission is None


def test_a_node_that_knows_no_record_or_a_silent_holder_names_no_leader() -> None:
    stage = Stage()
    assert stage.election.leader(stage.now) is None
    stage.connect()
    stage.stands = held()
    stage.answer()
    assert stage.election.leader(stage.now) == (OTHER, 7)
    stage.now = Instant(stage.now + (LEASE + 1) * US_PER_MS)
    assert stage.election.leader(stage.now) is None


# ---- staying --------------------------------------------------------------------------------------------------------


def test_the_promise_runs_from_before_the_request_and_ends_without_any_input() -> None:
    stage = asking()
    sent_at = stage.now
    stage.answer(after_ms=700)
    stage.claim()
    assert stage.election.permission(Instant(sent_at + PROMISE * US_PER_MS - 1)) == 1_000
    assert stage.election.permission(Instant(sent_at + PROMISE * US_PER_MS)) is None


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
    assert stage.phase is Phase.QUIESCING


def test_a_renewal_confirmed_after_the_deadline_counts_for_nothing() -> None:
    stage = leader()
    stage.wait(BEAT)
    assert stage.asked.swap is not None
    assert stage.asked.swap.purpose is Purpose.RENEW
    stage.answer(after_ms=PROMISE)
    assert stage.permission is None
    assert stage.phase is Phase.QUIESCING


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
    assert stage.election.watch.connection == 1


# ---- going ----------------------------------------------------------------------------------------------------------


def test_a_leader_asked_to_stop_stops_first_and_releases_when_everything_has_stopped() -> None:
    stage = leader()
    stage.tell(StandDown("maintenance"), 1)
    assert stage.of(SteppedDown)[-1].sentence == "stepping down from epoch 1000: maintenance"
    stage.live(BEAT * 2)
    assert stage.stands is not None
    assert stage.stands.state is RecordState.HELD
    stage.stop_acting()
    stage.live(BEAT)
    assert stage.stands.state is RecordState.RELEASED
    stage.live(2 * LEASE)
    assert stage.phase is Phase.STANDBY


def test_word_that_another_epoch_has_stopped_acting_is_not_enough() -> None:
    stage = leader()
    stage.tell(StandDown("maintenance"), 1)
    stage.tell(Quiesced(999), 1)
    assert stage.phase is Phase.QUIESCING


@pytest.mark.parametrize("make", [candidate, asking])
def test_a_candidate_asked_to_stand_down_gives_up(make: object) -> None:
    stage: Stage = make()  # type: ignore[operator]
    stage.tell(StandDown("maintenance"), 1)
    assert stage.phase is Phase.STANDBY
    stage.stands = held()
    stage.live(3 * LEASE)
    assert stage.phase is Phase.STANDBY
    stage.tell(StandAgain(), 1)
    assert stage.phase is Phase.LEARNING


def test_a_candidate_asked_to_stand_down_while_it_claims_releases_its_record() -> None:
    stage = asking()
    stage.answer()
    stage.tell(StandDown("maintenance"), 1)
    stage.live(BEAT * 2)
    assert stage.stands is not None
    assert stage.stands.state is RecordState.RELEASED
    assert not stage.of(Promoted)


def test_standing_down_twice_while_everything_stops_changes_nothing() -> None:
    stage = leader()
    stage.tell(StandDown("maintenance"), 1)
    stage.tell(StandDown("again"), 1)
    assert len(stage.of(SteppedDown)) == 1
    assert stage.phase is Phase.QUIESCING


def test_a_released_epoch_is_never_led_again_by_the_same_node() -> None:
    stage = leader()
    stage.tell(StandDown("maintenance"), 1)
    stage.stop_acting()
    stage.tell(StandAgain(), 1)
    stage.live(BEAT * 2)
    assert stage.phase is Phase.LEARNING
    stage.learn(wall_ms=0)
    assert stage.election.epoch == 1_001


# ---- stalls and noise -----------------------------------------------------------------------------------------------


def test_a_stalled_candidate_reads_before_it_stands() -> None:
    stage = Stage()
    stage.stands = held()
    stage.connect()
    stage.answer()
    stage.sleep_through(2 * LEASE)
    assert "stalled for" in stage.told
    assert stage.phase is Phase.STANDBY
    stage.stands = held(seq=9)
    stage.answer()
    assert stage.phase is Phase.STANDBY
    assert stage.election.leader(stage.now) == (OTHER, 7)


def test_a_stall_is_noticed_also_when_an_event_is_the_first_thing_after_it() -> None:
    stage = Stage()
    stage.stands = held()
    stage.connect()
    stage.answer()
    stage.tell(ReleaseHeard(), after_ms=2 * LEASE)
    assert "stalled for" in stage.told
    assert stage.phase is Phase.STANDBY


def test_a_stalled_leader_whose_promise_still_holds_goes_on_and_renews() -> None:
    stage = leader()
    stage.sleep_through(PROMISE - 200)
    assert stage.permission == 1_000
    stage.answer()
    stage.live(LEASE)
    assert stage.permission == 1_000


def test_immediate_errors_do_not_make_it_spin() -> None:
    stage = Stage()
    stage.connect()
    for _ in range(20):
        stage.tell(Unknown(stage.asked.request, "LOADING"), 0)
        stage.wait(BEAT)
    assert len(stage.of(Exchange)) <= 22


def test_a_node_without_connection_asks_to_be_polled_once_a_second() -> None:
    stage = Stage()
    polls = 0
    for _ in range(20):
        stage.now = stage.election.deadline()
        stage.election.poll(stage.now)
        polls += 1
    assert stage.now >= (polls - 1) * 1_000 * US_PER_MS
    assert not stage.of(Exchange)


def test_a_new_connection_while_a_vote_is_asked_for_ends_the_attempt() -> None:
    stage = asking()
    stage.tell(Connected(2, "run2"), 1)
    assert stage.phase is Phase.STANDBY
    assert stage.asked.swap is None


def test_another_life_of_the_same_name_is_another_holder() -> None:
    stage = leader()
    stage.stands = held(holder=ME, life=OTHER_LIFE, epoch=1_000)
    stage.live(BEAT)
    assert [effect.reason for effect in stage.of(SteppedDown)] == [StepDownReason.REPLACED]
