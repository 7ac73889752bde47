"""What a member says of epochs: a reason to go above, and never one to go where nobody follows."""

import pytest

from rppam.cluster.consensus.effects import ImposeMembership, SendVote
from rppam.cluster.consensus.lease import LEAP_MAX, SHOWN_MAX
from rppam.cluster.consensus.membership import QuorumPolicy, VoterSet
from rppam.cluster.consensus.node import NodeEffect
from rppam.cluster.consensus.record import EPOCH_MAX
from tests.cluster.consensus.parliament import TIMING, Parliament, Seat

LEASE = TIMING.lease_ms
POLICIES = (QuorumPolicy.MAJORITY, QuorumPolicy.LAST_MAN_STANDING)


class Liar(Parliament):
    """The witness says that it has promised for an epoch that is made up."""

    said = 0

    def _one(self, seat: Seat, effect: NodeEffect) -> None:
        if self.said and seat.name == "w" and isinstance(effect, SendVote):
            effect = effect._replace(vote=effect.vote._replace(highest=self.said))
        super()._one(seat, effect)


def lied_to(policy: QuorumPolicy, said: int) -> tuple[Liar, str, str]:
    """Two nodes and a witness that lies for a while, under a leader."""
    house = Liar("a", "b", "w", policy=policy, witnesses=("w",))
    house.run(15_000)
    leader = house.leader
    assert leader is not None
    house.said = said
    house.run(25_000)
    assert house.leader == leader
    return house, leader, "b" if leader == "a" else "a"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("said", [EPOCH_MAX, SHOWN_MAX + 2 * LEAP_MAX, SHOWN_MAX + LEAP_MAX, SHOWN_MAX + LEAP_MAX - 1])
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_made_up_number_of_a_member_stops_nobody_from_leading(policy: QuorumPolicy, said: int, goes_on: bool) -> None:
    house, leader, other = lied_to(policy, said)
    house.kill(leader)
    house.run(6 * LEASE)
    assert house.leader == other
    house.said = said if goes_on else 0
    for _ in range(5):  # nor does it add up from one leadership to the next
        house.start(leader)
        house.run(3 * LEASE)
        house.kill(other)
        house.run(6 * LEASE)
        assert house.leader == leader
        leader, other = other, leader
    assert house.leaders[-1][2] < SHOWN_MAX + LEAP_MAX // 10


@pytest.mark.parametrize("policy", POLICIES)
def test_whoever_was_away_while_a_member_lied_follows_all_the_same(policy: QuorumPolicy) -> None:
    """Its own promises are all from before, so it finds the least plausible."""
    house = Liar("a", "b", "c", "w", policy=policy, witnesses=("w",))
    house.run(15_000)
    house.kill("c")
    house.said = EPOCH_MAX
    for _ in range(4):
        leader = house.leader
        assert leader is not None
        house.kill(leader)
        house.run(TIMING.heartbeat_ms)
        house.start(leader)
        house.run(8 * LEASE)
    house.start("c")
    house.run(3 * LEASE)
    leader = house.leader
    assert leader is not None
    house.kill(leader)
    house.run(6 * LEASE)
    assert house.leader is not None
    assert house.seats["c"].status.vote.highest > SHOWN_MAX, "it has promised for what the others came to"


@pytest.mark.parametrize("policy", POLICIES)
def test_a_list_that_is_imposed_after_a_lie_is_one_that_others_take_over(policy: QuorumPolicy) -> None:
    house, leader, other = lied_to(policy, EPOCH_MAX)
    house.fence = EPOCH_MAX  # and the database says so, too
    house.kill(leader)
    house.run(6 * LEASE)
    assert house.leader is None
    house.tell(other, ImposeMembership(VoterSet.of((other, "w"), policy, ("w",))))
    house.run(2 * LEASE)
    imposed = house.membership(other)
    assert imposed.members == (other, "w")
    assert house.membership("w")[:4] == imposed[:4], "whatever word for it came along"
