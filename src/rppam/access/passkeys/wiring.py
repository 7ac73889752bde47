"""The parts of passkeys in one process."""

from rppam.access.accounts.store import SqlAccounts
from rppam.access.passkeys.service import Passkeys
from rppam.access.passkeys.store import SqlPasskeys
from rppam.foundation import Foundation
from rppam.kernel.services import Services


def wire(base: Foundation, services: Services) -> None:
    """Offer passkeys."""
    services.add(Passkeys, Passkeys(SqlPasskeys(base.database), SqlAccounts(base.database), base.cache))
