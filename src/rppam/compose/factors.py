"""The second factor, put together: codes, the keys that seal their secrets, and where both are kept."""

from rppam.adapters.members.sealing_secrets import SealingSecrets
from rppam.adapters.sql.data_keys import SqlDataKeys
from rppam.adapters.sql.database import Database
from rppam.adapters.sql.factors import SqlFactors
from rppam.compose.shared import Shared
from rppam.config.settings import Settings
from rppam.ports.guard import LoginGuard
from rppam.services.data_keys import DataKeys
from rppam.services.second_factor import SecondFactors


def second_factors_of(settings: Settings, database: Database, shared: Shared, guard: LoginGuard) -> SecondFactors:
    """The second factors of one process."""
    return SecondFactors(SqlFactors(database), data_keys_of(settings, database), shared.settings, guard, shared.cache)


def data_keys_of(settings: Settings, database: Database) -> DataKeys:
    """The keys that seal secrets in the cluster's database."""
    return DataKeys(SqlDataKeys(database), sealing_secrets_of(settings))


def sealing_secrets_of(settings: Settings) -> SealingSecrets:
    """What nodes have and witnesses have not: it wraps those keys, and signs orders between nodes."""
    auth = settings.auth
    alone = not settings.redis.enabled
    return SealingSecrets(auth.cluster_key_path, auth.jwt_keys_dir, alone=alone, sealing_key=auth.sealing_key_path)
