"""Near caches in a world that goes wrong: nothing older than its bound is served, and each planted bug is found."""

from pathlib import Path

import pytest

from rppam_sim.coherence_plants import PLANTS
from rppam_sim.coherence_world import run_seed

pytestmark = [pytest.mark.integration, pytest.mark.beside]

PAGE = Path(__file__).parents[2] / "docs" / "cache.md"
SEEDS = range(40)
SEEDS_FOR_A_PLANT = range(120)


def test_nothing_stale_is_served() -> None:
    judged = 0
    for seed in SEEDS:
        served, wrong, transcript = run_seed(seed)
        assert wrong is None, "\n".join((f"seed {seed}, {wrong.law}", *transcript, str(wrong)))
        judged += served
    assert judged > 50_000


def test_a_seed_is_the_same_run_each_time() -> None:
    assert run_seed(7) == run_seed(7)


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_a_planted_bug_is_found(name: str) -> None:
    plant = PLANTS[name]
    planted = plant.world()
    found = next((seed for seed in SEEDS_FOR_A_PLANT if run_seed(seed, planted)[1] is not None), None)
    assert found is not None, f"'{name}' was not found: {plant.sentence}"
    assert run_seed(found, plant.where)[1] is None, "the same world shows nothing wrong without it"


def test_the_page_tells_each_beside_its_clause() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in PLANTS if f"| `{name}` |" not in page] == []
