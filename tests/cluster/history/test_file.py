"""The history on disk: what was noted is read in order, it stays small, and damage costs one line."""

import asyncio
import json
import os
from datetime import date
from pathlib import Path

import pytest

from rppam.cluster.admin.errors import HistoryUnreadable
from rppam.cluster.history.recorder import BYTES_MAX, FILE_NAME, History, HistoryFile, before, read_last

DAY = date(2026, 3, 1)


def line(number: int, **other: object) -> str:
    return json.dumps(
        {"at": number, "event": "elected", "sentence": f"no. {number}", "facts": {"epoch": number}} | other
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


def test_what_was_noted_is_read_in_order_the_newest_last(path: Path) -> None:
    assert read_last(path, 10) == ((), 0)
    control, supervisor = HistoryFile(path, begins_anew=True), HistoryFile(path, begins_anew=False)
    for number in range(1, 7):
        (control if number % 2 else supervisor).write(DAY, line(number))
    past = asyncio.run(History(path).last(4))
    assert [entry.sentence for entry in past.entries] == ["no. 3", "no. 4", "no. 5", "no. 6"]
    assert past.entries[0].facts == {"epoch": 3}
    assert past.unreadable == 0
    assert path.stat().st_mode & 0o007 == 0, "not for everybody on the host"


def test_a_large_file_is_put_aside_and_the_two_are_read_as_one(path: Path) -> None:
    file = HistoryFile(path, begins_anew=True)
    wide = 4_000
    for number in range(2 * BYTES_MAX // wide + 100):
        file.write(DAY, line(number, sentence="x" * wide))
    assert sum(part.stat().st_size for part in path.parent.iterdir()) <= 2 * BYTES_MAX + 2 * (wide + 100)
    assert sorted(part.name for part in path.parent.iterdir()) == sorted([path.name, before(path).name])
    ats = [entry.at for entry in read_last(path, 300).entries]
    assert ats == list(range(ats[0], ats[0] + 300)), "no entry is missing where one file follows the other"


def test_who_does_not_begin_anew_leaves_a_large_file_where_it_is(path: Path) -> None:
    path.write_bytes(b"x" * BYTES_MAX + b"\n")
    HistoryFile(path, begins_anew=False).write(DAY, line(1))
    assert not before(path).exists()
    HistoryFile(path, begins_anew=True).write(DAY, line(2))
    assert before(path).exists()


def test_a_line_cut_short_costs_that_line_and_not_the_next(path: Path) -> None:
    file = HistoryFile(path, begins_anew=True)
    file.write(DAY, line(1))
    with path.open("ab") as cut:
        cut.write(line(2).encode()[:20])
    file.write(DAY, line(3))
    past = read_last(path, 10)
    assert [entry.at for entry in past.entries] == [1, 3]
    assert past.unreadable == 1


@pytest.mark.parametrize(
    "damage",
    [
        "null",
        "[" * 5_000,
        "\\xff\\xfe",
        line(1, at="now"),
        line(1, at=True),
        line(1, at=-1),
        line(1, at=10**18),
        line(1, event=7),
        line(1, sentence=None),
        line(1, facts=[]),
    ],
)
def test_what_is_no_entry_is_counted_and_left_out(path: Path, damage: str) -> None:
    path.write_text(f"{damage}\n\n{line(5)}\n")
    past = read_last(path, 10)
    assert [entry.at for entry in past.entries] == [5]
    assert past.unreadable == 1


def test_a_file_that_cannot_be_read_is_named_with_the_fix(path: Path) -> None:
    path.mkdir()
    with pytest.raises(HistoryUnreadable, match=r"history\.jsonl: expected .* found .* own history\.jsonl"):
        read_last(path, 10)


def test_entries_are_not_led_to_another_file(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("")
    path.symlink_to(other)
    with pytest.raises(OSError, match=os.strerror(40)):
        HistoryFile(path, begins_anew=True).write(DAY, line(1))
    assert other.read_text() == ""
