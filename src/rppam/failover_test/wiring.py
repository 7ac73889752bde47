"""The parts of failover tests in one process."""

from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.failover_test.schedule import ASKED_EVERY_S, LOOK_EVERY_S, ScheduledTests
from rppam.failover_test.store import SqlFailoverTests
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services


def wire(base: Foundation, services: Services) -> None:
    """Offer the tests."""
    services.add(SqlFailoverTests, SqlFailoverTests(base.database))


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """Start tests by schedule, and those that were asked for."""
    tests = ScheduledTests(base)
    return [
        RepeatedTask("the schedule of failover tests", LOOK_EVERY_S, tests.look),
        RepeatedTask("failover tests that were asked for", ASKED_EVERY_S, tests.look_for_asked),
    ]
