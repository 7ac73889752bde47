"""What an administrator orders: hand-over, maintenance, a pause of failover, and a list of members by force."""

import pytest

from rppam.cluster.consensus.effects import (
    AskAgain,
    ChangeMembership,
    HandOver,
    ImposeMembership,
    Invited,
    PauseFailover,
    StandAgain,
    StandDown,
)
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.membership import QuorumPolicy, Version, VoterSet
from rppam.cluster.consensus.messages import Readiness, VoteRequest, VoteRequestKind
from rppam.cluster.consensus.vote import VoterEffect
from rppam.kernel.instant import Instant
from tests.cluster.consensus.parliament import TIMING, Parliament
from tests.cluster.consensus.test_members import LAST, LEASE, MAJORITY, both, seated


def led_by(house: Parliament) -> str:
    leader = house.leader
    assert leader is not None
    return leader


def pause(house: Parliament, names: str, *, is_on: bool = True) -> None:
    for name in names:
        if house.seats[name].member is not None:
            house.tell(name, PauseFailover(is_on))


@both
def test_while_failover_is_paused_the_leader_stays_and_nobody_follows_a_dead_one(policy: QuorumPolicy) -> None:
    house = seated("abc", policy)
    leader = led_by(house)
    pause(house, "abc")
    house.run(20 * LEASE)
    assert house.leader == leader
    house.kill(leader)
    house.run(10 * LEASE)
    assert house.leader is None
    pause(house, "abc", is_on=False)
    house.run(LEASE)
    assert house.leader not in {None, leader}


@both
def test_while_failover_is_paused_a_leader_that_lost_its_majority_invites_nobody(policy: QuorumPolicy) -> None:
    house = seated("abc", policy)
    leader = led_by(house)
    pause(house, "abc")
    house.run(LEASE)
    assert house.seats[leader].status.successor(Instant(house.now)) == ""
    house.store_away()
    others = [name for name in "abc" if name != leader]
    house.cut |= {pair for other in others for pair in ((leader, other), (other, leader))}
    house.run(2 * LEASE)
    assert house.leader is None
    house.cut.clear()
    house.store_back(empty=False)
    house.run(5 * LEASE)
    assert house.leader is None
    pause(house, "abc", is_on=False)
    house.run(2 * LEASE)
    assert house.leader is not None


def test_a_leader_invites_the_first_that_answers_unless_failover_is_paused() -> None:
    house = seated("abc", LAST)
    leader = led_by(house)
    house.run(LEASE)
    now = Instant(house.now)
    assert house.seats[leader].status.successor(now) == min(name for name in "abc" if name != leader)
    pause(house, "abc")
    assert house.seats[leader].status.successor(now) == ""


@both
def test_a_candidate_under_way_stops_when_failover_is_paused(policy: QuorumPolicy) -> None:
    house = Parliament("a", "b", "c", policy=policy)
    house.run(LEASE)
    while not any(house.seats[name].status.phase != "standby" for name in "abc"):
        house.run(1)
    pause(house, "abc")
    house.run(5 * LEASE)
    assert house.leader is None
    assert house.leaders == []


@both
@pytest.mark.parametrize("names", ["ab", "abc", "abcd"])
def test_a_hand_over_by_hand_works_while_failover_is_paused(names: str, policy: QuorumPolicy) -> None:
    house = seated(names, policy)
    house.run(3 * LEASE)
    leader = led_by(house)
    pause(house, names)
    successor = next(name for name in reversed(names) if name != leader)
    house.tell(leader, HandOver(successor, "switchover"))
    house.run(100)
    assert house.leader == successor
    house.kill(successor)
    house.run(5 * LEASE)
    assert house.leader is None, "an invitation is for once"


