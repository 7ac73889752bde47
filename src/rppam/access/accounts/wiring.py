"""The parts of the accounts in one process."""

from typing import Any

from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.policy import PasswordRules
from rppam.access.accounts.service import UserAdministration
from rppam.access.accounts.store import SqlAccounts
from rppam.access.lockouts.guard import Guard
from rppam.foundation import Foundation
from rppam.kernel.services import Services
from rppam.settings.model import Setting


def wire(base: Foundation, services: Services) -> None:
    async def in_force(setting: Setting[Any]) -> Any:
        return (await base.hot.get(setting)).value

    rules = PasswordRules(in_force)
    accounts = services.add(SqlAccounts, SqlAccounts(base.database))
    passwords, guard = services.get(Passwords), services.get(Guard)
    services.add(UserAdministration, UserAdministration(accounts, passwords, rules, base.cache, guard, base.clock))
