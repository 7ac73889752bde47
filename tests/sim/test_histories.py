"""The election does what it did: a share of the recorded histories again. All of them: ``scripts/histories.py``."""

import pytest

from scripts.histories import GROUPS, SEEDS, SINGLE, Job, digest, recorded

pytestmark = [pytest.mark.integration, pytest.mark.beside]

SHARE = ("record 3", "last-man-standing 2", "last-man-standing 3 sentinel", "majority 3", "majority 2+1")
"""A group of each policy and store; a history takes seconds, so the others are for the script."""


def test_each_group_is_recorded() -> None:
    known = recorded()
    assert set(known["groups"]) == set(GROUPS)
    assert known["seeds"] * len(GROUPS) >= 2_000
    assert known["seeds"] == SEEDS
    assert all(len(row["single"]) == SINGLE for row in known["groups"].values())


@pytest.mark.parametrize("group", SHARE)
def test_a_seed_does_what_it_did(group: str) -> None:
    _, found = digest(Job(group, 0))
    assert found == recorded()["groups"][group]["single"][0], (
        f"scripts/histories.py --group '{group}' --show 0, here and before, show the first difference; what was meant "
        "to change is recorded with --write"
    )
