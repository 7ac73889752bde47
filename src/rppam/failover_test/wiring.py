"""The parts of failover tests in one process."""

from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.failover_test.schedule import LOOK_EVERY_S, ScheduledTests
from rppam.failover_test.store import SqlFailoverTests
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services


def wire(base: Foundation, services: Services) -> None:
    """Offer the tests."""
    services.add(SqlFailoverTests, SqlFailoverTests(base.database))


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """Start tests by schedule."""
    return [RepeatedTask("the schedule of failover tests", LOOK_EVERY_S, ScheduledTests(base).look)]
