"""Members that vote, told as stories."""

from typing import Any

import pytest

from rppam.cluster.consensus.effects import ChangeMembership, HandOver, StandDown
from rppam.cluster.consensus.membership import QuorumPolicy, VoterSet
from tests.cluster.consensus.parliament import TIMING, Parliament

LEASE = TIMING.lease_ms
LAST, MAJORITY = QuorumPolicy.LAST_MAN_STANDING, QuorumPolicy.MAJORITY
both = pytest.mark.parametrize("policy", [LAST, MAJORITY])
sizes = pytest.mark.parametrize("names", ["ab", "abc", "abcd", "abcde"])


def seated(names: str, policy: QuorumPolicy, **more: Any) -> Parliament:
    """A parliament that has a leader."""
    house = Parliament(*names, policy=policy, **more)
    house.run(LEASE + 1_500)
    assert house.leader is not None
    return house


@both
@sizes
def test_a_cluster_elects_once_every_former_promise_must_have_ended_and_keeps_its_leader(
    names: str, policy: QuorumPolicy
) -> None:
    house = Parliament(*names, policy=policy)
    house.run(LEASE - 1)
    assert house.leader is None, "whatever a former life promised may still run"
    house.run(60_000)
    assert len(house.leaders) == 1


@both
@sizes
def test_a_dead_leader_is_replaced_within_the_lease_and_half_a_second(names: str, policy: QuorumPolicy) -> None:
    house = seated(names, policy)
    leader = house.leader
    assert leader is not None
    house.run(5 * LEASE)
    house.kill(leader)
    house.run(LEASE + 500 if len(names) > 2 else LEASE + TIMING.heartbeat_ms + 500)
    assert house.leader not in {None, leader}


@both
@sizes
def test_an_outage_of_the_store_changes_no_leader_while_all_members_are_up(names: str, policy: QuorumPolicy) -> None:
    house = seated(names, policy)
    house.run(2 * LEASE)
    house.store_away()
    house.run(20 * LEASE)
    house.store_back(empty=True)
    house.run(5 * LEASE)
    assert len(house.leaders) == 1
    assert house.text is not None
    assert f"held {house.leader} " in house.text, "the record is written again"


@pytest.mark.parametrize("names", ["ab", "abc", "abcd", "abcde"])
def test_the_last_one_standing_leads_alone_if_it_reaches_the_store(names: str) -> None:
    house = seated(names, LAST)
    for name in names[:-1]:
        house.kill(name)
        house.run(2 * LEASE + 1_000)
    assert house.leader == names[-1]


def test_without_the_store_and_with_a_member_down_nobody_leads_under_last_man_standing() -> None:
    house = seated("abc", LAST)
    house.store_away()
    house.run(LEASE)
    standby = next(name for name in "abc" if name != house.leader)
    house.kill(standby)
    house.run(3 * LEASE)
    assert house.leader is None
    assert "no promise of (store)" in house.told[-1] or any(standby in line for line in house.told)
    house.start(standby)
    house.run(3 * LEASE)
    assert house.leader is not None


def test_members_restarted_one_after_another_without_the_store_cost_no_leadership() -> None:
    house = seated("abc", LAST)
    house.store_away()
    for name in "abc":
        if name != house.leader:
            house.kill(name)
            house.run(1_000)
            house.start(name)
            house.run(2 * LEASE)
    assert len(house.leaders) == 1


def test_a_witness_votes_and_never_leads() -> None:
    house = seated("abw", MAJORITY, witnesses=("w",), store=False)
    for _ in range(3):
        leader = house.leader
        assert leader in {"a", "b"}
        house.kill(leader)
        house.run(LEASE + 1_500)
        house.start(leader)
        house.run(2 * LEASE)
    assert {name for _, name, _ in house.leaders} == {"a", "b"}


