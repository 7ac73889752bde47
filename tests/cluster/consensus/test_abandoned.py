"""A record that a candidate wrote and then gave up: released as soon as it is seen, or, where nobody would believe it,
left to fall silent."""

from itertools import permutations

from rppam.cluster.consensus.effects import Exchange, Found, Phase, Purpose
from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.consensus.record import Record, RecordState, sealed
from rppam_sim.host import SimSeal
from tests.cluster.consensus.parliament import TIMING, Parliament
from tests.cluster.consensus.stage import Stage, asking

LEASE = TIMING.lease_ms


def _given_up() -> Stage:
    """A candidate whose write is made only after it has given up."""
    stage = asking()
    late = stage.asked.swap
    assert late is not None
    stage.wait(TIMING.request_timeout_ms + 1)
    assert stage.phase is not Phase.VOTING
    stage.stands = late.proposed
    return stage


def test_it_is_released_the_moment_that_it_is_seen() -> None:
    stage = _given_up()
    stage.wait(TIMING.heartbeat_ms)
    stage.answer()
    swap = stage.asked.swap
    assert swap is not None
    assert swap.purpose is Purpose.RELEASE
    stage.answer()
    assert stage.stands is not None
    assert stage.stands.state is RecordState.RELEASED


def test_a_release_that_nobody_would_believe_does_not_start_the_wait_anew() -> None:
    stage = _given_up()
    stage.wait(TIMING.heartbeat_ms)
    request = stage.asked.request
    assert stage.stands is not None
    stage.tell(Found(request, stage.stands, was_absent=False), 1)  # the release that follows is lost
    assert stage.asked.swap is not None
    state = stage.election._state
    state.lease = state.lease._replace(epochs=state.lease.epochs._replace(led=stage.stands.epoch + 1))
    stage.wait(TIMING.request_timeout_ms + TIMING.heartbeat_ms)
    seen_at = stage.election.status().lease.since
    asked = len(stage.of(Exchange))
    stage.live(4 * TIMING.heartbeat_ms)
    later = stage.of(Exchange)[asked:]
    assert all(exchange.swap is None for exchange in later)
    assert len(later) <= 4, "nothing is to be written, so it is read no more often than usual"
    assert stage.election.status().lease.since == seen_at


def test_who_stands_again_and_again_releases_it_all_the_same() -> None:
    house = Parliament("a", "b", "c", policy=QuorumPolicy.MAJORITY)
    house.cut |= set(permutations("abc", 2))  # nobody gets a vote, and each of its questions is waited for
    house.run(2 * LEASE)
    boot_id = house.seats["a"].status.me.boot_id
    for number in range(20):
        late = sealed(Record(RecordState.HELD, "a", boot_id, 1_000_000 + number, 1, "ab" * 8), SimSeal())
        house.text = late.encode()
        house.run(2 * TIMING.heartbeat_ms)
        assert " released a " in house.text
