"""The runner of the tests: what counts as noise, and what is told of slow tests."""

import re
from pathlib import Path

import pytest

from scripts import run_tests
from scripts.run_tests import UNLISTED_MAX, budgets, durations, flaky, judged, worse

ROOT = Path(__file__).parents[1]
LISTED = next(iter(flaky()))


def test_every_test_that_is_listed_as_flaky_is_there_and_has_a_cause() -> None:
    for test, cause in flaky().items():
        path, _, name = test.partition("::")
        assert re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), test
        assert cause.endswith("."), test


@pytest.mark.parametrize(
    ("tests", "code"),
    [
        ([], 0),
        ([f"tests/a{number}.py::test_{number}" for number in range(UNLISTED_MAX)], 0),
        ([f"tests/a{number}.py::test_{number}" for number in range(UNLISTED_MAX + 1)], 1),
        ([f"tests/a.py::test_{number}" for number in range(UNLISTED_MAX + 1)], 0),
        ([f"{LISTED}[{number}]" for number in range(UNLISTED_MAX + 1)], 0),
    ],
)
def test_few_second_tries_are_noise_and_each_is_named(
    tests: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged(tests, flaky()) == code
    told = capsys.readouterr().out
    assert all(f"NOISE: passed only the second time: {test}" in told for test in tests)


def test_slow_is_what_takes_more_than_twice_its_budget() -> None:
    took = {"a::known": 61.0, "a::new": 21.0, "a::quick": 19.0, "a::fine": 59.0}
    told = worse(took, {"a::known": 30.0, "a::fine": 30.0})
    assert told == [
        "SLOW: 61 s, where 30 s is its budget: a::known",
        "SLOW: 21 s, where 10 s is its budget: a::new",
    ]


def test_budgets_are_recorded_and_those_of_other_tests_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_tests, "BUDGETS", tmp_path / "durations.json")
    run_tests.record({"a::slow": 12.4, "a::quick": 1.0})
    assert budgets() == {"a::slow": 12}
    run_tests.record({"b::slow": 20.0})
    assert budgets() == {"a::slow": 12, "b::slow": 20}
    run_tests.record({"a::slow": 3.0})
    assert budgets() == {"b::slow": 20}


def test_times_are_read_from_the_report_of_pytest(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.a" name="test_b[1]" time="1.5"/></testsuite></testsuites>'
    )
    assert durations(report) == {"tests.a::test_b[1]": 1.5}