def test_one_that_is_cut_off_from_the_leader_alone_is_not_fought_over() -> None:
    house = seated("abc", MAJORITY)
    leader = house.leader
    assert leader is not None
    other = next(name for name in "abc" if name != leader)
    house.cut |= {(leader, other), (other, leader)}
    house.run(30 * LEASE)
    assert len(house.leaders) == 1


@both
def test_a_leader_that_loses_its_majority_stops_before_another_can_begin(policy: QuorumPolicy) -> None:
    house = seated("abc", policy, store=policy is LAST)
    leader = house.leader
    assert leader is not None
    house.cut |= {pair for name in "abc" for pair in ((leader, name), (name, leader)) if name != leader}
    if policy is LAST:
        assert house.seats[leader].status.deadline is not None
        house.run(5 * LEASE)
        assert house.leader == leader, "the store and itself are enough"
    else:
        house.run(LEASE + 1_500)
        assert house.leader not in {None, leader}


@both
@sizes
def test_a_hand_over_takes_less_than_a_tenth_of_a_second(names: str, policy: QuorumPolicy) -> None:
    house = seated(names, policy)
    house.run(3 * LEASE)
    leader = house.leader
    assert leader is not None
    successor = next(name for name in reversed(names) if name != leader)
    house.tell(leader, HandOver(successor, "switchover"))
    house.run(100)
    assert house.leader == successor


@both
def test_a_leader_that_is_asked_to_stand_aside_is_followed_at_once(policy: QuorumPolicy) -> None:
    house = seated("abc", policy)
    house.run(3 * LEASE)
    leader = house.leader
    assert leader is not None
    house.tell(leader, StandDown("maintenance"))
    house.run(200)
    assert house.leader not in {None, leader}
    house.run(10 * LEASE)
    assert house.leader != leader


@both
def test_a_member_is_added_and_removed_in_two_steps_without_losing_the_leader(policy: QuorumPolicy) -> None:
    house = seated("abc", policy)
    leader = house.leader
    assert leader is not None
    house.add("d")
    house.run(2 * LEASE)
    assert house.seats["d"].status.known_membership is None
    house.tell(leader, ChangeMembership(VoterSet.of(tuple("abcd"), policy)))
    house.run(2 * LEASE)
    for name in "abcd":
        assert house.membership(name).body.members == tuple("abcd")
        assert house.membership(name).old is None
    house.tell(leader, ChangeMembership(VoterSet.of(("a", "b", "c"), policy)))
    house.run(2 * LEASE)
    assert house.membership(leader).body.members == tuple("abc")
    assert len(house.leaders) == 1


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_a_dead_member_is_waited_for_unless_it_is_stated_to_be_off(names: str) -> None:
    house = seated(names, LAST)
    leader = house.leader
    assert leader is not None
    dead = next(name for name in names if name != leader)
    house.kill(dead)
    body = VoterSet.of(tuple(name for name in names if name != dead), LAST)
    house.tell(leader, ChangeMembership(body))
    house.run(4 * LEASE)
    assert house.membership(leader).old is not None, "pending: the dead one may come back with the old list"
    house.tell(leader, ChangeMembership(body, (dead,)))
    house.run(LEASE)
    assert house.membership(leader).body == body
    assert house.membership(leader).old is None
    assert house.leader == leader


def test_a_change_of_the_votes_never_shortens_what_the_leader_was_given() -> None:
    """Without the store all four have to agree under the new policy, and one has not answered for a while."""
    house = seated("abcd", MAJORITY)
    leader = house.leader
    assert leader is not None
    house.run(2 * LEASE)
    house.store_away()
    late = next(name for name in "dcb" if name != leader)
    house.cut |= {(leader, late), (late, leader)}
    house.run(2 * TIMING.heartbeat_ms)
    house.tell(leader, ChangeMembership(VoterSet.of(tuple("abcd"), LAST)))
    given = 0
    for _ in range(3 * LEASE):
        house.run(1)
        deadline = house.seats[leader].status.deadline
        assert deadline is not None
        assert deadline >= given
        given = deadline
    assert house.membership(leader).body.policy is MAJORITY
    house.cut.clear()
    house.run(2 * LEASE)
    assert house.membership(leader).body.policy is LAST, "the order still stood"
    assert len(house.leaders) == 1


