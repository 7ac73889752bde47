"""The parts of the accounts in one process."""

from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.service import UserAdministration
from rppam.access.accounts.store import SqlAccounts
from rppam.access.lockouts.guard import Guard
from rppam.foundation import Foundation
from rppam.kernel.services import Services


def wire(base: Foundation, services: Services) -> None:
    accounts = services.add(SqlAccounts, SqlAccounts(base.database))
    passwords, guard = services.get(Passwords), services.get(Guard)
    services.add(UserAdministration, UserAdministration(accounts, passwords, base.cache, guard, base.clock))
