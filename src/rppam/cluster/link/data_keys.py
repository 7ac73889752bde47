"""The keys that seal secrets in the cluster's database, put together from this host's."""

from rppam.cluster.link.key_files import SealingSecrets
from rppam.config.settings import Settings
from rppam.crypto.data_keys import DataKeys
from rppam.db.data_keys import SqlDataKeys
from rppam.db.database import Database


def data_keys_of(settings: Settings, database: Database) -> DataKeys:
    return DataKeys(SqlDataKeys(database), sealing_secrets_of(settings))


def sealing_secrets_of(settings: Settings) -> SealingSecrets:
    """What nodes have and witnesses have not: it wraps those keys, and signs orders between nodes."""
    auth = settings.auth
    alone = not settings.redis.enabled
    return SealingSecrets(auth.cluster_key_path, auth.jwt_keys_dir, alone=alone, sealing_key=auth.sealing_key_path)
