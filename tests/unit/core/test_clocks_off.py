"""A clock that is off, where the store has a vote: it neither counts that vote nor takes it too soon."""

from collections.abc import Sequence

import pytest

from rppam.core.effects import StepDownReason, SteppedDown
from rppam.core.node import NodeEffect
from rppam.core.voter import SendVote
from rppam.domain.electorate import STORE, QuorumPolicy
from rppam.domain.instant import Instant
from tests.unit.core.parliament import TIMING, Parliament, Seat

LAST = QuorumPolicy.LAST_MAN_STANDING
LEASE = TIMING.lease_ms


class Clocks(Parliament):
    """Seats whose clock does not run as true time does."""

    def __init__(self, *names: str, **rates: float) -> None:
        self.rates = rates
        self.stopped: list[SteppedDown] = []
        super().__init__(*names, policy=LAST)

    def local(self, name: str) -> Instant:
        return Instant(int(self.now * self.rates.get(name, 1.0)))

    def _one(self, seat: Seat, effect: NodeEffect) -> None:
        if isinstance(effect, SteppedDown):
            self.stopped.append(effect)
        if isinstance(effect, SendVote):  # the only thing that tells another of a clock
            rate = self.rates.get(seat.name, 1.0)
            vote = effect.vote._replace(now=Instant(int(effect.vote.now * rate)))
            effect = effect._replace(vote=vote)
        super()._one(seat, effect)


def relative(house: Clocks, of: str, by: str, seconds: int) -> None:
    """Let ``by`` find that the clock of ``of`` runs at its rate to its own, as a minute of votes would show it."""
    election = house.seats[by].election
    rate = house.rates.get(of, 1.0) / house.rates.get(by, 1.0)
    for beat in range(2 * seconds):
        at = house.now + beat * 500_000 - seconds * 1_000_000
        election.rates.observe(of, "9" * 16, Instant(at), Instant(at + 1_000), Instant(int(rate * at)))
    election._heed_clocks()


def followers(house: Parliament) -> Sequence[str]:
    return [name for name in house.seats if name != house.leader]


@pytest.mark.parametrize("rate", [1.1, 0.9])
def test_a_leader_whose_clock_most_others_deny_does_not_lead_by_the_stores_vote(rate: float) -> None:
    house = Clocks("a", "b", "c")
    house.run(9_000)
    leader = house.leader
    assert leader is not None
    house.rates.update({leader: rate})
    for other in followers(house):
        relative(house, other, leader, 60)
    assert not house.seats[leader].election.store_counts
    assert not house.seats[leader].election.ledger.holds(STORE, Instant(house.now))
    house.run(50)
    assert house.leader != leader
    assert house.stopped[-1].reason is StepDownReason.PROMISE_ENDED
    assert "clock" in house.stopped[-1].sentence
    assert "clocksource" in house.stopped[-1].sentence, "it says what to do"


@pytest.mark.parametrize("rate", [1.1, 0.9])
def test_one_wrong_clock_among_three_costs_a_right_leader_nothing(rate: float) -> None:
    house = Clocks("a", "b", "c")
    house.run(9_000)
    leader = house.leader
    assert leader is not None
    right, wrong = followers(house)
    house.rates[wrong] = rate
    relative(house, right, leader, 60)
    relative(house, wrong, leader, 60)
    assert house.seats[leader].election.rates.off
    assert house.seats[leader].election.store_counts
    house.run(200)
    assert house.leader == leader


def test_of_two_that_disagree_the_slower_stops_and_the_faster_may_lead() -> None:
    for rate, stays in ((0.9, False), (1.1, True)):
        house = Clocks("a", "b")
        house.run(9_000)
        leader = house.leader
        assert leader is not None
        other = followers(house)[0]
        house.rates = {leader: rate}
        relative(house, other, leader, 60)
        assert house.seats[leader].election.store_counts is stays
        assert (house.seats[leader].election.permission(Instant(house.now)) is not None) is stays


def test_who_runs_faster_than_another_waits_as_much_longer_for_the_stores_vote() -> None:
    house = Clocks("a", "b")
    house.run(9_000)
    leader = house.leader
    assert leader is not None
    other = followers(house)[0]
    election = house.seats[other].election
    before = election.rules.silence_us(election.watch)
    house.rates = {leader: 0.9}
    relative(house, leader, other, 60)
    assert election.store_counts, "of two it is the faster one"
    assert before / 0.9 <= election.rules.silence_us(election.watch) < before / 0.88
    take_at = election.rules.take_at(election.watch)
    assert take_at is not None
    assert not election.rules.may_take(election.watch, Instant(take_at - 1))
    assert election.rules.may_take(election.watch, take_at)


def test_a_clock_that_may_stand_still_is_never_waited_out() -> None:
    house = Clocks("a", "b")
    house.run(9_000)
    leader = house.leader
    assert leader is not None
    election = house.seats[followers(house)[0]].election
    house.rates = {leader: 0.01}
    relative(house, leader, followers(house)[0], 60)
    assert not election.rules.may_take(election.watch, Instant(house.now + 100 * LEASE * 1_000))


def test_followers_compare_clocks_by_themselves() -> None:
    house = Parliament("a", "b", "c", policy=LAST)
    house.run(30_000)
    assert house.leader is not None
    for name in followers(house):
        others = [other for other in house.seats if other != name]
        assert all(house.seats[name].election.rates.agrees(other) for other in others)


def test_nobody_compares_clocks_where_the_store_has_no_vote() -> None:
    house = Parliament("a", "b", "c", policy=QuorumPolicy.MAJORITY)
    house.run(9_000)
    name = followers(house)[0]
    election = house.seats[name].election
    looks = election._looks
    house.run(30_000)
    assert election._looks == looks
