"""What an administrator orders, told as stories of whole nodes; no order leaves the cluster worse than it was."""

import pytest

from rppam.cluster.admin.errors import (
    CannotFollow,
    ChangePending,
    LeaderPresent,
    LeadsAlready,
    MemberRuns,
    MemberUnknown,
    NobodyToFollow,
    NotStatedOff,
    OrdersUnwritable,
    WitnessTakesNoOrders,
)
from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.consensus.messages import NO_CANDIDACY, PersistedVote
from rppam.http.errors import NotLeaderError
from tests.cluster.consensus.parliament import TIMING
from tests.cluster.driver.government import Government

LEASE = TIMING.lease_ms
LAST, MAJORITY = QuorumPolicy.LAST_MAN_STANDING, QuorumPolicy.MAJORITY
both = pytest.mark.parametrize("policy", [LAST, MAJORITY])


def seated(*names: str, policy: QuorumPolicy = LAST, **more: object) -> tuple[Government, str]:
    house = Government(*names, policy=policy, **more)
    house.run(3 * LEASE)
    leader = house.leader
    assert leader is not None
    return house, leader


def others(house: Government, leader: str) -> list[str]:
    return [name for name in house.seats if name != leader]


# ---- switchover ------------------------------------------------------------------------------------------------------


@both
async def test_a_switchover_is_over_in_a_tenth_of_a_second_and_goes_where_it_should(policy: QuorumPolicy) -> None:
    house, leader = seated("a", "b", "c", policy=policy)
    to = others(house, leader)[-1]
    said = await house.administration(leader).switch_over(to, "eve")
    assert said == f"{leader} releases its leadership and invites {to} to lead"
    house.run(100)
    assert house.leader == to
    assert any("eve ordered a switchover" in line for line in house.told)


async def test_a_switchover_that_makes_no_sense_is_refused_by_name() -> None:
    house, leader = seated("a", "b", "w", policy=MAJORITY, witnesses=("w",))
    administration = house.administration(leader)
    other = next(name for name in ("a", "b") if name != leader)
    with pytest.raises(LeadsAlready):
        await administration.switch_over(leader, "eve")
    with pytest.raises(MemberUnknown, match="x is no member; the members are a, b, w"):
        await administration.switch_over("x", "eve")
    with pytest.raises(CannotFollow, match="w is a witness"):
        await administration.switch_over("w", "eve")
    with pytest.raises(NotLeaderError) as caught:
        await house.administration(other).switch_over(None, "eve")
    assert caught.value.members() == {"leader": leader, "leaderUrl": f"http://{leader}:7101"}
    house.kill(other)
    house.run(2 * LEASE)
    with pytest.raises(CannotFollow, match=f"{other} does not answer"):
        await administration.switch_over(other, "eve")
    with pytest.raises(NobodyToFollow):
        await administration.switch_over(None, "eve")
    assert house.leader == leader


# ---- maintenance -----------------------------------------------------------------------------------------------------


@both
async def test_maintenance_hands_the_leadership_over_and_survives_a_restart(policy: QuorumPolicy) -> None:
    house, leader = seated("a", "b", "c", policy=policy)
    said = await house.administration(leader).set_maintenance(True, "eve")
    assert "releases its leadership" in said
    house.run(200)
    assert house.leader not in {None, leader}
    assert house.orders[leader].kept.maintenance_by == "eve"
    assert (
        await house.administration(leader).set_maintenance(True, "bob") == f"{leader} is in maintenance already, by eve"
    )
    house.kill(leader)
    house.run(2 * LEASE)
    house.start(leader)
    for name in others(house, leader):
        house.kill(name)
        house.run(LEASE)
        house.start(name)
        house.run(3 * LEASE)
    assert leader not in {name for _, name, _ in house.leaders[1:]}
    await house.administration(leader).set_maintenance(False, "eve")
    assert house.orders[leader].kept.maintenance is False
    successor = house.leader
    assert successor is not None
    house.run(LEASE)
    await house.administration(successor).switch_over(leader, "eve")
    house.run(100)
    assert house.leader == leader


async def test_a_node_in_maintenance_cannot_be_made_to_follow_and_the_last_one_does_not_go() -> None:
    house, leader = seated("a", "b")
    (other,) = others(house, leader)
    await house.administration(other).set_maintenance(True, "eve")
    house.run(LEASE)
    administration = house.administration(leader)
    with pytest.raises(CannotFollow, match=f"{other} is in maintenance; end it first"):
        await administration.switch_over(other, "eve")
    with pytest.raises(NobodyToFollow):
        await administration.set_maintenance(True, "eve")
    assert house.leader == leader
    assert house.orders[leader].kept.maintenance is False


