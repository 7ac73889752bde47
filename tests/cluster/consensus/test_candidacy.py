"""How a node comes to lead: it waits, stands, is granted and writes its epoch down; and what stops it on the way."""

import pytest

from rppam.cluster.consensus.effects import (
    ClaimEpoch,
    Disconnected,
    EpochClaimed,
    EpochLearned,
    Exchange,
    Granted,
    LearnEpoch,
    Phase,
    Promoted,
    Purpose,
    Told,
    Unknown,
)
from rppam.cluster.consensus.lease import SHOWN_MAX
from rppam.cluster.consensus.record import EPOCH_MAX, Record, RecordState
from rppam.kernel.fence import Fenced
from rppam.kernel.instant import US_PER_MS, Instant, WallMs
from tests.cluster.consensus.stage import (
    BEAT,
    LEASE,
    ME,
    OTHER,
    PROMISE,
    TIMING,
    Stage,
    asking,
    candidate,
    held,
)


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
    assert stage.election.status().leader(stage.now) == (ME, 1_000)


@pytest.mark.parametrize(
    ("record", "database", "wall_ms", "epoch"),
    [(held(epoch=7), 3, 5, 8), (held(epoch=7), 30, 5, 31), (held(epoch=7), 30, 500, 500), (held(epoch=7), None, 5, 8)],
)
def test_the_epoch_is_above_the_record_and_the_database_and_not_below_the_wall_clock(
    record: Record, database: int | None, wall_ms: int, epoch: int
) -> None:
    stage = candidate(record)
    stage.learn(database, wall_ms)
    assert stage.election.status().epoch == epoch


def test_a_node_that_gave_up_an_epoch_never_tries_it_again() -> None:
    stage = asking()
    tried = stage.election.status().epoch
    stage.stands = held(epoch=1)
    stage.answer()
    stage.live(LEASE + 2_000)
    stage.learn(wall_ms=0)
    assert stage.election.status().epoch == tried + 1


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
    assert stage.election.status().epoch == 0


def test_that_no_epoch_is_left_is_told_once_with_what_to_do() -> None:
    stage = candidate(held(epoch=EPOCH_MAX))
    stage.learn()
    stage.live(3 * LEASE)
    told = [effect for effect in stage.effects if isinstance(effect, Told) and effect.is_warning]
    assert len(told) == 1
    assert "delete the key" in told[0].sentence


def test_a_wall_clock_that_shows_a_far_future_uses_no_epochs_up() -> None:
    stage = candidate(held(epoch=7))
    stage.learn(wall_ms=9 * 10**14)
    assert stage.phase is Phase.VOTING
    assert stage.election.status().epoch == SHOWN_MAX


def test_a_candidate_that_finds_another_record_gives_up_and_backs_off() -> None:
    stage = asking()
    stage.stands = held()
    stage.answer()
    assert stage.phase is Phase.STANDBY
    assert stage.election.status().leader(stage.now) == (OTHER, 7)


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
    stage.learn(highest=5_000)
    assert stage.phase is Phase.VOTING, "its own release is believed: the fence says nothing of the store's vote"
    assert stage.election.status().epoch == 5_001


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
