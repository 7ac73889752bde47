"""The simulation has teeth: each planted bug is found, and the same seeds show nothing wrong without it."""

import pytest

from rppam_sim.campaign import run_campaign, run_seed
from rppam_sim.plants import PLANTS

pytestmark = pytest.mark.integration

SEEDS = range(1_500)
"""Most plants fall in the first ten seeds; the subtlest takes some hundreds."""


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_a_planted_bug_is_found(name: str) -> None:
    where = PLANTS[name].where
    outcome = run_campaign(where, name, SEEDS, jobs=1)
    failure = outcome.failure
    assert failure is not None, f"'{name}' was not found in {len(SEEDS)} seeds"
    print(f"{name}: {where.described}: seed {failure.seed}, {failure.violation.law}")
    assert failure.transcript[-1].endswith(failure.violation.sentence)
    assert run_seed(where, "", failure.seed).violation is None
