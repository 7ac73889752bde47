"""The stories of docs/stories are what the core does today, and end as they should."""

from pathlib import Path

import pytest

from rppam_sim.stories import STORIES, tell

pytestmark = [pytest.mark.integration, pytest.mark.beside]

FOLDER = Path(__file__).parents[2] / "docs" / "stories"
LEADERSHIPS = {
    "host-dies": 2,
    "redis-dies": 1,
    "two-apart-without-witness": 2,
    "two-apart-with-witness": 2,
    "sentinel-loses-the-lock-write": 1,
    "leader-paused": 2,
    "switchover": 2,
    "member-added": 1,
}
"""How many leaderships each story has."""


@pytest.mark.parametrize("name", STORIES)
def test_a_story_is_current(name: str) -> None:
    told = tell(STORIES[name])
    assert told == tell(STORIES[name]), "the same each time"
    assert told.count(" leads at epoch ") == LEADERSHIPS[name]
    assert (FOLDER / f"{name}.txt").read_text(encoding="utf-8") == told, "run 'make docs'"


def test_every_file_is_a_story() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(STORIES)
