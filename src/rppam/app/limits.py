"""What one process counts with: limits in Redis for all nodes, and the guard before every sign-in."""

from hashlib import sha256
from typing import Final

from rppam.access.lockouts.guard import Guard
from rppam.access.lockouts.redis_tries import RedisTries
from rppam.access.lockouts.sql_tries import SqlTries
from rppam.access.lockouts.store import SqlLockouts
from rppam.app.redis import RedisParts
from rppam.cache.ports import SharedCache
from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.health.ports import NodeStatus
from rppam.cluster.link.key_files import read_sealing_keys, tell_left_out
from rppam.config.settings import Settings
from rppam.crypto.sealed import Label, derived
from rppam.db.database import Database
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.kernel.secret import Secret
from rppam.limits.limiter import Limiter, LimitStore, MemoryLimits
from rppam.limits.redis_store import RedisLimits
from rppam.settings.hot import LiveSettings

_INFO: Final = b"rppam limits 1"


def limits_of(settings: Settings, redis: RedisParts | None) -> RedisLimits | None:
    """Counting in Redis; ``None`` without Redis. Raises what the file of the sealing key raises.

    Its key goes on with the sealing key where :func:`rppam.app.cache.cache_parts` knows of it.
    """
    if redis is None:
        return None
    sealing, cluster = settings.auth.sealing_key_path, settings.auth.cluster_key_path
    has_key = sealing.exists() or cluster.exists()
    key = limit_key(
        read_sealing_keys(sealing, cluster, tell_left_out).own if has_key else None, settings.cluster.cluster_id
    )
    return RedisLimits(redis.link, settings.redis.key_prefix, key)


def limit_key(own: Secret | None, cluster_id: str) -> bytes:
    """Names the counters in Redis; ``own`` is the key that this node seals with. Without one it hides nothing, and is
    still the same on all nodes."""
    material = Secret(sha256(cluster_id.encode()).hexdigest()) if own is None else own
    return derived(material, Label(cluster_id.encode(), _INFO))


def limiter_of(limits: LimitStore | None, status: NodeStatus, workers: int, clock: Clock) -> Limiter:
    """What limits requests in one process."""

    def processes() -> int:
        nodes = sum(1 for member in status.snapshot().members if member.role is not Role.WITNESS)
        return max(1, nodes) * workers

    return Limiter(limits, MemoryLimits(clock), clock, processes)


def guard_of(
    database: Database,
    limits: RedisLimits | None,
    settings: LiveSettings,
    cache: SharedCache,
    clock: Clock,
    entropy: Entropy,
) -> Guard:
    """The guard of one process."""
    shared = RedisTries(limits) if limits is not None else None
    return Guard(shared, SqlTries(database), SqlLockouts(database), settings, cache, clock, entropy)
