"""The parts of failover tests in one process."""

from rppam.failover_test.store import SqlFailoverTests
from rppam.foundation import Foundation
from rppam.kernel.services import Services


def wire(base: Foundation, services: Services) -> None:
    """Offer the tests."""
    services.add(SqlFailoverTests, SqlFailoverTests(base.database))
