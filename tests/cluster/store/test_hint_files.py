"""Where the members were last found, and the lives of a data directory: hints, whatever the files have become."""

from pathlib import Path

import pytest

from rppam.cluster.errors import PromiseFileUnwritable
from rppam.cluster.store.hint_files import LIVES_MAX, AddressBook, FormerLives
from tests.cluster.consensus.beats import heartbeat

HERE = "node1.local"


def test_what_is_noted_is_found_again(tmp_path: Path) -> None:
    book = AddressBook(tmp_path / "members.json")
    assert book.load() == {}
    book.save({"node2": "10.0.0.2:5201", "node3": "[fd00::3]:5201"})
    assert book.load() == {"node2": "10.0.0.2:5201", "node3": "[fd00::3]:5201"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": "no port at all:"}', "[" * 70_000, "\x00\xff"])
def test_a_file_of_no_use_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "members.json"
    path.write_text(text)
    assert AddressBook(path).load() == {}


def test_a_disk_that_does_not_take_it_is_told_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(PromiseFileUnwritable, match=r"members\.json"):
        AddressBook(tmp_path / "nowhere" / "members.json").save({})


def begun(path: Path, number: int, hostname: str = HERE) -> FormerLives:
    lives = FormerLives(path, hostname)
    lives.begin(f"{number:016x}")
    return lives


def test_former_lives_of_this_host_are_known_and_the_own_is_none(tmp_path: Path) -> None:
    path = tmp_path / "lives.json"
    begun(path, 1)
    second = begun(path, 2)
    assert second.has(heartbeat("node1", 5, f"{1:016x}"))
    assert not second.has(heartbeat("node1", 5, f"{2:016x}"))
    assert not second.has(heartbeat("node1", 5, f"{3:016x}"))
    assert not second.has(heartbeat("node1", 5, f"{1:016x}", hostname="elsewhere")), "the original of a copy"
    for number in range(3, 200):
        begun(path, number)
    assert path.stat().st_size < 20 * LIVES_MAX + 10


@pytest.mark.parametrize("text", ["", "garbage", "{}", "[1, null, []]", "[" * 9_000, '["x"]'])
def test_a_damaged_file_is_none_and_is_written_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lives.json"
    path.write_text(text)
    assert not begun(path, 1).has(heartbeat("node1", 5))
    assert begun(path, 2).has(heartbeat("node1", 5, f"{1:016x}"))


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    begun(tmp_path / "gone" / "lives.json", 1)
    assert "expected to note this process there" in caplog.text
