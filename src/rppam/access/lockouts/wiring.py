"""The parts of the lockouts in one process."""

from rppam.access.accounts.store import SqlAccounts
from rppam.access.lockouts.guard import Guard
from rppam.access.lockouts.service import Lockouts
from rppam.access.lockouts.store import SqlLockouts
from rppam.foundation import Foundation
from rppam.kernel.services import Services


def wire(base: Foundation, services: Services) -> None:
    users, guard = services.get(SqlAccounts), services.get(Guard)
    services.add(Lockouts, Lockouts(SqlLockouts(base.database), users, guard, base.cache))
