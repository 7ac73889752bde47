"""The judge of the races for check-outs: it finds each way in which two can have had one entry."""

import pytest

from benchmarks.checkouts_under_fire import Held, doubles, is_clean

ONE = Held("e1", 1, 10.0, 11.0, "ann")


@pytest.mark.parametrize(
    "other",
    [
        Held("e1", 2, 10.5, 10.6, "bob"),
        Held("e1", 2, 9.5, 10.1, "bob"),
        Held("e1", 1, 12.0, 13.0, "bob"),
    ],
    ids=["within", "over the begin", "the generation again"],
)
def test_two_who_had_one_entry_are_found(other: Held) -> None:
    assert len(doubles([ONE, other])) == 1
    assert not is_clean({"seen": 2, "doubleGrants": doubles([other, ONE]), "doubleRows": 0, "gaps": 0})


def test_a_long_hold_is_found_behind_short_ones() -> None:
    short, long = Held("e1", 2, 11.5, 11.6, "bob"), Held("e1", 3, 11.7, 20.0, "cid")
    assert doubles([ONE, short, long]) == []
    assert len(doubles([ONE, short, long, Held("e1", 4, 19.0, 21.0, "dan"), Held("e1", 5, 19.5, 19.6, "eve")])) == 2


def test_one_after_another_and_another_entry_are_fine() -> None:
    assert doubles([ONE, Held("e1", 2, 11.1, 12.0, "bob"), Held("e2", 1, 10.2, 10.4, "cid")]) == []
