"""The database as one node tells it: one process alone is told only once that lasts."""

from rppam.app.database_watch import APART_US, NodeDatabase
from rppam.db.condition import Condition
from rppam.db.database import Database
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