@both
async def test_an_order_of_a_moment_ago_counts_for_the_next(policy: QuorumPolicy) -> None:
    """No heartbeat has told of it yet."""
    house, leader = seated("a", "b", "c", policy=policy)
    first, second = others(house, leader)
    await house.administration(first).set_maintenance(True, "eve")
    with pytest.raises(CannotFollow, match=f"^{first} (is in|stops, was put into) maintenance"):
        await house.administration(leader).switch_over(first, "eve")
    assert await house.administration(leader).switch_over(None, "eve") == (
        f"{leader} releases its leadership and invites {second} to lead"
    )
    house.run(100)
    assert house.leader == second
    await house.administration(first).set_maintenance(False, "eve")
    await house.administration(leader).set_maintenance(True, "eve")
    await house.administration(second).set_maintenance(True, "eve")
    house.run(100)
    assert house.leader == first
    with pytest.raises(NobodyToFollow):
        await house.administration(first).set_maintenance(True, "eve")


async def test_of_two_the_leader_stays_when_the_other_was_put_aside_a_moment_ago() -> None:
    house, leader = seated("a", "b")
    (other,) = others(house, leader)
    await house.administration(other).set_maintenance(True, "eve")
    with pytest.raises(NobodyToFollow):
        await house.administration(leader).switch_over(None, "eve")
    with pytest.raises(NobodyToFollow):
        await house.administration(leader).set_maintenance(True, "eve")
    await house.administration(other).set_maintenance(False, "eve")
    await house.administration(leader).switch_over(other, "eve")
    house.run(100)
    assert house.leader == other


async def test_who_died_a_moment_ago_is_not_invited() -> None:
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    first, second = others(house, leader)
    house.kill(first)
    await house.administration(leader).switch_over(None, "eve")
    house.run(100)
    assert house.leader == second


async def test_the_store_has_the_order_by_the_time_that_it_is_answered() -> None:
    house, leader = seated("a", "b", "c")
    first, _ = others(house, leader)
    before = house.now
    await house.administration(first).set_maintenance(True, "eve")
    read_at = house.core(first).read_at
    assert read_at is not None
    assert read_at >= before


async def test_an_order_that_the_disk_does_not_keep_says_so() -> None:
    house, leader = seated("a", "b")
    (other,) = others(house, leader)
    house.orders[other].broken = "No space left on device"
    with pytest.raises(OrdersUnwritable, match="No space left"):
        await house.administration(other).set_maintenance(True, "eve")
    assert house.core(other).orders.maintenance, "it holds while the node runs"


# ---- pause -----------------------------------------------------------------------------------------------------------


async def test_a_pause_reaches_every_node_and_its_disk_and_the_last_order_wins() -> None:
    house, leader = seated("a", "b", "c")
    await house.administration(leader).pause(True, "eve")
    house.run(2 * TIMING.heartbeat_ms)
    for name in house.seats:
        assert house.orders[name].kept.pause.is_on, name
        assert await house.administration(name).pause(True, "bob") == "automatic failover is paused already, by eve"
    house.kill(leader)
    house.run(5 * LEASE)
    assert house.leader is None
    first, second = others(house, leader)
    await house.administration(second).pause(False, "bob")
    house.run(LEASE)
    assert house.leader in {first, second}
    house.start(leader)
    house.run(2 * LEASE)
    assert not house.core(leader).orders.pause.is_on, "it slept through the order and learns of it"


async def test_without_the_store_a_pause_is_ordered_of_each_node() -> None:
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    house.store_away()
    for name in house.seats:
        said = await house.administration(name).pause(True, "eve")
        assert said.startswith(f"automatic failover is paused on {name} only: it does not reach Redis")
    again = await house.administration(leader).pause(True, "bob")
    assert again.startswith(f"automatic failover is paused already, by eve on {leader} only")
    house.kill(leader)
    house.run(5 * LEASE)
    assert house.leader is None
    house.store_back(empty=True)
    house.run(LEASE)
    assert all(house.orders[name].kept.pause.is_on for name in house.seats)


