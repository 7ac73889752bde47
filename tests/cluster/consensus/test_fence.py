"""The fence in the database: nobody raises it without a majority, and no leader stays below it."""

import pytest

from rppam.cluster.consensus.effects import (
    ClaimEpoch,
    Disconnected,
    EpochClaimed,
    EpochLearned,
    Exchange,
    FenceRefused,
    HandOver,
    LearnEpoch,
    PauseFailover,
    Phase,
    Purpose,
    SaveKept,
    StandDown,
    Tick,
)
from rppam.cluster.consensus.lease import LEAP_MAX, SHOWN_MAX
from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.consensus.node import NodeEffect
from rppam.cluster.consensus.record import EPOCH_MAX
from rppam.kernel.fence import Fenced
from rppam.kernel.instant import WallMs
from tests.cluster.consensus.parliament import HOP_US, TIMING, Parliament, Seat

POLICIES = (QuorumPolicy.LAST_MAN_STANDING, QuorumPolicy.MAJORITY)
FOUND_MS = 3 * TIMING.heartbeat_ms
"""Two heartbeats until it is looked at, and a little."""


class SlowHouse(Parliament):
    """With disks and a database that are slow where the test says so, and a store that answers some seats late."""

    def __init__(self, *names: str, policy: QuorumPolicy) -> None:
        self.disk_us: dict[str, int] = {}
        self.learn_us: dict[str, int] = {}
        self.hold: set[str] = set()
        self.held: list[tuple[Seat, int, Exchange]] = []
        self.without_majority: list[tuple[str, int]] = []
        super().__init__(*names, policy=policy)

    def _one(self, seat: Seat, effect: NodeEffect) -> None:
        if isinstance(effect, SaveKept):
            self._later(self.disk_us.get(seat.name, 300), self._saved, seat, seat.life, effect.ticket, effect.kept)
        elif isinstance(effect, LearnEpoch):
            self._later(self.learn_us.get(seat.name, 100), self._learned, seat, seat.life, effect.attempt)
        elif isinstance(effect, ClaimEpoch):
            status = seat.status
            if not status.rules.leadership.has_permission(status.deadline, self._at):
                self.without_majority.append((seat.name, effect.epoch))
            super()._one(seat, effect)
        else:
            super()._one(seat, effect)

    def _learned(self, seat: Seat, life: int, attempt: int) -> None:
        self._event(seat, life, EpochLearned(attempt, self.fence, WallMs(10_000 + self.now // 1000)))

    def _serve(self, seat: Seat, life: int, effect: Exchange) -> None:
        is_acquiring = effect.swap is not None and effect.swap.purpose is Purpose.ACQUIRE
        if seat.name in self.hold and is_acquiring:
            self.held.append((seat, life, effect))
        else:
            super()._serve(seat, life, effect)

    def let_go(self) -> None:
        """What was held back reaches the store now."""
        self.hold.clear()
        for words in self.held:
            self._later(HOP_US, super()._serve, *words)

    def stand_now(self, name: str) -> None:
        seat = self.seats[name]
        assert seat.member is not None
        seat.state.standing.electable = True
        seat.state.standing.back_off_until = self._at  # the chance that it draws a short one
        self._perform(seat, seat.member.step(Tick(), self._at))

    def until(self, holds: object, ms: int) -> None:
        assert callable(holds)
        for _ in range(ms):
            if holds():
                return
            self.run(1)
        raise AssertionError("it did not come to that")


def test_a_late_answer_of_the_store_does_not_win_the_next_attempt() -> None:
    """The leader has released. Who stands has a store that answers late; its next attempt gets that answer."""
    house = SlowHouse("a", "b", "c", policy=QuorumPolicy.LAST_MAN_STANDING)
    house.run(9_000)
    leader = house.leader
    assert leader is not None
    slow, other = sorted({"a", "b", "c"} - {leader})
    connection = house.seats[other].status.lease.connection
    assert connection is not None
    house.tell(other, Disconnected(connection))
    house.hold.add(slow)
    house.disk_us[slow] = 900_000
    attempt = house.seats[slow]
    house.seats[other].state.standing.electable = False
    for name in (leader, other):
        house.cut |= {(slow, name), (name, slow)}
    house.tell(leader, HandOver("", "test"))
    house.seats[leader].state.standing.electable = False
    house.until(lambda: house.held, 6_000)
    house.until(lambda: attempt.status.phase is not Phase.VOTING, 2_000)
    first = house.held[0][2].swap
    assert first is not None
    house.cut.clear()
    house.disk_us[slow] = 300
    house.learn_us[slow] = 20_000
    house.stand_now(slow)
    house.until(lambda: attempt.status.phase is Phase.LEARNING, 100)
    house.stand_now(other)
    house.until(lambda: attempt.status.phase is Phase.VOTING and attempt.status.epoch != first.proposed.epoch, 200)
    house.run(2)
    house.let_go()
    house.run(300)
    assert house.without_majority == []
    house.run(120_000)
    leads = house.leader
    assert leads is not None
    assert house.seats[leads].status.epoch == house.fence, "a leader below the fence may write nothing"


def test_a_leader_below_the_fence_stands_again_above_it_within_seconds() -> None:
    for policy in POLICIES:
        house = Parliament("a", "b", "c", policy=policy)
        house.run(9_000)
        before = house.leader
        assert before is not None
        house.fence += 2
        house.run(FOUND_MS)
        leads = house.leader
        assert leads == before, "nobody else is better off"
        assert house.seats[leads].status.epoch == house.fence
        assert any("refuses what is written under this one" in told for told in house.told)


def test_a_refused_write_is_heeded_at_once_whoever_made_it() -> None:
    house = Parliament("a", "b", "c")
    house.run(9_000)
    leader = house.leader
    assert leader is not None
    seat = house.seats[leader]
    house.fence += 10_000
    house.tell(leader, FenceRefused(seat.status.epoch, house.fence, "x"))
    assert seat.status.phase is Phase.STOPPING
    house.run(200)
    leads = house.leader
    assert leads is not None
    assert house.seats[leads].status.epoch == house.fence


def test_a_late_refusal_of_an_earlier_leadership_costs_nothing() -> None:
    house = Parliament("a", "b", "c")
    house.run(9_000)
    leader = house.leader
    assert leader is not None
    epoch = house.seats[leader].status.epoch
    house.tell(leader, FenceRefused(epoch - 5, epoch - 1, "x"))
    house.tell(leader, FenceRefused(epoch - 5, epoch, leader))
    assert house.leader == leader


def test_the_fence_is_heeded_also_while_failover_is_paused() -> None:
    house = Parliament("a", "b", "c")
    house.run(9_000)
    for name in house.seats:
        house.tell(name, PauseFailover(is_on=True))
    house.fence += 2
    house.run(FOUND_MS)
    leads = house.leader
    assert leads is not None
    assert house.seats[leads].status.epoch == house.fence


def test_who_was_asked_to_stop_does_not_stand_again_above_the_fence() -> None:
    house = Parliament("a", "b", "c")
    house.run(9_000)
    leader = house.leader
    assert leader is not None
    house.fence += 2
    house.tell(leader, FenceRefused(house.seats[leader].status.epoch, house.fence))
    house.tell(leader, StandDown("maintenance"))
    house.run(1_000)
    assert house.leader not in {None, leader}, "another one was invited"


def test_a_database_that_is_away_costs_nobody_the_lead_and_hears_of_the_epoch_later() -> None:
    house = Parliament("a", "b", "c")
    house.database_up = False
    house.run(20_000)
    leader = house.leader
    assert leader is not None
    assert len(house.leaders) == 1
    assert house.fence == 0
    house.database_up = True
    house.run(FOUND_MS)
    assert house.leader == leader
    assert house.fence == house.seats[leader].status.epoch


def test_a_refused_claim_that_is_answered_too_late_ends_the_leadership_all_the_same() -> None:
    house = Parliament("a", "b", "c")
    house.run(9_000)
    leader = house.leader
    assert leader is not None
    seat = house.seats[leader]
    house.fence = seat.status.epoch + 1
    house.tell(leader, EpochClaimed(seat.state.attempts, Fenced.REFUSED))
    assert seat.status.phase is Phase.STOPPING
    house.run(200)
    leads = house.leader
    assert leads is not None
    assert house.seats[leads].status.epoch == house.fence


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("shown", [SHOWN_MAX + LEAP_MAX, SHOWN_MAX + 2 * LEAP_MAX, EPOCH_MAX])
def test_a_fence_that_no_member_would_follow_is_told_once_by_each_and_cured_in_the_database_alone(
    policy: QuorumPolicy, shown: int
) -> None:
    house = Parliament("a", "b", "c", policy=policy)
    house.run(9_000)
    led = house.fence
    house.fence = shown
    house.run(60_000)
    assert house.leader is None
    told = [line for line in house.told if "the table 'fence'" in line]
    assert sorted(line[0] for line in told) == ["a", "b", "c"]
    assert all(f"names epoch {shown}, expected {SHOWN_MAX + LEAP_MAX - 1} at most" in line for line in told)
    assert all("epoch" in seat.status.no_epoch for seat in house.seats.values())
    house.fence = led
    house.run(2 * TIMING.lease_ms)
    leads = house.leader
    assert leads is not None
    assert house.seats[leads].status.epoch == house.fence
    assert not any(seat.status.no_epoch for seat in house.seats.values())


def test_a_fence_as_high_as_members_follow_stops_nobody() -> None:
    house = Parliament("a", "b", "c")
    house.run(9_000)
    house.fence = SHOWN_MAX + LEAP_MAX - 1
    house.run(9_000)
    assert house.leader is not None
    assert house.fence == SHOWN_MAX + LEAP_MAX


def test_what_the_database_says_last_is_what_it_says() -> None:
    """A restore brought an earlier epoch back; whoever led above it still leads above it."""
    house = Parliament("a", "b", "c")
    house.run(9_000)
    leader = house.leader
    assert leader is not None
    epoch = house.seats[leader].status.epoch
    house.fence, house._fence_of = 1, (0, "")
    house.kill(leader)
    house.run(2 * TIMING.lease_ms)
    leads = house.leader
    assert leads is not None
    assert house.seats[leads].status.lease.epochs.fenced == 1
    assert house.fence == house.seats[leads].status.epoch > epoch
