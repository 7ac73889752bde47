"""Which witnesses enter Redis as a user of their own, by Redis' list of clients."""

import pytest

from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.doctor.member_rules import Shown
from rppam.setup.redis_laggards import _apart


def shown(name: str, address: str) -> Shown:
    beat = Heartbeat(name, "a" * 16, 1, Role.WITNESS, 7, "1", "h", "", 0, 0, 0, member_address=address)
    return Shown(beat, is_fresh=True)


BOTH = {"w1": shown("w1", "127.0.0.1:5201"), "w2": shown("w2", "[::1]:5201")}


@pytest.mark.parametrize(
    ("hosts", "apart"),
    [
        ((), set()),
        (("127.0.0.1",), {"w1"}),
        (("::1",), {"w2"}),
        (("127.0.0.1", "::1"), {"w1", "w2"}),
        (("192.0.2.1",), set()),
    ],
)
async def test_of_several_witnesses_each_is_known_by_its_address(hosts: tuple[str, ...], apart: set[str]) -> None:
    assert await _apart(set(BOTH), BOTH, frozenset(hosts)) == apart


@pytest.mark.parametrize(("hosts", "apart"), [((), set()), (("192.0.2.1",), {"w1"})])
async def test_the_only_witness_is_known_wherever_it_comes_from(hosts: tuple[str, ...], apart: set[str]) -> None:
    assert await _apart({"w1"}, BOTH, frozenset(hosts)) == apart


async def test_a_witness_that_shows_nothing_is_not_known_among_several() -> None:
    assert await _apart({"w1", "w3"}, BOTH, frozenset({"127.0.0.1"})) == {"w1"}
