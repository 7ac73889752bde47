"""What a node tells of leadership and the store: each change once, losses only when they last."""

import json
import logging
from typing import Any

import pytest

from rppam.domain.instant import Instant
from rppam.runtime.chronicle import Chronicle
from rppam.runtime.history import HistoryFormatter


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    formatter = HistoryFormatter()
    found = [json.loads(formatter.format(record)) for record in caplog.records]
    caplog.clear()
    return [{name: value for name, value in entry.items() if name != "at"} for entry in found]


def at(seconds: float) -> Instant:
    return Instant(round(seconds * 1e6))


@pytest.fixture
def chronicle(caplog: pytest.LogCaptureFixture) -> Chronicle:
    caplog.set_level(logging.INFO)
    return Chronicle("node1", lambda: "node2 does not answer", at(100))


def test_another_leader_is_told_once_with_the_time_without_one(
    chronicle: Chronicle, caplog: pytest.LogCaptureFixture
) -> None:
    chronicle.look(("node2", 7), at(100.25))
    chronicle.look(("node2", 7), at(101))
    (entry,) = told(caplog)
    assert entry == {
        "event": "leader",
        "sentence": "this node sees that node2 leads at epoch 7",
        "facts": {"leader": "node2", "epoch": 7, "withoutLeaderMs": 250},
    }
    chronicle.look(("node2", 8), at(102))
    assert [entry["facts"]["epoch"] for entry in told(caplog)] == [8]


def test_a_gap_is_told_when_it_lasts_with_the_reason_and_its_end(
    chronicle: Chronicle, caplog: pytest.LogCaptureFixture
) -> None:
    chronicle.look(("node2", 7), at(100))
    told(caplog)
    for second in (101, 101.5, 101.99):
        chronicle.look(None, at(second))
    assert told(caplog) == []
    for second in (102, 103, 110):
        chronicle.look(None, at(second))
    assert told(caplog) == [
        {"event": "no-leader", "sentence": "this node sees no leader: node2 does not answer", "facts": {}}
    ]
    chronicle.look(("node2", 7), at(111))
    assert [entry["facts"]["withoutLeaderMs"] for entry in told(caplog)] == [10_000], "the same leader is back"


def test_a_short_gap_of_the_same_leader_is_not_told(chronicle: Chronicle, caplog: pytest.LogCaptureFixture) -> None:
    chronicle.look(("node2", 7), at(100))
    told(caplog)
    chronicle.look(None, at(101))
    chronicle.look(("node2", 7), at(101.4))
    chronicle.look(None, at(102))
    assert chronicle.without_leader_ms(at(102.3)) == 300
    chronicle.look(("node2", 7), at(102.4))
    assert told(caplog) == []


def test_own_leadership_is_told_elsewhere(chronicle: Chronicle, caplog: pytest.LogCaptureFixture) -> None:
    chronicle.look(("node1", 7), at(100))
    assert told(caplog) == []
    chronicle.look(("node2", 8), at(101))
    assert [entry["facts"] for entry in told(caplog)] == [{"leader": "node2", "epoch": 8, "withoutLeaderMs": 0}]


def test_the_store_is_told_lost_when_that_lasts_and_back_with_the_time(
    chronicle: Chronicle, caplog: pytest.LogCaptureFixture
) -> None:
    chronicle.look_at_store(answers=False, reason="slow", now=at(100))
    chronicle.look_at_store(answers=True, reason="", now=at(100.9))
    chronicle.look_at_store(answers=False, reason="slow", now=at(101))
    chronicle.look_at_store(answers=False, reason="refused", now=at(102))
    chronicle.look_at_store(answers=False, reason="refused", now=at(103))
    chronicle.look_at_store(answers=True, reason="", now=at(106.5))
    chronicle.look_at_store(answers=True, reason="", now=at(107))
    assert told(caplog) == [
        {"event": "store-lost", "sentence": "the store does not answer this node: refused", "facts": {}},
        {
            "event": "store-back",
            "sentence": "the store answers this node again, after 5.5 s",
            "facts": {"awayMs": 5_500},
        },
    ]
