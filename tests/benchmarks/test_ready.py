"""A measurement that is rarely made still begins."""

from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_whoever_opens_a_database_declares_its_tables(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "Database(" not in text or "import rppam.app.slices" in text, "Database.start() needs to know all migrations"
