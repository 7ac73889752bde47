"""The shared cache of one process, and what runs in the background for it: also the watch for another sealing key, by
which the counters of limits are named, too.

On Redis where there is one and a key to seal with; none otherwise, and then every question goes to SQL. The log
of changes is read in either case, since others change things here, too.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Final

from rppam.app.limits import limit_key
from rppam.app.redis import RedisParts
from rppam.cache.change_log import ChangeWatch, SqlChangeLog
from rppam.cache.model import Change
from rppam.cache.no_cache import NoCache
from rppam.cache.ports import SharedCache
from rppam.cache.redis_cache import RedisCache
from rppam.cache.sealing import Sealer
from rppam.cluster.link.key_files import ClusterKeys, read_sealing_keys, sealing_key_files, tell_left_out
from rppam.config.settings import Settings
from rppam.db.database import Database
from rppam.kernel.clock import Clock
from rppam.kernel.instant import WallMs
from rppam.kernel.system_clock import boot_ns
from rppam.limits.redis_store import RedisLimits

log: Final = logging.getLogger("rppam.cache")

Work = tuple[str, Callable[[], Coroutine[None, None, None]]]
"""A name, and what runs until it is cancelled."""


class CacheParts:
    """See the module. ``start`` and ``stop`` it in one event loop; stop it before the link."""

    def __init__(
        self,
        cache: SharedCache,
        changes: ChangeWatch,
        work: tuple[Work, ...] = (),
        hang_up: Callable[[], None] = lambda: None,
    ) -> None:
        """``work`` runs beside the look at the log of ``changes``."""
        self.cache = cache
        self.look: Final = changes.look
        """Look at the log of changes now, as it does every two seconds anyway. Raises nothing."""
        self._work, self._hang_up = (("log of changes", changes.run), *work), hang_up
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin what runs in the background."""
        self._tasks = [asyncio.create_task(run(), name=name) for name, run in self._work]
        for task in self._tasks:
            task.add_done_callback(_tell_failure)

    async def stop(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._hang_up()


def cache_parts(
    settings: Settings,
    redis: RedisParts | None,
    database: Database,
    clock: Clock,
    learn: Callable[[WallMs], object],
    limits: RedisLimits | None = None,
) -> CacheParts:
    """The parts. ``learn`` gets the database's time with each look at the log of changes; ``limits`` get the key that
    goes with the sealing key, now and whenever that changes.

    Raises :class:`~rppam.cluster.errors.ClusterKeyUnusable`.
    """
    changes = SqlChangeLog(database)
    sealing, cluster = settings.auth.sealing_key_path, settings.auth.cluster_key_path
    if redis is None or not (sealing.exists() or cluster.exists()):
        none = NoCache()
        return CacheParts(none, ChangeWatch(changes, none.forget, learn))
    prefix, cluster_id = f"{settings.redis.key_prefix}cache:", settings.cluster.cluster_id
    files = sealing_key_files(sealing, cluster)  # before they are read: what changes after it is seen
    now = read_sealing_keys(sealing, cluster, tell_left_out).believed
    sealers = _sealers(now, cluster_id, prefix)
    cache = RedisCache(redis.link, sealers, prefix, clock=clock, now_ns=boot_ns, replicas=redis.replicas)

    def told(found: Sequence[Change]) -> None:
        cache.forget(found)
        cache.informed()

    def name_counters(keys: ClusterKeys) -> None:
        if limits is not None:
            limits.use(limit_key(keys.own, cluster_id))

    async def renew(keys: ClusterKeys) -> None:
        cache.use(_sealers(keys, cluster_id, prefix))
        name_counters(keys)

    name_counters(now)
    what_stays = "the cache and limits go on with what was read before"
    work = (("sealing key of the cache", lambda: files.follow(renew, log, what_stays)),)
    return CacheParts(cache, ChangeWatch(changes, told, learn), work, cache.stop)


def _tell_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("what runs for the cache failed: %s", task.get_name(), exc_info=error)


def _sealers(keys: ClusterKeys, cluster_id: str, prefix: str) -> tuple[Sealer, ...]:
    return tuple(Sealer(key, cluster_id, prefix) for key in (keys.own, *keys.also))
