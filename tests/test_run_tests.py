"""The runner of the tests: what counts as noise, and what is told of slow tests."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import run_tests
from scripts.run_tests import (
    FEW,
    MARKS,
    STUBBORN_MAX,
    UNLISTED_MAX,
    Machine,
    Run,
    budgets,
    durations,
    files_in,
    flaky,
    in_order,
    is_marked,
    judged,
    may_hold_unit_tests,
    share_of,
    worse,
)
from tests.conftest import SHARED_OUT, unit_of
from tests.support.costs import spent_s
from tests.support.late_tests import DEAR, WAITING
from tests.support.long_tests import TESTS, VARIANTS, is_long

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
    assert all(f"NOISE: did not pass the first time: {test}" in told for test in tests)


@pytest.mark.parametrize(
    ("fails", "code", "runs"),
    [
        ([["a"], []], 0, 2),
        ([["a"] * STUBBORN_MAX, ["a"], []], 0, 3),
        ([["a"], ["a"], ["a"]], 1, 3),
        ([["a"] * (STUBBORN_MAX + 1)] * 2, 1, 2),
        ([[f"a{number}" for number in range(FEW + 1)]], 1, 1),
    ],
)
def test_what_fails_is_tried_again_and_twice_where_it_is_little(
    fails: list[list[str]], code: int, runs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = tmp_path / "v" / "cache" / "lastfailed"
    known.parent.mkdir(parents=True)
    asked: list[tuple[str, ...]] = []

    def run_pytest(self: Run, *words: str) -> int:
        failed = [f"tests/{one}.py::test_{number}" for number, one in enumerate(fails[len(asked)])]
        asked.append(words)
        known.write_text(json.dumps(dict.fromkeys(failed, True)))
        return 1 if failed else 0

    monkeypatch.setattr(Run, "_pytest", run_pytest)
    run = Run(["tests"], cache=str(tmp_path))
    assert run.tried("-m", "x") == code
    assert len(asked) == runs
    assert len(run.second_tries) == (len(fails[0]) if code == 0 else 0)
    last = sorted(f"tests/{one}.py::test_{number}" for number, one in enumerate(fails[-1]))
    assert run.failures == (last if code else [])


def test_of_what_was_tried_again_that_is_noise_which_passed_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = tmp_path / "v" / "cache" / "lastfailed"
    known.parent.mkdir(parents=True)
    fails = [["tests/a.py::x", "tests/b.py::y"], ["tests/b.py::y"], ["tests/b.py::y"]]

    def run_pytest(self: Run, *words: str) -> int:
        known.write_text(json.dumps(dict.fromkeys(fails.pop(0), True)))
        return 1

    monkeypatch.setattr(Run, "_pytest", run_pytest)
    run = Run(["tests"], cache=str(tmp_path))
    assert run.tried("-m", "x") == 1
    assert (run.second_tries, run.failures) == (["tests/a.py::x"], ["tests/b.py::y"])


def test_an_end_without_a_failed_test_is_a_failure_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Run, "_pytest", lambda self, *words: 2)
    run = Run(["tests"], cache=str(tmp_path))
    assert run.tried("-m", "x") == 2
    assert run.failures == ["pytest ended with 2: -m x"]


@pytest.mark.integration
@pytest.mark.parametrize("first", [0, 1, 2])
def test_whatever_fails_the_rest_runs_and_the_end_names_each_failure(
    first: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Three runs in turn, of which the one with this number fails, and so does what runs beside them."""
    script = tmp_path / "runner.py"
    script.write_text("import sys\nprint('FAILURE: tests/beside.py::test_it')\nsys.exit(1)\n")
    monkeypatch.setattr(run_tests, "__file__", str(script))
    monkeypatch.setattr("sys.argv", ["run_tests.py", "tests/a"])
    chosen: list[str] = []

    def tried(self: Run, *words: str, wanted: object = None) -> int:
        chosen.append(words[-1])
        if len(chosen) != first + 1:
            return 0
        self.failures.append("tests/a.py::test_here")
        return 3

    monkeypatch.setattr(Run, "tried", tried)
    assert run_tests.main() == 3
    assert len(chosen) == 3, "a first failure keeps nothing from running"
    told = capsys.readouterr().out.splitlines()
    assert told[-2:] == ["FAILURE: tests/a.py::test_here", "FAILURE: tests/beside.py::test_it"]