def test_a_removed_member_that_comes_back_learns_it_and_stands_no_more_as_long_as_it_is_none() -> None:
    house = seated("abc", MAJORITY)
    leader = house.leader
    assert leader is not None
    gone = next(name for name in "abc" if name != leader)
    house.kill(gone)
    house.tell(leader, ChangeMembership(VoterSet.of(tuple(name for name in "abc" if name != gone), MAJORITY)))
    house.run(2 * LEASE)
    assert house.membership(leader).old is None
    house.start(gone)
    house.run(10 * LEASE)
    assert gone not in house.membership(gone).members
    assert house.leader == leader


@both
@pytest.mark.parametrize("names", ["ab", "abc", "abcd"])
@pytest.mark.parametrize("gone_after_ms", [6, 7, 8, 12, 30])
def test_a_leader_that_is_stopped_and_gone_is_followed_at_once(
    names: str, policy: QuorumPolicy, gone_after_ms: int
) -> None:
    house = seated(names, policy)
    house.run(3 * LEASE)
    leader = house.leader
    assert leader is not None
    house.tell(leader, StandDown("the process ends"))
    house.run(gone_after_ms)  # it stops acting for 5 ms, then releases
    house.kill(leader)
    house.run(1_300)
    assert house.leader not in {None, leader}, "its release is believed, also by who has stood since"


@both
@pytest.mark.parametrize("phase_ms", range(0, TIMING.heartbeat_ms, 45))
def test_the_record_is_read_in_step_with_its_leader_so_its_death_costs_the_lease_and_no_heartbeat_more(
    policy: QuorumPolicy, phase_ms: int
) -> None:
    house = seated("abc", policy)
    leader = house.leader
    assert leader is not None
    for name in house.seats:  # a connection is new at any moment, and is read over at once
        house.run(130)
        house._connect(house.seats[name], house.seats[name].life)
    house.run(5 * LEASE + phase_ms)
    house.kill(leader)
    died = house.now
    while house.leader is None:
        house.run(1)
    assert (house.now - died) // 1_000 <= LEASE + TIMING.heartbeat_ms // 16 + 100


@both
def test_reading_in_step_costs_no_further_requests(policy: QuorumPolicy) -> None:
    house = seated("abc", policy)
    house.run(2 * LEASE)
    asked: dict[str, int] = dict.fromkeys("abc", 0)
    serve = house._serve

    def counted(seat: Any, life: int, effect: Any) -> None:
        asked[seat.name] += 1
        serve(seat, life, effect)

    house._serve = counted  # type: ignore[method-assign]
    beats = 40
    house.run(beats * TIMING.heartbeat_ms)
    assert all(beats - 1 <= times <= beats + 1 for times in asked.values()), asked


@pytest.mark.parametrize("vouches", [True, False], ids=["vouched", "not"])
def test_members_that_only_witnesses_know_of_are_known_to_the_next_leader_by_a_nodes_word(vouches: bool) -> None:
    """The leader adds a witness while it does not reach the other node, and is gone for good."""
    house = seated("abw", MAJORITY, witnesses=("w",))
    house.nodes_vouch = vouches
    leader = house.leader
    assert leader is not None
    (other,) = {"a", "b"} - {leader}
    house.cut |= {(leader, other), (other, leader)}
    house.add("v")
    house.witnesses.add("v")
    wanted = VoterSet.of(("a", "b", "v", "w"), MAJORITY, ("v", "w"))
    house.tell(leader, ChangeMembership(wanted))
    house.run(3 * LEASE)
    for witness in "vw":
        assert (house.membership(witness).body, house.membership(witness).old) == (wanted, None)
    house.kill(leader)
    house.run(4 * LEASE)
    assert house.leader == (other if vouches else None)
    assert (house.membership(other).body == wanted) is vouches
