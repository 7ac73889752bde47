"""Where the members were last found: a hint, whatever the file has become."""

from pathlib import Path

import pytest

from rppam.cluster.errors import PromiseFileUnwritable
from rppam.cluster.link.address_book import FileAddressBook


def test_what_is_noted_is_found_again(tmp_path: Path) -> None:
    book = FileAddressBook(tmp_path / "members.json")
    assert book.load() == {}
    book.save({"node2": "10.0.0.2:5201", "node3": "[fd00::3]:5201"})
    assert book.load() == {"node2": "10.0.0.2:5201", "node3": "[fd00::3]:5201"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": "no port at all:"}', "[" * 70_000, "\x00\xff"])
def test_a_file_of_no_use_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "members.json"
    path.write_text(text)
    assert FileAddressBook(path).load() == {}


def test_a_disk_that_does_not_take_it_is_told_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(PromiseFileUnwritable, match=r"members\.json"):
        FileAddressBook(tmp_path / "nowhere" / "members.json").save({})