def test_each_file_is_looked_into_where_it_may_have_such_tests() -> None:
    every = set(files_in(["tests"], lambda _: True))
    units, marked = set(files_in(["tests"], may_hold_unit_tests)), set(files_in(["tests"], is_marked))
    assert units | marked == every
    assert units & marked, "some have both"
    assert (units - marked, marked - units) != (set(), set())
    assert files_in(["tests/test_tidy.py"], is_marked) == []
    assert files_in(["tests/test_docs.py"], is_marked) == ["tests/test_docs.py"]
    assert files_in(["tests/test_docs.py::test_x", "tests/absent"], is_marked) == [
        "tests/test_docs.py::test_x",
        "tests/absent",
    ], "left to pytest, which says what is wrong"


def test_shares_are_all_files_once_and_about_as_large() -> None:
    files = files_in(["tests"], may_hold_unit_tests)
    shares = [share_of(files, f"{number}/3") for number in (1, 2, 3)]
    assert sorted(one for share in shares for one in share) == sorted(files)
    sizes = [sum((ROOT / file).stat().st_size for file in share) for share in shares]
    assert min(sizes) > 0.9 * max(sizes)
    assert share_of(files, "1/1") == files
    with pytest.raises(ValueError, match="found 3/2"):
        share_of(files, "3/2")


def test_the_shares_of_the_inner_loop_are_the_whole() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    begun = makefile.partition("\nquick: ")[2].partition("\n\n")[0]
    shares = re.findall(r"quick-unit-(\d+)", begun)
    assert sorted(shares) == ["1", "2"]
    assert f"--share $*/{len(shares)} " in makefile


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_stands_in_the_file_whose_tests_have_it(mark: str) -> None:
    """The runner looks for it there, and imports no other file."""
    assert is_marked(f"@pytest.mark.{mark}\ndef test_it() -> None: ...")
    assert may_hold_unit_tests(f"@pytest.mark.{mark}\ndef test_it() -> None: ...")
    for written in (f"pytest.mark.{mark}", f"[pytest.mark.{mark}, other]", f"[\n    pytest.mark.{mark},\n]"):
        assert not may_hold_unit_tests(f"pytestmark = {written}\n")
    shared = [
        path.relative_to(ROOT)
        for path in ROOT.joinpath("tests").rglob("*.py")
        if not path.name.startswith("test_") and f"mark.{mark}" in path.read_text(encoding="utf-8")
    ]
    assert shared == [], "a decorator from elsewhere would not be seen"


