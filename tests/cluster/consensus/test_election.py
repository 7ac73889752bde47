"""How a node waits for a record to be silent, how a leader goes, and what stalls and noise do to either."""

from collections.abc import Callable

import pytest

from rppam.cluster.consensus.effects import (
    Connected,
    Disconnected,
    Exchange,
    Phase,
    Promoted,
    Quiesced,
    ReleaseHeard,
    StandAgain,
    StandDown,
    StepDownReason,
    SteppedDown,
    Tick,
    Unknown,
)
from rppam.cluster.consensus.record import RecordState
from rppam.kernel.instant import US_PER_MS, Instant
from tests.cluster.consensus.stage import (
    BEAT,
    LEASE,
    ME,
    OTHER,
    OTHER_LIFE,
    PROMISE,
    Stage,
    asking,
    candidate,
    held,
    leader,
    released,
)

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
    assert stage.election.status().leader(stage.now) is None
    stage.connect()
    stage.stands = held()
    stage.answer()
    assert stage.election.status().leader(stage.now) == (OTHER, 7)
    stage.now = Instant(stage.now + (LEASE + 1) * US_PER_MS)
    assert stage.election.status().leader(stage.now) is None


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
    assert stage.phase is Phase.STOPPING


@pytest.mark.parametrize("make", [candidate, asking])
def test_a_candidate_asked_to_stand_down_gives_up(make: Callable[[], Stage]) -> None:
    stage = make()
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
    assert stage.phase is Phase.STOPPING


def test_a_released_epoch_is_never_led_again_by_the_same_node() -> None:
    stage = leader()
    stage.tell(StandDown("maintenance"), 1)
    stage.stop_acting()
    stage.tell(StandAgain(), 1)
    stage.live(BEAT * 2)
    assert stage.phase is Phase.LEARNING
    stage.learn(wall_ms=0)
    assert stage.election.status().epoch == 1_001


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
    assert stage.election.status().leader(stage.now) == (OTHER, 7)


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
        stage.election.step(Tick(), stage.now)
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
