"""Warnings of what is wrong with the cluster's keys: told when it comes, and gone a while after the last time."""

import logging

import pytest

from rppam.cluster.consensus.record import vacant
from rppam.cluster.store.keyspace_monitor import FOREIGN, VANISHES, StoreKeys
from rppam.cluster.store.ports import ExchangeAnswer
from rppam.kernel.instant import Instant

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
    keys = StoreKeys()
    keys.look(moved(100), at(100))
    keys.look(answer(), at(101))
    keys.look(moved(200), at(200))
    (warning,) = keys.warnings(at(499))
    assert warning == FOREIGN + moved(200).moved_aside, "the last one"
    assert keys.warnings(at(500)) == ()


def test_foreign_data_that_goes_on_is_logged_when_it_comes_and_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys = StoreKeys()
    for second in range(100, 221):
        keys.look(moved(second), at(second))
    first, *later = lines(caplog)
    assert first == FOREIGN + moved(100).moved_aside
    assert later == [f"{FOREIGN}{moved(s).moved_aside} (60 such since the last line)" for s in (160, 220)]
    keys.look(answer(aside="rppam:members held a list, now rppam:members:moved-aside:220.000000"), at(220))
    assert len(lines(caplog)) == 1, "another key is another matter"
    keys.look(moved(1_000), at(1_000))
    assert lines(caplog) == [FOREIGN + moved(1_000).moved_aside], "it came anew"


def test_what_stands_there_unchanged_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    keys = StoreKeys()
    odd = answer(aside="rppam:members listed names that no node can have; they are passed over")
    for second in range(1_000):
        keys.look(odd, at(second))
    assert len(lines(caplog)) == 1
    assert keys.warnings(at(1_000)) == (FOREIGN + odd.moved_aside,)


def test_a_record_that_vanishes_often_is_told_and_the_warning_goes_a_minute_after_the_last_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    keys = StoreKeys()
    for second in (100, 130):
        keys.look(answer(absent=True), at(second))
        assert keys.warnings(at(second)) == ()
    keys.look(answer(), at(150))
    assert lines(caplog) == []
    for second in (160, 161, 190):
        keys.look(answer(absent=True), at(second))
        assert keys.warnings(at(second)) == (VANISHES,)
        assert keys.are_vanishing(at(second))
    assert lines(caplog) == [VANISHES], "once"
    assert keys.warnings(at(249)) == (VANISHES,)
    assert keys.warnings(at(250)) == (), "whether or not the store still answers"
    keys.look(answer(), at(251))
    assert lines(caplog) == ["the leadership record has stayed in Redis for a minute"]
    keys.look(answer(absent=True), at(252))
    assert keys.warnings(at(252)) == (), "once more is not often"


def test_a_store_that_lost_its_data_now_and_then_or_held_foreign_data_does_not_vanish() -> None:
    keys = StoreKeys()
    for second in range(0, 400, 40):
        keys.look(answer(absent=True), at(second))
        assert not keys.are_vanishing(at(second))
    for second in range(1_000, 1_010):
        keys.look(moved(second), at(second))
        assert not keys.are_vanishing(at(second))