@pytest.mark.integration
def test_what_waits_for_nothing_runs_beside_the_others_and_both_must_pass(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = tmp_path / "runner.py"
    monkeypatch.setattr(run_tests, "__file__", str(script))
    monkeypatch.setattr("sys.argv", ["run_tests.py", "tests/a", "--hypothesis-profile", "quick"])
    chosen: list[str] = []

    def tried(_: Run, *words: str, wanted: object = None) -> int:
        chosen.append(words[-1])
        return 0

    monkeypatch.setattr(Run, "tried", tried)
    for code in (0, 1):
        script.write_text(f"import os, sys\nprint(os.nice(0), sys.argv[1:])\nsys.exit({code})\n")
        assert run_tests.main() == code
        told = capsys.readouterr().out
        assert "19 ['tests/a', '--beside', '--patient', '--hypothesis-profile', 'quick'" in told
    assert len(chosen) == 6
    assert all("not ((not integration" in one for one in chosen[::3]), "the others are left to the other run"


@pytest.mark.parametrize("place", SHARED_OUT)
def test_tests_are_shared_out_one_by_one_only_where_they_share_nothing(place: str) -> None:
    files = [path for path in files_in(["tests"], lambda _: True) if path.startswith(place)]
    assert files
    for path in files:
        assert 'scope="' not in (ROOT / path).read_text(encoding="utf-8"), path
        assert unit_of(f"{path}::test_it[1]") == f"{path}::test_it[1]"
    assert unit_of("tests/console/test_acts.py::test_it") == "tests/console/test_acts.py"


def test_what_the_machine_gave_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    monkeypatch.setattr(run_tests, "STAT", stat)
    stat.write_text("cpu  100 0 0 100 0 0 0 0 0 0\ncpu0 1 2 3\n")
    machine = Machine()
    stat.write_text("cpu  130 0 10 120 10 0 0 30 0 0\ncpu0 1 2 3\n")
    assert "idle for 30 % of the run, and other guests of its host had 30 %" in machine.told()
    stat.unlink()
    assert "MACHINE" in Machine().told()


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


@pytest.mark.parametrize("name", [*TESTS, *VARIANTS, *DEAR, *WAITING])
def test_what_is_long_or_late_is_there(name: str) -> None:
    path, _, test = name.partition("::")
    assert list(ROOT.joinpath("tests").glob(f"{path.removeprefix('tests/')}*")) if path != "tests/" else True
    if test:
        assert re.search(rf"^(?:async )?def {test}", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_a_test_or_some_of_its_variants_are_long() -> None:
    assert is_long("tests/test_build.py::test_it")
    assert not is_long("tests/test_docs.py::test_links_lead_somewhere")
    assert is_long("tests/redis/test_link.py::test_it[asyncio-redis-8]")
    assert is_long("tests/vault/test_x.py::test_it[valkey-8]")
    assert not is_long("tests/redis/test_link.py::test_it[uvloop-redis-8]")
    assert not is_long("tests/vault/test_x.py::test_it[valkey-80]")
    page = "tests/test_docs.py::test_a_page_that_needs_a_cluster_does_what_it_says"
    assert is_long(f"{page}[docs/operations/ha-manager.md]")
    assert not is_long(f"{page}[docs/vault.md]")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("words", "chosen"),
    [([], " and not long"), (["--long"], " and long"), (["--all"], "")],
)
def test_what_is_long_runs_when_it_is_asked_for(
    words: list[str], chosen: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In each of the three runs, and in that beside them."""
    script = tmp_path / "runner.py"
    script.write_text("import sys\nprint(sys.argv[1:])\n")
    monkeypatch.setattr(run_tests, "__file__", str(script))
    monkeypatch.setattr("sys.argv", ["run_tests.py", "tests/a", *words])
    asked: list[str] = []

    def tried(_: Run, *words: str, wanted: object = None) -> int:
        asked.append(words[-1])
        return 0

    monkeypatch.setattr(Run, "tried", tried)
    assert run_tests.main() == 0
    assert [one.endswith(f"not sentinel{chosen}") for one in asked] == [True] * 3
    beside = capsys.readouterr().out
    assert [word for word in ("--long", "--all") if f"'{word}'" in beside] == words


@pytest.mark.integration
def test_what_a_test_costs_is_counted_with_its_children(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass\n"
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n{burn}"
    test = tmp_path / "test_it.py"
    test.write_text(
        f"import subprocess, sys\ndef test_it() -> None:\n    subprocess.run([sys.executable, '-c', {child!r}])\n"
    )
    costs = tmp_path / "costs"
    environment = os.environ | {"RPPAM_TESTS_COSTS": str(costs), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.costs", "-p", "no:cacheprovider", str(test)]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)
    [(processor_s, clock_s, name)] = [line.split("\t") for line in costs.read_text().splitlines()]
    assert 0.75 < float(processor_s) < 10
    assert float(clock_s) > 0
    assert name == "test_it.py::test_it"
    assert spent_s(os.getpid()) > 0


def test_the_most_expensive_tests_come_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    costs = tmp_path / "costs"
    costs.write_text("1.50\t2.00\ta::cheap\n90.00\t9.00\ta::dear\n28.50\t9.00\ta::fair\n")
    in_order(costs)
    assert [line.rpartition("::")[2] for line in costs.read_text().splitlines()] == ["dear", "fair", "cheap"]
    assert "COSTS: 2.0 minutes" in capsys.readouterr().out
