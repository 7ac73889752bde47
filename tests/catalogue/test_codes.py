"""Codes that stay: the rows of errors and findings, what both share, and what a class of errors hands down."""

from pathlib import Path

import pytest

from rppam.catalogue.table import AREAS, RETIRED, ROWS, area_of
from rppam.kernel.errors import ErrorRow, Exit, Fault, Retry, RppamError
from scripts.references import all_errors, errors_by_finding, errors_page, number_of

GOLDEN = Path(__file__).with_name("codes.txt")


def line_of(row: ErrorRow) -> str:
    """What of an error other programs go by."""
    end = "-" if row.exit is None else str(int(row.exit))
    return " | ".join((row.code, row.fault.value, row.retry.value, end, str(row.status or "-"), row.level))


def test_no_code_changes_what_programs_go_by() -> None:
    """An error that is new gets a line in codes.txt; a line that is there neither changes nor goes."""
    now = [
        *(line_of(error.row) for error in all_errors()),
        *(f"{code} | {ROWS[code].severity}" for code in sorted(ROWS)),
    ]
    assert "\n".join(now) == GOLDEN.read_text(encoding="utf-8").rstrip("\n")


def test_an_error_and_a_finding_about_one_situation_say_the_same() -> None:
    shared = [error.row for error in all_errors() if error.row.finding]
    assert len(shared) == len(errors_by_finding()) >= 40, "one error for a finding"
    for row in shared:
        problem = ROWS[row.finding]
        assert (row.meaning, row.remedy) == (problem.what, problem.fix.common), row.code
    own = {error.row.meaning for error in all_errors() if not error.row.finding}
    assert own & {problem.what for problem in ROWS.values()} == set(), "it points to the row instead of repeating it"


def test_codes_given_up_stay_unused() -> None:
    assert RETIRED.isdisjoint({*ROWS, *(error.row.code for error in all_errors())})
    assert all(area_of(code) in AREAS for code in ROWS)


def test_areas_go_on_after_the_ninth() -> None:
    assert (area_of("RD-999"), area_of("RD-1001"), number_of("RPPAM-10001") // 1000) == (9, 10, 10)


def test_a_class_hands_down_what_it_says_of_itself() -> None:
    class Family(RppamError, fault=Fault.PEER, retry=Retry.YES, exit=Exit.NO, status=503):
        """A family."""

    class Child(Family, code="RPPAM-99001", exit=None, level="info"):
        """A sentence
        over two lines.

        And what developers read.
        """

        fix = "Do it."

    assert Child.row == ErrorRow(
        "RPPAM-99001", Fault.PEER, Retry.YES, "A sentence over two lines.", "Do it.", None, 503, "info"
    )
    assert "row" not in Family.__dict__


def test_a_code_without_what_it_has_to_say_is_refused() -> None:
    with pytest.raises(TypeError, match="fault"):

        class Bare(RppamError, code="RPPAM-99002"):
            """Nobody said whose fault it is."""


def test_the_page_of_errors_names_the_finding() -> None:
    assert "| `RPPAM-2301`<br>`RD-201` | Redis demands a password, and this node sends none. |" in errors_page()
