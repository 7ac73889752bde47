"""A clock that is off, where the store has a vote: it neither counts that vote nor takes it too soon."""

from collections.abc import Sequence

import pytest

from rppam.cluster.consensus.clock_rates import Rates
from rppam.cluster.consensus.effects import ImposeMembership, SendVote, StepDownReason, SteppedDown
from rppam.cluster.consensus.membership import QuorumPolicy, VoterSet
from rppam.cluster.consensus.node import NodeEffect
from rppam.cluster.consensus.promises import STORE
from rppam.kernel.instant import Instant
from tests.cluster.consensus.parliament import TIMING, Parliament, Seat

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
    state = house.seats[by].state
    rate = house.rates.get(of, 1.0) / house.rates.get(by, 1.0)
    for beat in range(2 * seconds):
        at = house.now + beat * 500_000 - seconds * 1_000_000
        state.peers.rates.observe(of, "9" * 16, Instant(at), Instant(at + 1_000), Instant(int(rate * at)))
    state.obey_clocks(Instant(house.now))


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
    assert not house.seats[leader].status.others.clocks.store_counts
    assert not house.seats[leader].status.holds(STORE, Instant(house.now))
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
    assert house.seats[leader].status.others.clocks.off
    assert house.seats[leader].status.others.clocks.store_counts
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
        assert house.seats[leader].status.others.clocks.store_counts is stays
        assert (house.seats[leader].status.permission(Instant(house.now)) is not None) is stays


def test_who_runs_faster_than_another_waits_as_much_longer_for_the_stores_vote() -> None:
    house = Clocks("a", "b")
    house.run(9_000)
    leader = house.leader
    assert leader is not None
    other = followers(house)[0]
    seat = house.seats[other]
    rules = seat.status.rules.lease
    before = rules.silence_us(seat.status.lease)
    house.rates = {leader: 0.9}
    relative(house, leader, other, 60)
    assert seat.status.others.clocks.store_counts, "of two it is the faster one"
    assert before / 0.9 <= rules.silence_us(seat.status.lease) < before / 0.88
    take_at = seat.status.take_at
    assert take_at is not None
    assert not rules.may_take(seat.status.lease, Instant(take_at - 1))
    assert rules.may_take(seat.status.lease, take_at)


def test_a_clock_that_may_stand_still_is_never_waited_out() -> None:
    house = Clocks("a", "b")
    house.run(9_000)
    leader = house.leader
    assert leader is not None
    seat = house.seats[followers(house)[0]]
    house.rates = {leader: 0.01}
    relative(house, leader, followers(house)[0], 60)
    assert not seat.status.rules.lease.may_take(seat.status.lease, Instant(house.now + 100 * LEASE * 1_000))


class StandsStill(Parliament):
    """One seat's votes show a clock that was set back once, and stands still since."""

    stopped = ""

    def _one(self, seat: Seat, effect: NodeEffect) -> None:
        if isinstance(effect, SendVote) and seat.name == self.stopped:
            effect = effect._replace(vote=effect.vote._replace(now=Instant(1)))
        super()._one(seat, effect)


def stopped(house: StandsStill, name: str) -> None:
    """The clock of ``name`` stands still for 30 s, and all that may lead notice. It does not lead itself."""
    house.stopped = name
    house.seats[name].state.standing.electable = False
    house.run(30_000)
    assert all(name in house.seats[other].status.others.clocks.off for other in house.seats if other != name)


def test_a_witness_whose_clock_stands_still_never_holds_the_stores_promise_and_is_not_waited_for() -> None:
    for goes in (True, False):
        house = StandsStill("a", "b", "w", policy=LAST, witnesses=("w",))
        house.run(40_000)
        stopped(house, "w")
        leader = house.leader
        assert leader in {"a", "b"}
        if goes:
            house.kill("w")
        house.kill(leader)
        house.run(3 * LEASE)
        assert house.leader not in {leader, None}


def test_a_clock_that_stood_still_is_waited_for_while_it_answers_and_for_a_while_after_it_has_gone() -> None:
    house = StandsStill("a", "b", "c", policy=LAST)
    house.run(40_000)
    leader = house.leader
    assert leader is not None
    last, wrong = followers(house)
    stopped(house, wrong)
    house.kill(leader)
    house.run(30 * LEASE)
    assert house.leader is None, "it may have the store's promise, and has to be restarted"
    assert house.seats[last].status.others.clocks.awaited == (wrong,)
    house.kill(wrong)
    house.run(9 * LEASE)
    assert house.leader is None
    house.run(3 * LEASE)
    assert house.leader == last


def test_a_clock_that_stood_still_and_went_before_the_leader_died_is_waited_for_no_longer_than_a_tenth_runs() -> None:
    house = StandsStill("a", "b", "c", policy=LAST)
    house.run(40_000)
    leader = house.leader
    assert leader is not None
    last, wrong = followers(house)
    stopped(house, wrong)
    house.kill(wrong)
    house.run(12 * LEASE)
    assert house.leader == leader, "its own evidence costs a leader nothing, with another's beside it"
    house.kill(leader)
    house.run(9 * LEASE)
    assert house.leader is None, "from its last write"
    house.run(3 * LEASE)
    assert house.leader == last


def test_what_was_measured_is_obeyed_also_of_whoever_has_gone() -> None:
    house = Clocks("a", "b")
    house.run(9_000)
    leader = house.leader
    assert leader is not None
    other = followers(house)[0]
    seat = house.seats[other]
    house.rates = {leader: 0.5}
    relative(house, leader, other, 60)
    longer_us = seat.status.lease.longer_us
    assert longer_us > 0
    seat.state.obey_clocks(Instant(house.now + 1_000 * LEASE * 1_000))
    assert seat.status.lease.longer_us == longer_us


def test_a_member_that_is_forgotten_is_waited_for_no_more() -> None:
    house = StandsStill("a", "b", "c", policy=LAST)
    house.run(40_000)
    leader = house.leader
    assert leader is not None
    last, wrong = followers(house)
    stopped(house, wrong)
    house.kill(leader)
    house.kill(wrong)
    house.run(2 * LEASE)
    assert house.leader is None
    house.tell(last, ImposeMembership(VoterSet.of((leader, last), LAST)))
    house.run(2 * LEASE)
    assert house.leader == last
    assert house.seats[last].status.others.clocks.off == {}


def test_an_own_clock_that_stands_still_is_a_finding_and_no_error() -> None:
    rates = Rates(TIMING)
    for beat in range(20):
        rates.observe("b", "1" * 16, Instant(5), Instant(5), Instant(beat * 1_000_000))
    assert rates.off["b"] > 0


def test_followers_compare_clocks_by_themselves() -> None:
    house = Parliament("a", "b", "c", policy=LAST)
    house.run(30_000)
    assert house.leader is not None
    for name in followers(house):
        others = [other for other in house.seats if other != name]
        assert all(house.seats[name].state.peers.rates.agrees(other) for other in others)


def test_nobody_compares_clocks_where_the_store_has_no_vote() -> None:
    house = Parliament("a", "b", "c", policy=QuorumPolicy.MAJORITY)
    house.run(9_000)
    name = followers(house)[0]
    peers = house.seats[name].state.peers
    looks = peers._looks
    house.run(30_000)
    assert peers._looks == looks
