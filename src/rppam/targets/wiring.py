"""The parts of targets in one process."""

from rppam.foundation import Foundation
from rppam.kernel.services import Services
from rppam.targets.store import SqlResources, SqlTargetAccounts


def wire(base: Foundation, services: Services) -> None:
    """Offer resources and accounts."""
    services.add(SqlResources, SqlResources(base.database))
    services.add(SqlTargetAccounts, SqlTargetAccounts(base.database))