@both
def test_who_is_named_follows_at_once_though_another_has_tried_a_higher_epoch(
    policy: QuorumPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which it hears only by being refused: it had asked before that member answered whether it would."""
    house = seated("abcdef", policy)
    house.run(3 * LEASE)
    leader = led_by(house)
    named, *_, last = [name for name in "abcdef" if name != leader]
    voter = house.seats[last].state.voter
    answer = voter.ask

    def ask(vote_request: VoteRequest, handle: object, now: Instant) -> list[VoterEffect]:
        if vote_request.kind is VoteRequestKind.VOTE and vote_request.candidacy.candidate == named:
            voter.vote = voter.vote._replace(highest=max(voter.vote.highest, house.leaders[-1][2] + 1))
        return answer(vote_request, handle, now)

    monkeypatch.setattr(voter, "ask", ask)
    house.tell(leader, HandOver(named, "switchover"))
    house.run(100)
    assert house.leader == named


def test_an_epoch_that_was_only_tried_takes_no_leader_its_release() -> None:
    """With one member away the store's vote is needed, and that it gives by the release alone so soon."""
    house = seated("abc", LAST)
    house.run(3 * LEASE)
    leader = led_by(house)
    named, away = [name for name in "abc" if name != leader]
    house.kill(away)
    house.run(2 * LEASE)
    for name in (leader, named):
        voter = house.seats[name].state.voter
        voter.vote = voter.vote._replace(highest=house.leaders[-1][2] + 7)
    house.run(LEASE)  # by the answers to its renewals the leader hears of it
    house.tell(leader, HandOver(named, "switchover"))
    house.run(100)
    assert house.leader == named


def test_a_hand_over_while_paused_that_nobody_follows_comes_back_to_the_one_that_led() -> None:
    house = seated("ab", LAST)
    house.run(3 * LEASE)
    leader = led_by(house)
    other = next(name for name in "ab" if name != leader)
    pause(house, "ab")
    house.tell(leader, HandOver(other, "switchover"))
    house.kill(other)
    house.run(3 * LEASE)
    assert house.leader == leader


def test_an_invitation_lasts_for_a_lease_and_no_longer() -> None:
    house = seated("abc", LAST)
    leader = led_by(house)
    other = next(name for name in "abc" if name != leader)
    pause(house, "abc")
    house.tell(other, Invited())
    house.run(3 * LEASE)
    house.kill(leader)
    house.run(5 * LEASE)
    assert house.leader is None


def test_a_paused_node_asks_to_be_polled_in_the_future() -> None:
    house = seated("abc", LAST)
    house.kill(led_by(house))
    pause(house, "abc")
    house.run(5 * LEASE)
    for name in "abc":
        member = house.seats[name].member
        if member is not None:
            assert member.deadline() > house.now - TIMING.heartbeat_us


@both
def test_nobody_in_maintenance_is_invited_and_one_that_comes_back_is(policy: QuorumPolicy) -> None:
    house = seated("abc", policy)
    house.run(3 * LEASE)
    leader = led_by(house)
    first, second = (name for name in "abc" if name != leader)
    house.tell(first, StandDown("maintenance"))
    house.stand(first, Readiness.ASIDE)
    house.tell(leader, AskAgain((first,)))
    house.run(10)
    house.tell(leader, HandOver("", "switchover"))
    house.run(100)
    assert house.leader == second
    house.run(3 * LEASE)
    house.tell(first, StandAgain())
    house.stand(first, Readiness.READY)
    house.tell(second, HandOver(first, "switchover"))
    house.run(100)
    assert house.leader == first


def test_who_is_in_maintenance_still_votes() -> None:
    house = seated("abc", MAJORITY, store=False)
    leader = led_by(house)
    aside, other = (name for name in "abc" if name != leader)
    house.tell(aside, StandDown("maintenance"))
    house.run(LEASE)
    house.kill(leader)
    house.run(LEASE + 1_500)
    assert house.leader == other


@both
def test_survivors_without_a_majority_lead_again_once_an_administrator_imposes_who_is_left(
    policy: QuorumPolicy,
) -> None:
    house = seated("abcde", policy, store=False)
    leader = led_by(house)
    house.run(LEASE)
    lost = [leader, *(name for name in "abcde" if name != leader)][:3]
    left = tuple(name for name in "abcde" if name not in lost)
    for name in lost:
        house.kill(name)
    house.run(5 * LEASE)
    assert house.leader is None
    house.tell(left[0], ImposeMembership(VoterSet.of(left, policy)))
    house.run(3 * LEASE)
    assert house.leader in left
    for name in left:
        assert house.membership(name).members == left, "the other survivor takes it over"
    house.add("f")
    house.tell(led_by(house), ChangeMembership(VoterSet.of((*left, "f"), policy)))
    house.run(3 * LEASE)
    assert house.membership("f").members == (*left, "f"), "changes go on above the imposed version"


def test_an_imposed_list_undoes_one_that_was_forged_wherever_it_was_taken_over() -> None:
    house = seated("abc", MAJORITY, store=False)
    led_by(house)
    true = house.membership("a")
    forged = true._replace(version=Version(10**14, 1), body=VoterSet.of(("x", "y"), MAJORITY))
    for name in "ab":  # somebody who could call himself a member of theirs
        seat = house.seats[name]
        assert isinstance(seat.member, Election)
        adopted = seat.state.voter.adopt(forged, Instant(house.now))
        house._perform(seat, seat.member._voted(adopted, Instant(house.now)))
    house.run(3 * LEASE)
    assert house.leader is None
    assert house.membership("c") != true or house.membership("a") == forged
    for name in "abc":
        if house.membership(name) == forged:
            house.tell(name, ImposeMembership(VoterSet.of(("a", "b", "c"), MAJORITY)))
    house.run(4 * LEASE)
    assert house.leader in set("abc")
    assert {house.membership(name).body for name in "abc"} == {true.body}
    assert all(house.membership(name).version > forged.version for name in "abc")


def test_an_imposed_list_is_refused_by_a_leader_and_turns_away_who_was_left_out() -> None:
    house = seated("abc", MAJORITY, store=False)
    leader = led_by(house)
    before = house.membership(leader)
    house.tell(leader, ImposeMembership(VoterSet.of((leader,), MAJORITY)))
    house.run(LEASE)
    assert house.membership(leader) == before
    other, third = (name for name in "abc" if name != leader)
    house.kill(leader)
    house.kill(third)
    house.run(3 * LEASE)
    house.tell(other, ImposeMembership(VoterSet.of((other,), MAJORITY)))
    house.run(3 * LEASE)
    assert house.leader == other
    house.start(third)
    house.run(5 * LEASE)
    assert house.leader == other
    assert house.membership(third).members == (other,), "alone among those left out, it learns that it was"


@both
@pytest.mark.parametrize("gap_ms", [100, 600, 900, LEASE + 100, LEASE + 1_000, 2 * LEASE - 100])
@pytest.mark.parametrize("names", ["abc", "abcde"])
def test_a_second_hand_over_soon_after_goes_where_it_should_as_well(
    names: str, policy: QuorumPolicy, gap_ms: int
) -> None:
    house = seated(names, policy)
    house.run(3 * LEASE)
    leader = led_by(house)
    first, second, *_ = [name for name in names if name != leader]
    house.tell(leader, HandOver(first, "switchover"))
    house.run(gap_ms)
    assert house.leader == first
    house.tell(first, HandOver(second, "switchover"))
    house.run(100)
    assert house.leader == second
