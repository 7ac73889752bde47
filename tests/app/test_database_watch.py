"""The database as one node tells it: one process alone is told only once that lasts."""

import logging

import pytest

from rppam.app.database_watch import APART_US, NodeDatabase
from rppam.cluster.driver.node_tasks import findings_of
from rppam.db.condition import Condition
from rppam.db.database import Database
from rppam.kernel.finding import Severity
from rppam.kernel.instant import Instant, WallMs

LOST = Condition("RD-607", "too many connections")


class HandClock:
    us = 1_000_000

    def now(self) -> Instant:
        return Instant(self.us)

    def wall_ms(self) -> WallMs:
        return WallMs(1_795_000_000_000)


def test_a_worker_alone_is_told_once_it_lasts_and_the_whole_node_at_once() -> None:
    clock, workers = HandClock(), {"worker 1": Condition(latency_ms=2), "worker 2": LOST}
    node = NodeDatabase(Database("sqlite:////nowhere/rppam.db"), clock, lambda: workers)
    node._watch.condition = Condition(latency_ms=3)
    assert node.state().is_connected is True
    clock.us += APART_US
    assert [one.code for one in node.state().findings] == ["RD-627"]
    workers["worker 2"] = Condition(latency_ms=2)
    assert node.state().is_connected is True
    workers["worker 2"] = LOST
    assert node.state().is_connected is True, "it begins anew"
    node._watch.condition = LOST
    assert [one.code for one in node.state().findings] == ["RD-607"]


def test_a_clock_that_is_off_is_a_warning_with_its_finding_and_the_log_has_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = NodeDatabase(Database("sqlite:////nowhere/rppam.db"), HandClock())
    node._watch.condition = Condition(latency_ms=3)
    caplog.set_level(logging.INFO, "rppam.database")
    for offset_ms in (None, 19_999, 20_000, 45_000, 0):
        node._watch.clock_offset_ms = offset_ms
        node._tell(Condition(latency_ms=3))
        [found] = findings_of([node.trouble]) or [None]
        assert (found is not None) is (offset_ms is not None and offset_ms >= 20_000)
        assert found is None or (found.code, found.severity) == ("RD-643", Severity.WARNING)
        assert node.state().is_connected is True
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert told[0].startswith("RPPAM-2909: the database's clock is 20 s ahead of this host's. Let a time service"), told
    assert "agree again" in told[1]
