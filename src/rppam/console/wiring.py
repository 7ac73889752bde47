"""The parts of the console in one process."""

from rppam.cluster.link.data_keys import data_keys_of
from rppam.console.live import LedgerTail
from rppam.console.store import SqlActs
from rppam.crypto.data_keys import DataKeys
from rppam.foundation import Foundation
from rppam.kernel.services import Services


class ActKeys:
    """What the answers that are kept are sealed with."""

    def __init__(self, data_keys: DataKeys) -> None:
        self.data_keys = data_keys


def wire(base: Foundation, services: Services) -> None:
    """Offer the newest events, and the acts that must happen once."""
    services.add(LedgerTail, LedgerTail(base.database, base.clock))
    services.add(SqlActs, SqlActs(base.database))
    services.add(ActKeys, ActKeys(data_keys_of(base.config, base.database)))
