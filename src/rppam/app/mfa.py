"""The second factor, put together: codes, the keys that seal their secrets, and where both are kept."""

from rppam.access.lockouts.guard_port import LoginGuard
from rppam.access.mfa.keys import data_keys_of
from rppam.access.mfa.service import SecondFactors
from rppam.access.mfa.store import SqlFactors
from rppam.app.shared import Shared
from rppam.config.settings import Settings
from rppam.db.database import Database


def second_factors_of(settings: Settings, database: Database, shared: Shared, guard: LoginGuard) -> SecondFactors:
    """The second factors of one process."""
    return SecondFactors(SqlFactors(database), data_keys_of(settings, database), shared.settings, guard, shared.cache)
