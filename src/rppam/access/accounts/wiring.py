"""The parts of the accounts in one process."""

from rppam.access.accounts.administration import UserAdministration
from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.user_ports import UserStore
from rppam.access.accounts.user_store import SqlUsers
from rppam.access.lockouts import Guard
from rppam.foundation import Foundation
from rppam.kernel.services import Services


def wire(base: Foundation, services: Services) -> None:
    """Offer the store of users and their administration."""
    users = services.add(UserStore, SqlUsers(base.database))
    passwords, guard = services.get(Passwords), services.get(Guard)
    services.add(UserAdministration, UserAdministration(users, passwords, base.cache, guard, base.clock))
