"""The simulation has teeth: each planted bug is found, and the same seed shows nothing wrong without it."""

from collections.abc import Callable

import pytest

from rppam_sim.campaign import Failure, run_campaign, run_seed
from rppam_sim.plants import PLANTS
from scripts.plant_seeds import SEEDS, recorded

pytestmark = [pytest.mark.integration, pytest.mark.beside]


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_a_planted_bug_is_found(name: str, record_property: Callable[[str, object], None]) -> None:
    failure = shown_by_record(name)
    if failure is None:
        failure = run_campaign(PLANTS[name].where, name, SEEDS, jobs=1).failure
        assert failure is not None, f"'{name}' was not found in {len(SEEDS)} seeds"
        record_property("to do", f"the recorded seed of '{name}' shows nothing: make plants records {failure.seed}")
    print(f"{name}: {PLANTS[name].where.described}: seed {failure.seed}, {failure.violation.law}")
    assert failure.transcript[-1].endswith(failure.violation.sentence)
    assert run_seed(PLANTS[name].where, "", failure.seed).violation is None


def shown_by_record(name: str) -> Failure | None:
    """What the recorded seed shows; None where it shows nothing any more, or none is recorded."""
    seed = recorded().get(name)
    return None if seed is None else run_campaign(PLANTS[name].where, name, range(seed, seed + 1), jobs=1).failure


def test_no_seed_is_recorded_for_what_is_no_plant() -> None:
    assert set(recorded()) <= set(PLANTS)
