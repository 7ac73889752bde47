"""The long simulation is resumed: what stands in its file counts, wherever it stands in the order of the batches."""

import json
import sys
from itertools import islice
from pathlib import Path

import pytest

from scripts import sim_long
from scripts.sim_long import SEEDS, SETTINGS, Row, batches

pytestmark = pytest.mark.integration


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results file; batches that are not in it are run at once and find nothing."""
    file = tmp_path / "long.jsonl"

    def run(setting: str, profile: str, first: int, seeds: int, _options: object, core: str) -> Row:
        row = batch(setting, profile, first, core=core)
        with file.open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        return row

    monkeypatch.setattr(sim_long, "run", run)
    monkeypatch.setattr(sim_long, "core_digest", lambda: "now")
    return file


def batch(setting: str, profile: str, first: int, *, core: str = "now", violation: Row | None = None) -> Row:
    named = {"setting": setting, "profile": profile, "firstSeed": first, "core": core, "seconds": 1.0}
    return {**named, "clusterHours": float(SEEDS[profile]), "violation": violation}


def started(results: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["sim_long.py", "--results", str(results), *words])
    return sim_long.main()


def test_what_was_run_far_ahead_counts_and_what_another_core_ran_does_not(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ahead = [batch(setting, profile, first) for setting, profile, first, _ in islice(batches("record"), 25, 30)]
    others = [batch(setting, profile, first, core="of before") for setting, profile, first, _ in islice(batches(""), 9)]
    results.write_text("".join(json.dumps(row) + "\n" for row in (*ahead, *others)))
    assert started(results, monkeypatch, "--hours", "500") == 0
    assert len(results.read_text().splitlines()) == 14, "nothing was left to run"
    assert started(results, monkeypatch, "--hours", "700") == 0
    added = [json.loads(line) for line in results.read_text().splitlines()[14:]]
    assert [row["setting"] for row in added] == list(SETTINGS[:2])
    assert "700 cluster-hours" in capsys.readouterr().out


def test_hours_of_one_policy_are_those_of_its_settings(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert started(results, monkeypatch, "--hours", "300") == 0
    assert started(results, monkeypatch, "--hours", "200", "--policy", "record") == 0
    added = [json.loads(line)["setting"] for line in results.read_text().splitlines()[3:]]
    assert added == [setting for setting in SETTINGS if "--policy record " in setting][:2]


def test_a_violation_that_stands_there_is_told_again(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    setting, profile, first, _ = next(batches(""))
    wrong = batch(setting, profile, first, violation={"property": "S1", "transcript": ["two led"]})
    results.write_text(json.dumps(wrong) + "\n")
    assert started(results, monkeypatch, "--hours", "1") == 1
    said = capsys.readouterr().out
    assert "two led" in said
    assert f"violation of S1: {setting} --profile {profile}, first seed {first}" in said


def test_the_core_is_its_statements_and_not_its_texts(tmp_path: Path) -> None:
    one, other, wrong = (tmp_path / name for name in ("one", "other", "wrong"))
    for folder, text in (
        (one, '"""Text."""\n\n\nclass Vote:\n    """Text."""\n\n    epoch: int = 1\n'),
        (other, '"""Other."""\n\nclass Vote:\n    # A comment.\n    epoch: int = 1\n    """Of what."""\n'),
        (wrong, '"""Text."""\n\n\nclass Vote:\n    """Text."""\n\n    epoch: int = 2\n'),
    ):
        folder.mkdir()
        (folder / "vote.py").write_text(text)
    assert sim_long.core_digest(one) == sim_long.core_digest(other) != sim_long.core_digest(wrong)
    (one / "vote.py").rename(one / "votes.py")
    assert sim_long.core_digest(one) != sim_long.core_digest(other)
