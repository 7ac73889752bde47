"""Warnings of what is wrong in Redis: one sentence for many, that goes a while after the last time."""

import logging

import pytest

from rppam.cluster.consensus.record import vacant
from rppam.cluster.store.ports import ExchangeAnswer
from rppam.cluster.store.store_warnings import FOREIGN, VANISHES, StoreWarnings
from rppam.kernel.instant import Instant
from tests.cluster.consensus.beats import heartbeat

MARK = vacant(3, "c" * 16)


def at(seconds: float) -> Instant:
    return Instant(round(seconds * 1e6))


def answer(*, absent: bool = False, aside: str = "") -> ExchangeAnswer:
    return ExchangeAnswer(False, absent, MARK, aside, None, (), 0)


def moved(second: int) -> ExchangeAnswer:
    """As the script tells it: with the time in the key's new name, and the record absent where it stood."""
    return answer(absent=True, aside=f"rppam:leader held a list, now rppam:leader:moved-aside:{second}.000000")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_foreign_data_is_warned_of_until_five_minutes_after_the_last_time() -> None:
    keys = StoreWarnings("node1")
    keys.answered(moved(100), at(100))
    keys.answered(answer(), at(101))
    keys.answered(moved(200), at(200))
    (warning,) = keys.warnings(at(499))
    assert warning == FOREIGN + moved(200).moved_aside, "the last one"
    assert keys.warnings(at(500)) == ()


def test_foreign_data_that_goes_on_is_logged_when_it_comes_and_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys = StoreWarnings("node1")
    for second in range(100, 221):
        keys.answered(moved(second), at(second))
    first, *later = lines(caplog)
    assert first == FOREIGN + moved(100).moved_aside
    assert later == [f"{FOREIGN}{moved(s).moved_aside} (60 such since the last line)" for s in (160, 220)]
    keys.answered(answer(aside="rppam:members held a list, now rppam:members:moved-aside:220.000000"), at(220))
    assert len(lines(caplog)) == 1, "another key is another matter"
    keys.answered(moved(1_000), at(1_000))
    assert lines(caplog) == [FOREIGN + moved(1_000).moved_aside], "it came anew"


def test_what_stands_there_unchanged_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    keys = StoreWarnings("node1")
    odd = answer(aside="rppam:members listed names that no node can have; they are passed over")
    for second in range(1_000):
        keys.answered(odd, at(second))
    assert len(lines(caplog)) == 1
    assert keys.warnings(at(1_000)) == (FOREIGN + odd.moved_aside,)


def test_a_record_that_vanishes_often_is_told_and_the_warning_goes_a_minute_after_the_last_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    keys = StoreWarnings("node1")
    for second in (100, 130):
        keys.answered(answer(absent=True), at(second))
        assert keys.warnings(at(second)) == ()
    keys.answered(answer(), at(150))
    assert lines(caplog) == []
    for second in (160, 161, 190):
        keys.answered(answer(absent=True), at(second))
        assert keys.warnings(at(second)) == (VANISHES,)
        assert keys.are_vanishing(at(second))
    assert lines(caplog) == [VANISHES], "once"
    assert keys.warnings(at(249)) == (VANISHES,)
    assert keys.warnings(at(250)) == (), "whether or not the store still answers"
    keys.answered(answer(), at(251))
    assert lines(caplog) == ["the leadership record has stayed in Redis for a minute"]
    keys.answered(answer(absent=True), at(252))
    assert keys.warnings(at(252)) == (), "once more is not often"


def test_a_store_that_lost_its_data_now_and_then_or_held_foreign_data_does_not_vanish() -> None:
    keys = StoreWarnings("node1")
    for second in range(0, 400, 40):
        keys.answered(answer(absent=True), at(second))
        assert not keys.are_vanishing(at(second))
    for second in range(1_000, 1_010):
        keys.answered(moved(second), at(second))
        assert not keys.are_vanishing(at(second))


def test_thousands_of_names_are_one_sentence_that_passes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    doubts = StoreWarnings("node1")
    for second in range(30):
        doubts.heartbeats(at(second), passed_over=tuple(f"g{second}x{number}" for number in range(200)))
    [sentence] = doubts.warnings(at(30))
    assert "lists 200 names that show no life" in sentence
    assert "ACL LIST" in sentence
    assert len(sentence) < 400
    assert len(caplog.records) == 1, "other names, and the same thing"
    assert doubts.warnings(at(100)) == ()


def test_each_kind_has_its_sentence_and_fix() -> None:
    doubts = StoreWarnings("node1")
    doubts.heartbeats(at(0), unauthenticated=("node2", "node1"), namesake=heartbeat("node1", 5))
    forged, namesake = doubts.warnings(at(1))
    assert "under node1, node2" in forged
    assert "auth.clusterKeyPath" in forged
    assert "'node1'" in namesake
    assert "node1.local" in namesake
    assert "node.nodeName" in namesake


def test_orders_that_no_node_signed_and_crowds_have_their_sentence_and_fix_too() -> None:
    doubts = StoreWarnings("node1")
    doubts.heartbeats(at(0), unsealed=("node2",), crowd=tuple(f"g{number}" for number in range(250)))
    unsealed, crowd = doubts.warnings(at(1))
    assert "under node2 say of maintenance" in unsealed
    assert "auth.sealingKeyPath" in unsealed
    assert "under 250 names" in crowd
    assert "(DEL)" in crowd
    assert len(crowd) < 400
