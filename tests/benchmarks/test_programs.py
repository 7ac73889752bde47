"""The long measurements in short: each program runs on real servers, finds what it measures, and makes its section."""

import shutil

import pytest

from benchmarks import cache, catalogue, console, members, rate_limits, saturation, settings
from benchmarks.limiters import AS_USED, OURS
from tests.console.conftest import CHROMIUM
from tests.support.redis_servers import Server, available

pytestmark = [
    pytest.mark.integration,
    pytest.mark.server,
    pytest.mark.pair,
    pytest.mark.skipif(not available(), reason="no Redis-protocol server is on this machine"),
]


@pytest.mark.alone
def test_saturated_workers_are_watched_from_redis() -> None:
    server, result = saturation.measure("default", 3.0)
    names = ["node1", "node2", "node3"]
    assert sorted(result["loaded"]["nodes"]) == sorted(result["calm"]["nodes"]) == names
    assert all(node["beats"] >= 2 for node in result["loaded"]["nodes"].values())
    assert result["fine"] > 100
    assert result["loaded"]["workersPercent"] > 0
    assert saturation.is_steady(result), result
    text = saturation.page({"server": server}, [result])
    assert text.count("| leader |") == 1
    assert text.count("| standby |") == 2


def test_a_leader_that_changed_under_load_is_told() -> None:
    result = {"calm": {"records": ["held node1 a 1"]}, "loaded": {"records": ["held node1 a 1"], "stepDowns": 0}}
    assert saturation.is_steady(result)
    assert not saturation.is_steady(result | {"loaded": {"records": ["held node2 b 2"], "stepDowns": 0}})
    assert not saturation.is_steady(result | {"loaded": {"records": ["held node1 a 1"], "stepDowns": 1}})


def test_jitter_is_the_distance_from_the_period_to_either_side() -> None:
    beats = [saturation.Beat("node1", at_s) for at_s in (10.0, 10.5, 11.2, 11.6)] + [saturation.Beat("node2", 10.1)]
    assert saturation.jitters_ms(beats, 500) == {"node1": pytest.approx([0, 100, 200])}


@pytest.mark.skipif(shutil.which("ss") is None, reason="the bytes of connections are read with ss of iproute2")
def test_members_in_a_few_processes_elect_again_after_the_death_of_their_leaders_process() -> None:
    result = members.measure(4, 2, 3.0, 1, "lan")
    assert result["processes"] == 2
    assert result["requestsPerS"] > 4
    assert result["bytesOutPerS"] > result["bytesInPerS"] > 0
    assert result["linkBytesPerS"] > 0
    assert len(result["electionsS"]) == 1
    assert "| 4 | 2 |" in members.page({"server": result["server"]}, [result])


def test_changes_of_a_setting_are_followed_into_every_process() -> None:
    server, results = settings.measure(3, 1)
    assert [(result["name"], result["changes"]) for result in results] == [("with Redis", 3), ("without Redis", 1)]
    assert all(0 <= result["p50Ms"] <= result["p99Ms"] <= result["maxMs"] < 30_000 for result in results)
    assert "| without Redis | 1 |" in settings.page({"server": server}, results)


def test_limiters_are_raced_and_none_lets_one_too_many_in() -> None:
    names = (OURS, "rppam, smooth", AS_USED)
    result = rate_limits.measure(1, 0.1, names)
    assert result["admitted"] == {name: [100] for name in names}
    assert all(taken["together_per_s"] > 10 for taken in result["medians"].values())
    assert "| let in too many | 0 | yes |" in rate_limits.page(result)


async def test_the_cache_is_measured() -> None:
    kind = next(kind for kind in available() if kind.name != "redis-6.2")
    with Server(kind, password=cache.PASSWORD) as server:
        cold = await cache.cold(server, 1, 0.05)
        told = await cache.invalidations(server, 5)
        growth = await cache.growth(server, 1_000, 0.02)
    assert all(microseconds > 0 for microseconds in cold.values())
    assert 0 < told["p50Ms"] <= told["p99Ms"] <= told["maxMs"] < 30_000
    assert growth[0]["redisBytes"] > 200
    assert growth[0]["nearBytes"] > 200
    hits = dict.fromkeys(("dict.get (the limit)", "rppam near cache", "redis-py, client-side cache"), 1.0)
    found = {
        "rounds": 1,
        "machine": {},
        "busy": True,
        "hits": hits,
        "cold": cold,
        "invalidation": told,
        "growth": growth,
    }
    assert "| near hit: at most 10 x dict.get | 1.0 | yes |" in cache.page(found)
    assert cache.BUSY in cache.page(found)


def test_pages_of_both_databases_are_measured() -> None:
    results = catalogue.measure(300, 1)
    assert sorted(results) == ["PostgreSQL", "SQLite"]
    assert all(sorted(lists) == ["accounts", "entries", "targets"] for lists in results.values())
    costs = [cost for lists in results.values() for asks in lists.values() for cost in asks.values()]
    assert all(cost.took > 0 and cost.processor > 0 for cost in costs)
    text = catalogue.page({}, 300, 1, results)
    assert text.count("| targets, ") == text.count("| accounts, ") == text.count("| entries, ") == 2
    slow = {"SQLite": {"targets": {"last": catalogue.Cost(1, catalogue.TARGET_MS + 1)}}}
    assert not catalogue.met(slow)


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium is on this machine")
def test_the_first_load_and_the_largest_paint_of_pages_are_measured() -> None:
    found = console.run(loads=1, rows=3)
    assert sorted(found) == sorted(console.PAGES)
    (vault,) = found["vault"]
    assert 50_000 < vault.first < console.BYTES_MAX, "packed, and all of it"
    assert vault.asked > 1_000
    assert 0 < vault.paint_ms < 30_000
    assert console.page_of(found, {}, 3).count("| vault |") == 1
    late = {"vault": [vault._replace(paint_ms=console.PAINT_MS_MAX)]}
    large = {"vault": [vault._replace(first=console.BYTES_MAX + 1, paint_ms=1.0)]}
    assert not console.is_met(late)
    assert not console.is_met(large)
