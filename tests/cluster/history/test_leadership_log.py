"""What a node tells of leadership and the store: each change once, losses only when they last."""

import json
import logging
from typing import Any

import pytest

from rppam.cluster.consensus.effects import StandDown
from rppam.cluster.history.node_log import LeadershipLog, last_sign
from rppam.cluster.history.recorder import HistoryFormatter
from rppam.kernel.instant import Instant
from tests.cluster.admin.test_service import LEASE, others, seated
from tests.cluster.consensus.parliament import TIMING
from tests.cluster.driver.government import Government


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    formatter = HistoryFormatter()
    found = [json.loads(formatter.format(record)) for record in caplog.records]
    caplog.clear()
    return [{name: value for name, value in entry.items() if name != "at"} for entry in found]


def at(seconds: float) -> Instant:
    return Instant(round(seconds * 1e6))


def look(leadership_log: LeadershipLog, leader: tuple[str, int] | None, now: Instant) -> None:
    """At a leader of whom there is a sign right now."""
    leadership_log.look(leader, now, now)


@pytest.fixture
def leadership_log(caplog: pytest.LogCaptureFixture) -> LeadershipLog:
    caplog.set_level(logging.INFO)
    return LeadershipLog("node1", TIMING, lambda: "node2 does not answer", at(100))


def test_another_leader_is_told_once_with_the_time_without_one(
    leadership_log: LeadershipLog, caplog: pytest.LogCaptureFixture
) -> None:
    look(leadership_log, ("node2", 7), at(100.25))
    look(leadership_log, ("node2", 7), at(101))
    (entry,) = told(caplog)
    assert entry == {
        "event": "leader",
        "sentence": "this node sees that node2 leads at epoch 7",
        "facts": {"leader": "node2", "epoch": 7, "withoutLeaderMs": 250},
    }
    look(leadership_log, ("node2", 8), at(102))
    assert [entry["facts"]["epoch"] for entry in told(caplog)] == [8]


def test_a_gap_is_told_when_it_lasts_with_the_reason_and_its_end(
    leadership_log: LeadershipLog, caplog: pytest.LogCaptureFixture
) -> None:
    look(leadership_log, ("node2", 7), at(100))
    told(caplog)
    for second in (101, 101.5, 101.99):
        look(leadership_log, None, at(second))
    assert told(caplog) == []
    for second in (102, 103, 110):
        look(leadership_log, None, at(second))
    assert told(caplog) == [
        {"event": "no-leader", "sentence": "this node sees no leader: node2 does not answer", "facts": {}}
    ]
    look(leadership_log, ("node2", 7), at(111))
    assert [entry["facts"]["withoutLeaderMs"] for entry in told(caplog)] == [10_000], "the same leader is back"


def test_a_short_gap_of_the_same_leader_is_not_told(
    leadership_log: LeadershipLog, caplog: pytest.LogCaptureFixture
) -> None:
    look(leadership_log, ("node2", 7), at(100))
    told(caplog)
    look(leadership_log, None, at(101))
    look(leadership_log, ("node2", 7), at(101.4))
    look(leadership_log, None, at(102))
    assert leadership_log.without_leader_ms(at(102.3)) == 300
    look(leadership_log, ("node2", 7), at(102.4))
    assert told(caplog) == []


def test_own_leadership_is_told_elsewhere(leadership_log: LeadershipLog, caplog: pytest.LogCaptureFixture) -> None:
    look(leadership_log, ("node1", 7), at(100))
    assert told(caplog) == []
    look(leadership_log, ("node2", 8), at(101))
    assert [entry["facts"] for entry in told(caplog)] == [{"leader": "node2", "epoch": 8, "withoutLeaderMs": 0}]


def test_a_leader_that_fell_silent_is_missed_from_its_last_sign(
    leadership_log: LeadershipLog, caplog: pytest.LogCaptureFixture
) -> None:
    leadership_log.look(("node2", 7), at(101), at(100.9))
    leadership_log.look(("node2", 7), at(104.9), at(100.9))
    told(caplog)
    leadership_log.look(None, at(105), at(105))
    assert told(caplog) == [], "a successor may be a moment away"
    assert leadership_log.without_leader_ms(at(105.1)) == 4_200
    leadership_log.look(("node3", 8), at(105.1), at(105.1))
    assert [entry["facts"]["withoutLeaderMs"] for entry in told(caplog)] == [4_200]


def test_who_stood_still_while_it_led_counts_from_when_it_last_did(leadership_log: LeadershipLog) -> None:
    look(leadership_log, ("node1", 7), at(100))
    assert leadership_log.without_leader_ms(at(112.6)) == 12_600, "elected again before anybody looked"
    look(leadership_log, None, at(112.6))
    assert leadership_log.without_leader_ms(at(112.7)) == 12_700


def until_another_leads(house: Government, gone: str, logs: dict[str, LeadershipLog]) -> int:
    """Milliseconds that the new leader counts without one."""
    for _ in range(3 * LEASE):
        house.run(1)
        now = Instant(house.now)
        for name, leadership_log in logs.items():
            status = house.core(name).status()
            leader = status.leader(now)
            if leader is not None and leader[0] == name != gone:
                return leadership_log.without_leader_ms(now)
            leadership_log.look(leader, now, last_sign(status, now))
    raise AssertionError("nobody follows")


@pytest.mark.parametrize("is_killed", [True, False])
def test_the_successor_counts_the_lease_that_it_waited_for_and_no_more(is_killed: bool) -> None:
    house, leader = seated("a", "b", "c")
    names = others(house, leader)
    logs = {name: LeadershipLog(name, TIMING, str, Instant(house.now)) for name in names}
    for name, leadership_log in logs.items():
        status, now = house.core(name).status(), Instant(house.now)
        leadership_log.look(status.leader(now), now, last_sign(status, now))
    gone_at = house.now
    if is_killed:
        house.kill(leader)
    else:
        house.tell(leader, StandDown("asked"))
    counted_ms = until_another_leads(house, leader, logs)
    really_ms = (house.now - gone_at) // 1_000
    assert (really_ms > LEASE // 2) is is_killed
    assert really_ms - 20 <= counted_ms <= really_ms + TIMING.heartbeat_ms + 20


def test_the_store_is_told_lost_when_that_lasts_and_back_with_the_time(
    leadership_log: LeadershipLog, caplog: pytest.LogCaptureFixture
) -> None:
    leadership_log.look_at_store(answers=False, reason="slow", now=at(100))
    leadership_log.look_at_store(answers=True, reason="", now=at(100.9))
    leadership_log.look_at_store(answers=False, reason="slow", now=at(101))
    leadership_log.look_at_store(answers=False, reason="refused", now=at(102))
    leadership_log.look_at_store(answers=False, reason="refused", now=at(103))
    leadership_log.look_at_store(answers=True, reason="", now=at(106.5))
    leadership_log.look_at_store(answers=True, reason="", now=at(107))
    assert told(caplog) == [
        {"event": "store-lost", "sentence": "the store does not answer this node: refused", "facts": {}},
        {
            "event": "store-back",
            "sentence": "the store answers this node again, after 5.5 s",
            "facts": {"awayMs": 5_500},
        },
    ]
