"""Simulated requests for access: some thousands hold every property, and each planted bug is found."""

import pytest

from rppam_sim.access_request_plants import PLANTS, Plant, planted
from rppam_sim.access_requests import ViolatedError, play

SEEDS = 3_000


def play_all(checks_version: bool = True) -> int:
    return sum(play(seed, checks_version=checks_version) for seed in range(SEEDS))


def test_no_interleaving_breaks_a_rule() -> None:
    assert play_all() > SEEDS, "they do something"


@pytest.mark.parametrize("plant", PLANTS, ids=lambda one: one.name)
def test_each_planted_bug_is_found(plant: Plant) -> None:
    with planted(plant), pytest.raises(ViolatedError):
        play_all(plant.checks_version)
