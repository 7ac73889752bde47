"""Runs the tests as ``make test`` does: side by side, then whole demos two at a time, then what wants the machine.

Unit tests wait for nothing, and the others mostly wait: they run beside all of them, in one process at the lowest
priority, and so do those marked ``beside``, which simulate. A file is imported only where its text says that it may
have such tests.

Whatever fails, the rest is run as well: the end names all that failed, so that one run tells all there is to mend.

A test that fails is tried once more, with no other beside it: real servers, clocks and deadlines share two cores with
their neighbours here. Those that fail again get a third and last try, where they are no more than STUBBORN_MAX. Tests
that are known to need it stand in ``docs/tests.md`` with the cause. Others that did not pass at once fail the run where
they stand in more than UNLISTED_MAX files, and so do first failures in more than FEW files, or a third failure. Files
are counted, as the tests of one may share a cluster: one failure is another's cause. Each is named at the end, with how
much of its processors the machine gave this run: a guest on a full host meets many bad moments.

Those marked ``long`` are left out, and run by ``--long``, which runs no others, and ``--all``.

Tests that took more than twice what ``tests/durations.json`` allows are named, and so are slow ones without a line
there; neither fails a run. ``--record`` writes that file. ``--costs FILE`` writes what each test took of the
processors, the most expensive first. Ends with the first exit code of pytest that is not 0.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FEW = 16
"""Failures in more files than this are not tried again."""
UNLISTED_MAX = 10
"""In so many files tests that are not known to be flaky may need their second try: any may meet a bad moment."""
STUBBORN_MAX = 3
"""More tests than these are not tried a third time."""
SLOW_S = 10.0
"""From here on a test has a budget."""
WORSE = 2.0
"""A budget that is exceeded by this factor is told."""
PAIR_JOBS = "2"
"""So many workers take those marked ``pair``. Three demos that begin at once are too much for two cores."""
FAILURE = "FAILURE: "
"""How a line begins that names, at the end, what failed."""
FAILED, NO_TESTS = 1, 5
"""Exit codes of pytest."""
MARKS = ("integration", "server", "slow", "pair", "alone", "sentinel")
UNIT = " and ".join(f"not {mark}" for mark in MARKS)
BESIDE = f"({UNIT}) or beside"
NOT_LONG = " and not long"
MARKED = re.compile(rf"\bmark\.(?:{'|'.join(MARKS)})\b")
WHOLLY_MARKED = re.compile(rf"^pytestmark = (?:\[\s*)?pytest\.mark\.(?:{'|'.join(MARKS)})\b", re.MULTILINE)
COSTS = "RPPAM_TESTS_COSTS"
"""The variable that names the file for them: see tests/support/costs.py."""
PATIENT_S = 3_000
"""How long a test may take at the lowest priority."""
STAT = Path("/proc/stat")
CACHE = ".pytest_cache"
BUDGETS = ROOT / "tests" / "durations.json"
FLAKY_PAGE = ROOT / "docs" / "tests.md"


def parsed() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", default=["tests"])
    parser.add_argument("--jobs", default="2", help="tests at a time")
    parser.add_argument("--unit", action="store_true", help="only what needs no server, socket or other process")
    parser.add_argument("--share", default="1/1", help="only this share of their files, such as 2/3; with --unit")
    parser.add_argument("--beside", action="store_true", help="the unit tests, and those that are marked so")
    parser.add_argument("--patient", action="store_true", help="at the lowest priority: tests may take long")
    parser.add_argument("--here", action="store_true", help="in this process, for a debugger or coverage; with --unit")
    parser.add_argument("--marked", default="", help="only those that have this marker, too")
    parser.add_argument("--hypothesis-profile", default="gate", help="how many examples: quick, gate or thorough")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--long", dest="length", action="store_const", const=" and long", help="only those marked so")
    length.add_argument("--all", dest="length", action="store_const", const="", help="those marked long as well")
    parser.add_argument("--costs", metavar="FILE", help="write what each test took of the processors")
    parser.set_defaults(length=NOT_LONG)
    parser.add_argument("--record", action="store_true", help="write the budgets of slow tests anew")
    parser.add_argument(
        "--cache", default=CACHE, help="where pytest keeps what failed; runs side by side have their own"
    )
    return parser.parse_args()


def main() -> int:
    options = parsed()
    if options.here:
        return int(pytest.main([*options.paths, "-m", UNIT]))
    machine = Machine()
    run = Run(options.paths, "--hypothesis-profile", options.hypothesis_profile, cache=options.cache)
    beside = ("-n", options.jobs, "--dist", "worksteal", "-m")
    also = options.length + (f" and {options.marked}" if options.marked else "")
    if options.costs:
        Path(options.costs).unlink(missing_ok=True)
        os.environ[COSTS] = str(Path(options.costs).resolve())
    if options.patient:
        os.environ["PYTEST_ADDOPTS"] = f"--timeout={PATIENT_S}"
    if options.unit:
        code = run.tried(*beside, UNIT + also, wanted=may_hold_unit_tests, share=options.share)
    elif options.beside:
        code = run.tried("-n", "0", "-m", f"({BESIDE}){also}", wanted=may_run_beside)
    elif options.marked:  # which takes its time with examples, and waits for nothing
        code = run.tried(*beside, f"not pair and not alone and not sentinel{also}")
        code = in_turn(run, also) or code
    else:
        with tests_beside(options) as their_end:
            others = f"not ({BESIDE}) and not pair and not alone and not sentinel{also}"
            code = run.tried(*beside, others, wanted=is_marked)
            code = in_turn(run, also) or code
            their_code, theirs = their_end()
            run.failures += theirs
            code = code or their_code
    if options.record and code == 0:
        record(run.seconds)
    if options.costs:
        in_order(Path(options.costs))
    for line in () if options.patient else worse(run.seconds, budgets()):
        print(line, flush=True)
    print(machine.told(), flush=True)
    noise = judged(run.second_tries, flaky())
    for failure in run.failures:
        print(f"{FAILURE}{failure}", flush=True)
    return code or noise


def in_turn(run: "Run", also: str) -> int:
    """What runs after the others; tests/conftest.py says which files of the first kind are shared out."""
    pairs = ("-n", PAIR_JOBS, "--dist", "loadfile", "-m", f"pair and not alone and not sentinel{also}")
    code = run.tried(*pairs, wanted=lambda text: "mark.pair" in text)
    alone = run.tried("-m", f"alone and not sentinel{also}", wanted=lambda text: "mark.alone" in text)
    return code or alone


@contextmanager
def tests_beside(options: argparse.Namespace) -> Iterator[Callable[[], tuple[int, list[str]]]]:
    """Start them; what is given waits for their end, tells what they said, and returns their exit code and failures."""
    lowest = ["nice", "-n", "19"] if shutil.which("nice") else []
    words = [*lowest, sys.executable, str(Path(__file__)), *options.paths, "--beside", "--patient"]
    words += ["--hypothesis-profile", options.hypothesis_profile, "--cache", f"{options.cache}/beside"]
    words += {NOT_LONG: [], "": ["--all"]}.get(options.length, ["--long"])
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)

        def end() -> tuple[int, list[str]]:
            code = process.wait()
            said.seek(0)
            text = said.read().decode(errors="replace")
            print(f"\nBeside the others:\n{text}", flush=True)
            failures = re.findall(rf"^{FAILURE}(.+)$", text, re.MULTILINE)
            return code, failures or ([f"beside the others: they ended with {code}"] if code else [])

        try:
            yield end
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def is_marked(text: str) -> bool:
    """Whether a file may have tests that are no unit tests."""
    return MARKED.search(text) is not None


def may_hold_unit_tests(text: str) -> bool:
    """Whether a file may have some."""
    return WHOLLY_MARKED.search(text) is None


def may_run_beside(text: str) -> bool:
    """Whether a file may have tests that run beside the others."""
    return "mark.beside" in text or may_hold_unit_tests(text)


def files_in(paths: Iterable[str], wanted: Callable[[str], bool]) -> list[str]:
    """The files of tests whose text is wanted; single tests and what is not there are left as they are."""
    found: list[str] = []
    for path in paths:
        place = ROOT / path
        if not place.is_dir():
            is_one = place.is_file() and not wanted(place.read_text(encoding="utf-8"))
            found += [] if is_one else [path]
            continue
        files = sorted(place.rglob("test_*.py"))
        found += [os.path.relpath(file, ROOT) for file in files if wanted(file.read_text(encoding="utf-8"))]
    return found


def share_of(files: list[str], share: str) -> list[str]:
    """Every so many of them, by size, so that shares are about as large: of ``2/3`` the second of each three."""
    number, whole = map(int, share.split("/"))
    if not 1 <= number <= whole:
        raise ValueError(f"expected a share such as 2/3, found {share}")

    def size(file: str) -> int:
        place = ROOT / file
        return place.stat().st_size if place.is_file() else 0

    return sorted(files, key=size, reverse=True)[number - 1 :: whole] if whole > 1 else files


class Machine:
    """How much of its processors the kernel had, from the start of the run on."""

    def __init__(self) -> None:
        self._then = self._ticks()

    @staticmethod
    def _ticks() -> list[int]:
        try:
            return [int(word) for word in STAT.read_text(encoding="ascii").splitlines()[0].split()[1:9]]
        except OSError:
            return [0] * 8

    def told(self) -> str:
        """Return one line; *proc(5)* has the columns."""
        spent = [now - then for now, then in zip(self._ticks(), self._then, strict=True)]
        whole = sum(spent) or 1
        idle, stolen = (round(100 * ticks / whole) for ticks in (spent[3] + spent[4], spent[7]))
        return f"MACHINE: its processors were idle for {idle} % of the run, and other guests of its host had {stolen} %"


class Run:
    """Runs of pytest, and what they have shown."""

    def __init__(self, paths: Iterable[str], *always: str, cache: str = CACHE) -> None:
        """``always``: what pytest is told each time."""
        self._paths = tuple(paths)
        self._last_failed, self._report = ROOT / cache / "v" / "cache" / "lastfailed", ROOT / cache / "report.xml"
        # Of the families of reports only this one has room for the wishes of tests: see tests/conftest.py.
        family = ("-o", "junit_family=xunit1")
        self._always = (*always, *family, "-o", f"cache_dir={cache}", f"--junitxml={self._report}")
        self.second_tries: list[str] = []
        """Tests that did not pass the first time, but then."""
        self.failures: list[str] = []
        """Tests that failed as often as they were tried, or how pytest ended where it named none."""
        self.seconds: dict[str, float] = {}
        """How long each test took, with its fixtures."""

    def tried(self, *words: str, wanted: Callable[[str], bool] | None = None, share: str = "1/1") -> int:
        """Run tests, and those that failed once more; 0 when all of them passed. ``wanted`` chooses files by text."""
        self._last_failed.unlink(missing_ok=True)
        paths = self._paths if wanted is None else share_of(files_in(self._paths, wanted), share)
        if not paths:
            return 0
        code = self._pytest(*paths, *words)
        is_known = code == FAILED and self._last_failed.exists()
        left = failed = sorted(json.loads(self._last_failed.read_text())) if is_known else []
        if 0 < len(files_of(failed)) <= FEW:
            print(f"\n{len(failed)} failed; once more, one at a time:\n  " + "\n  ".join(failed), flush=True)
            code = self._pytest(*failed)
            left = again = sorted(json.loads(self._last_failed.read_text())) if code == FAILED else []
            if 0 < len(again) <= STUBBORN_MAX:
                print(f"\n{len(again)} failed twice; a third time:\n  " + "\n  ".join(again), flush=True)
                code = self._pytest(*again)
                left = sorted(json.loads(self._last_failed.read_text())) if code == FAILED else []
            if code in (0, FAILED):
                self.second_tries += [test for test in failed if test not in left]
        if code not in (0, NO_TESTS):
            self.failures += left or [f"pytest ended with {code}: {' '.join(words)}"]
        return 0 if code == NO_TESTS else code

    def _pytest(self, *words: str) -> int:
        self._report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "--durations=20", *self._always, *words]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if self._report.exists():
            self.seconds |= durations(self._report)
        return code


def files_of(tests: Iterable[str]) -> set[str]:
    """The files in which they stand."""
    return {test.partition("::")[0] for test in tests}


def durations(report: Path) -> dict[str, float]:
    """Seconds of each test in a JUnit report, by ``module::name``."""
    cases = ET.parse(report).iter("testcase")
    return {f"{case.get('classname')}::{case.get('name')}": float(case.get("time", 0)) for case in cases}


def budgets() -> dict[str, float]:
    known: dict[str, float] = json.loads(BUDGETS.read_text(encoding="utf-8")) if BUDGETS.exists() else {}
    return known


def record(seconds: dict[str, float]) -> None:
    """The budget of each slow test is what it took; those that did not run keep theirs."""
    kept = {name: known for name, known in budgets().items() if name not in seconds}
    slow = {name: round(took) for name, took in seconds.items() if took >= SLOW_S}
    BUDGETS.write_text(json.dumps(kept | slow, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def in_order(costs: Path) -> None:
    """Have the most expensive tests first in the file; each line begins with seconds of processor time."""
    lines = costs.read_text(encoding="utf-8").splitlines(keepends=True) if costs.exists() else []
    costs.write_text("".join(sorted(lines, key=lambda line: -float(line.partition("\t")[0]))), encoding="utf-8")
    spent = sum(float(line.partition("\t")[0]) for line in lines)
    print(f"COSTS: {spent / 60:.1f} minutes of one processor, by test in {costs}", flush=True)


def worse(seconds: dict[str, float], known: dict[str, float]) -> list[str]:
    """Which tests take longer than they may."""
    told = []
    for name, took in sorted(seconds.items(), key=lambda one: -one[1]):
        allowed = known.get(name, SLOW_S)
        if took > allowed * WORSE:
            told.append(f"SLOW: {took:.0f} s, where {allowed:.0f} s is its budget: {name}")
    return told


def flaky() -> dict[str, str]:
    """Tests that are known to need a second try, and why: the rows of the table in the page."""
    rows = re.findall(r"^\| `(tests/[^`]+)` \| ([^|]+) \|$", FLAKY_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {test: cause.strip() for test, cause in rows}


def judged(second_tries: Iterable[str], known: dict[str, str]) -> int:
    """Name what passed only the second time; an exit code, which is 0 where that may be noise."""
    unlisted = []
    for test in second_tries:
        cause = known.get(test.partition("[")[0])
        print(
            f"NOISE: did not pass the first time: {test}: {cause or 'not known to be flaky, so look at it'}", flush=True
        )
        unlisted += [test] if cause is None else []
    files = files_of(unlisted)
    if len(files) > UNLISTED_MAX:
        print(
            f"Tests of {len(files)} files needed a second try that {FLAKY_PAGE.name} does not list; {UNLISTED_MAX} may"
        )
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