# ---- forget ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["ab", "abc"])
async def test_a_dead_member_is_forgotten_on_the_word_that_it_is_off(names: str) -> None:
    house, leader = seated(*names)
    dead = others(house, leader)[0]
    administration = house.administration(leader)
    with pytest.raises(MemberRuns, match="answers, and is not in maintenance"):
        await administration.forget(dead, is_off=False, by="eve")
    with pytest.raises(MemberRuns, match="answers, so it is not switched off"):
        await administration.forget(dead, is_off=True, by="eve")
    house.kill(dead)
    house.run(2 * LEASE)
    needed = f"{len(names)} of {len(names)} members must have the new list"
    with pytest.raises(NotStatedOff, match=needed):
        await administration.forget(dead, is_off=False, by="eve")
    await administration.forget(dead, is_off=True, by="eve")
    house.run(LEASE)
    assert dead not in house.membership(leader).members
    assert house.membership(leader).old is None
    house.run(2 * LEASE)
    assert house.registered == {*names} - {dead}
    for name in house.registered:
        assert dead not in house.core(name).detector.members(house._at)
    assert house.leader == leader
    assert len(house.leaders) == 1


@both
async def test_a_member_that_is_only_cut_off_from_the_leader_is_not_taken_for_off(policy: QuorumPolicy) -> None:
    house, leader = seated("a", "b", "c", policy=policy)
    apart = others(house, leader)[0]
    house.cut |= {(leader, apart), (apart, leader)}
    house.run(2 * LEASE)
    assert house.leader == leader
    administration = house.administration(leader)
    with pytest.raises(MemberRuns, match="its heartbeats in Redis go on, so it is not switched off"):
        await administration.forget(apart, is_off=True, by="eve")
    with pytest.raises(MemberRuns, match="its heartbeats in Redis go on, and is not in maintenance"):
        await administration.forget(apart, is_off=False, by="eve")
    house.kill(apart)
    house.run(2 * LEASE)
    await administration.forget(apart, is_off=True, by="eve")
    house.run(LEASE)
    assert apart not in house.membership(leader).members


async def test_a_member_in_maintenance_is_forgotten_while_it_runs() -> None:
    house, leader = seated("a", "b", "c")
    aside = others(house, leader)[0]
    await house.administration(aside).set_maintenance(True, "eve")
    house.run(LEASE)
    await house.administration(leader).forget(aside, is_off=False, by="eve")
    house.run(LEASE)
    assert aside not in house.membership(leader).members
    assert house.membership(leader).old is None


async def test_one_change_at_a_time_and_a_stuck_one_ends_with_the_word_that_the_member_is_off() -> None:
    house, leader = seated("a", "b", "c")
    aside, other = others(house, leader)
    await house.administration(aside).set_maintenance(True, "eve")
    house.run(LEASE)
    house.kill(aside)
    house.run(10)
    administration = house.administration(leader)
    await administration.forget(aside, is_off=False, by="eve")
    house.run(2 * LEASE)
    assert house.membership(leader).old is not None, "it waits for the one that died meanwhile"
    with pytest.raises(ChangePending, match=f"{aside} is being removed already"):
        await administration.forget(aside, is_off=False, by="eve")
    with pytest.raises(ChangePending, match="is under way"):
        await administration.forget(other, is_off=True, by="eve")
    await administration.forget(aside, is_off=True, by="eve")
    house.run(LEASE)
    assert house.membership(leader).old is None
    assert aside not in house.membership(leader).members


async def test_who_leads_is_not_forgotten_and_only_the_leader_forgets() -> None:
    house, leader = seated("a", "b", "c")
    other = others(house, leader)[0]
    with pytest.raises(MemberRuns, match="hand its leadership over first"):
        await house.administration(leader).forget(leader, is_off=False, by="eve")
    with pytest.raises(NotLeaderError):
        await house.administration(other).forget(leader, is_off=False, by="eve")
    with pytest.raises(MemberUnknown):
        await house.administration(leader).forget("x", is_off=True, by="eve")


async def test_a_witness_that_runs_is_forgotten_once_it_is_stopped_as_the_refusals_say() -> None:
    house, leader = seated("a", "b", "w", policy=MAJORITY, witnesses=("w",))
    administration = house.administration(leader)
    with pytest.raises(MemberRuns) as refused:
        await administration.forget("w", is_off=False, by="eve")
    assert str(refused.value).startswith("w answers, so it runs. Stop it, and forget it then")
    assert "a node, not a witness, may stay up in maintenance" in str(refused.value)
    assert "stop it, then: rppam cluster forget NODE" in WitnessTakesNoOrders.row.remedy
    house.kill("w")
    house.run(2 * LEASE)
    await administration.forget("w", is_off=True, by="eve")
    house.run(2 * LEASE)
    assert "w" not in house.membership(leader).members


