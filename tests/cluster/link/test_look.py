"""How often members look whether each other is there."""

import pytest

from rppam.cluster.link.connection import LOOK_S
from rppam.cluster.link.link import PEERS_CALM, look_period_s


@pytest.mark.parametrize("peers", [0, 1, 6, PEERS_CALM])
def test_a_few_members_look_four_times_a_second(peers: int) -> None:
    assert look_period_s(peers) == LOOK_S


def test_what_one_member_looks_at_in_a_second_does_not_grow_beyond_that() -> None:
    assert {round(peers / look_period_s(peers)) for peers in (16, 32, 64, 99)} == {round(PEERS_CALM / LOOK_S)}
