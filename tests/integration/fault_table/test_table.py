"""The page of faults is what the code says: all of it by form, and a few faults played again."""

import re
from pathlib import Path

import pytest

from rppam.services.codes import ROWS
from tests.integration.fault_table.scenes import KIND, SCENES, Scene
from tests.integration.fault_table.table import HEAD, PAGE, play, section_of, sections

AGAIN = ("Redis does not run", "Wrong password")
"""Cheap ones; `make fault-table` plays them all."""


def test_the_page_has_every_fault_and_names_each_code_as_the_table_of_codes_does() -> None:
    found = sections()
    assert PAGE.read_text(encoding="utf-8").startswith(HEAD)
    assert list(found) == [scene.title for scene in SCENES]
    for title, text in found.items():
        for label in ("log", "health", "in `findings`", "doctor"):
            assert f"\n* {label}: " in text, title
        for line in text.splitlines()[-2:]:
            codes = re.findall(r"`(RD-\d+)`", line)
            assert codes, title
            assert line.endswith(": " + " ".join(f"`{code}` {ROWS[code].what}" for code in codes)), title


@pytest.mark.alone
@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene.title in AGAIN], ids=lambda scene: scene.title)
def test_a_fault_says_what_the_page_says(scene: Scene, tmp_path: Path) -> None:
    if KIND.find() is None:
        pytest.skip(KIND.remedy)
    assert section_of(scene, play(scene, tmp_path)) == sections()[scene.title], "run: make fault-table"