async def test_force_is_for_a_cluster_without_a_leader_and_for_members_that_do_not_answer() -> None:
    house, leader = seated("a", "b", "c", "w", "x", policy=MAJORITY, witnesses=("w",), store=False)
    alive = next(name for name in ("a", "b", "c", "x") if name != leader)
    lost = [name for name in house.seats if name not in {alive, "w"}]
    administration = house.administration(alive)
    with pytest.raises(LeaderPresent, match=f"{leader} leads"):
        await administration.force_forget([lost[0]], "eve")
    for name in lost:
        house.kill(name)
    house.run(5 * LEASE)
    assert house.leader is None
    with pytest.raises(MemberRuns, match="w answers"):
        await administration.force_forget(["w"], "eve")
    with pytest.raises(MemberRuns):
        await administration.force_forget([alive], "eve")
    with pytest.raises(MemberUnknown):
        await administration.force_forget(["y"], "eve")
    said = await administration.force_forget(lost, "eve")
    assert f"the members are now {', '.join(sorted([alive, 'w']))}" in said
    house.run(3 * LEASE)
    assert house.leader == alive


async def test_force_takes_nobody_for_lost_whose_heartbeats_are_read() -> None:
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    asked, apart = others(house, leader)
    house.kill(leader)
    house.cut |= {(asked, apart), (apart, asked)}
    house.run(3 * LEASE)
    assert house.leader is None
    administration = house.administration(asked)
    with pytest.raises(MemberRuns, match=f"{apart} does not answer this node, but its heartbeats in Redis go on"):
        await administration.force_forget([leader, apart], "eve")
    await administration.force_forget([leader], "eve")


async def test_a_witness_is_not_left_alone_by_force() -> None:
    house, _ = seated("a", "b", "w", policy=MAJORITY, witnesses=("w",), store=False)
    house.kill("a")
    house.kill("b")
    house.run(3 * LEASE)
    with pytest.raises(NobodyToFollow, match="no member would be left that may lead"):
        await house.administration("w").force_forget(["a", "b"], "eve")


async def test_the_same_order_again_is_kept_by_a_disk_that_takes_it_now() -> None:
    house, leader = seated("a", "b")
    (other,) = others(house, leader)
    administration, disk = house.administration(other), house.orders[other]
    disk.broken = "No space left on device"
    for order in (administration.set_maintenance, administration.pause):
        for _ in range(2):
            with pytest.raises(OrdersUnwritable, match="No space left"):
                await order(True, "eve")
    disk.broken = ""
    assert "in maintenance already, by eve" in await administration.set_maintenance(True, "eve")
    assert "paused already, by eve" in await administration.pause(True, "eve")
    assert disk.kept.maintenance
    assert disk.kept.pause.is_on


async def test_a_list_imposed_by_force_is_told_as_done_only_once_it_is_on_disk() -> None:
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    alive, other = others(house, leader)
    house.kill(leader)
    house.kill(other)
    house.run(5 * LEASE)
    house.full.add(alive)
    with pytest.raises(OrdersUnwritable, match="not on disk: No space left"):
        await house.administration(alive).force_forget([leader, other], "eve")


async def test_an_order_to_remove_a_member_that_cannot_begin_is_not_dropped_in_silence() -> None:
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    aside, dead = others(house, leader)
    await house.administration(aside).set_maintenance(True, "eve")
    house.run(LEASE)
    house.store_away()
    house.kill(dead)
    house.run(LEASE)
    assert house.leader == leader
    await house.administration(leader).forget(aside, is_off=False, by="eve")
    house.run(12 * LEASE)
    assert any("did not become" in told and "give it again" in told for told in house.told)


async def test_a_member_that_has_no_vote_yet_is_not_asked_to_follow() -> None:
    """It has lost its file, and waits before it promises anybody anything."""
    house, leader = seated("a", "b", "c", policy=MAJORITY)
    (lost, _) = others(house, leader)
    house.kill(lost)
    house.seats[lost].disk = PersistedVote(NO_CANDIDACY, None)
    house.start(lost)
    house.run(3 * TIMING.heartbeat_ms)
    with pytest.raises(CannotFollow, match=f"{lost} has started, or become a member, less than a lease ago"):
        await house.administration(leader).switch_over(lost, "eve")
    assert house.leader == leader
    house.run(3 * LEASE)
    await house.administration(leader).switch_over(lost, "eve")
    house.run(200)
    assert house.leader == lost
