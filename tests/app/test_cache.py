"""Where there is a shared cache, and what it is sealed with while the cluster key changes."""

import asyncio
from pathlib import Path

import pytest

from rppam.app.cache import CacheParts, cache_parts
from rppam.app.redis import cache_redis_parts
from rppam.app.shared import Shared, shared_of
from rppam.cache.model import CacheKey, Kind
from rppam.cache.no_cache import NoCache
from rppam.cache.redis_cache import RedisCache
from rppam.cluster.errors import ClusterKeyUnusable
from rppam.cluster.link import key_files
from rppam.config.load import parse_settings
from rppam.config.settings import Settings
from rppam.db.database import Database
from rppam.kernel.limit import Limit, Shape
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.limits.redis_store import RedisLimits

KEY = CacheKey(Kind.SESSION, "s1")


def parse(tmp_path: Path, redis: str = '{"enabled": true, "connectionString": "h:6379"}') -> Settings:
    text = f'{{"redis": {redis}, "auth": {{"clusterKeyPath": "{tmp_path / "cluster.key"}"}}}}'
    return parse_settings(text, folder=tmp_path)


def parts(tmp_path: Path, *redis: str) -> CacheParts:
    settings = parse(tmp_path, *redis)
    clock = SystemClock()
    way = cache_redis_parts(settings, clock, SystemEntropy())
    return cache_parts(settings, way, Database(f"sqlite:///{tmp_path / 'db'}"), clock, lambda _: None)


def write_key(path: Path, digits: str) -> None:
    path.write_text(digits * 32)
    path.chmod(0o600)


async def test_without_redis_or_key_every_question_goes_to_sql(tmp_path: Path) -> None:
    assert isinstance(parts(tmp_path).cache, NoCache)
    write_key(tmp_path / "cluster.key", "ab")
    assert isinstance(parts(tmp_path, '{"enabled": false}').cache, NoCache)
    assert isinstance(parts(tmp_path).cache, RedisCache)


async def test_a_key_that_is_none_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "cluster.key").write_text("no key")
    (tmp_path / "cluster.key").chmod(0o600)
    with pytest.raises(ClusterKeyUnusable):
        parts(tmp_path)


async def test_changed_keys_are_used_and_broken_ones_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_files, "EVERY_S", 0.01)
    path = tmp_path / "cluster.key"
    write_key(path, "ab")
    made = parts(tmp_path)
    assert isinstance(made.cache, RedisCache)
    store = made.cache.store
    told: list[CacheKey | None] = []
    made.cache.on_change(told.append)
    old = store.place(KEY).name
    made.start()
    try:
        write_key(tmp_path / "cluster.key.next", "cd")
        async with asyncio.timeout(30):
            while len(store.sealers) == 1:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)
        assert store.place(KEY).name == old, "the next key is believed, not used"
        assert told == [None]
        path.write_text("broken")
        await asyncio.sleep(0.1)
        assert store.place(KEY).name == old
        write_key(path, "cd")
        async with asyncio.timeout(30):
            while store.place(KEY).name == old:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        await made.stop()


async def test_limits_are_counted_under_one_name_by_all_nodes_once_the_key_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_files, "EVERY_S", 0.01)
    path = tmp_path / "cluster.key"
    write_key(path, "ab")
    settings, clock = parse(tmp_path), SystemClock()

    def process() -> Shared:
        return shared_of(settings, Database(f"sqlite:///{tmp_path / 'db'}"), clock, SystemEntropy())

    def name(shared: Shared) -> str:
        assert isinstance(shared.limits, RedisLimits)
        return shared.limits.key_of(Limit("login-user", Shape.WINDOW, 5, 60_000), "ann")

    running = process()
    before = name(running)
    running.cache_parts.start()
    try:
        write_key(tmp_path / "cluster.key.next", "cd")
        await asyncio.sleep(0.1)
        assert name(running) == before, "the next key is believed, not used"
        write_key(path, "cd")
        begun_since = process()
        async with asyncio.timeout(30):
            while name(running) == before:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)
        assert name(running) == name(begun_since)
    finally:
        await running.cache_parts.stop()
