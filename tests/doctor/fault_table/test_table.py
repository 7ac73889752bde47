"""The page of faults is what the code says: all of it by form, each fault played again, and two with a real node."""

import re
from pathlib import Path

import pytest

from rppam.catalogue.table import ROWS
from tests.doctor.fault_table.replay import replay
from tests.doctor.fault_table.scenes import KIND, SCENES, Scene
from tests.doctor.fault_table.table import HEAD, NOT_STARTED, PAGE, play, section_of, sections
from tests.support.redis_servers import need

pytestmark = pytest.mark.integration

WITH_A_NODE = ("Redis does not run", "Our client certificate is no PKCS#12 file")
"""Cheap ones; `make fault-table` plays them all."""
TRIES = 3
"""A machine that is busy may be late for a deadline that the scene wants to be kept."""


def test_the_page_has_every_fault_and_names_each_code_as_the_table_of_codes_does() -> None:
    found = sections()
    assert PAGE.read_text(encoding="utf-8").startswith(HEAD)
    assert list(found) == [scene.title for scene in SCENES]
    for title, text in found.items():
        for label in ("log", "health", "in `findings`", "doctor"):
            assert f"\n* {label}: " in text, title
        lines = text.splitlines()
        for line in lines[-1:] if f"* health: {NOT_STARTED}" in lines else lines[-2:]:
            codes = re.findall(r"`(RD-\d+)`", line)
            assert codes, title
            assert line.endswith(": " + " ".join(f"`{code}` {ROWS[code].what}" for code in codes)), title


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.title)
def test_a_fault_says_what_the_page_says(scene: Scene, tmp_path: Path) -> None:
    need(KIND)
    expected = sections()[scene.title]
    said = ""
    for attempt in range(TRIES):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        said = section_of(scene, replay(scene, folder))
        if said == expected:
            return
    assert said == expected, "run: make fault-table"


@pytest.mark.pair
@pytest.mark.parametrize(
    "scene", [scene for scene in SCENES if scene.title in WITH_A_NODE], ids=lambda scene: scene.title
)
def test_a_node_in_the_fault_says_what_the_page_says(scene: Scene, tmp_path: Path) -> None:
    need(KIND)
    assert section_of(scene, play(scene, tmp_path)) == sections()[scene.title], "run: make fault-table"
