"""The parts of the second factor in one process: codes, and the keys that seal their secrets."""

from rppam.access.lockouts.guard import Guard
from rppam.access.mfa.service import SecondFactors
from rppam.access.mfa.store import SqlFactors
from rppam.cluster.link.data_keys import data_keys_of
from rppam.foundation import Foundation
from rppam.kernel.services import Services


def wire(base: Foundation, services: Services) -> None:
    keys = data_keys_of(base.config, base.database)
    factors = SecondFactors(SqlFactors(base.database), keys, base.hot, services.get(Guard), base.cache)
    services.add(SecondFactors, factors)
