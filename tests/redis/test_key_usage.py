"""What `rppam redis info` walks: foreign keys cost it no question each."""

import pytest

from rppam.redis.key_usage import FAMILIES_MAX, OTHER, SAMPLE_MAX, survey
from tests.redis.conftest import Open
from tests.support.redis_servers import Server

pytestmark = pytest.mark.integration


async def test_families_without_end_are_sampled_as_one(redis: Server, open_: Open) -> None:
    foreign = 3 * FAMILIES_MAX
    redis.ask("EVAL", f"for i = 1, {foreign} do redis.call('SET', 'rppam:f' .. i .. ':x', 'y') end", 0)
    found = await survey(await open_(redis.port), "rppam:", timeout_ms=5_000)
    assert found.walked_all
    assert len(found.families) == FAMILIES_MAX + 1
    assert sum(family.keys for family in found.families.values()) == foreign
    other = found.families[OTHER]
    assert (other.keys, other.measured) == (2 * FAMILIES_MAX, SAMPLE_MAX)
    assert other.estimated_bytes > 0
    asked = redis.ask("INFO", "commandstats").split(b"cmdstat_memory|usage:calls=")[1].split(b",")[0]
    assert int(asked) == FAMILIES_MAX + SAMPLE_MAX
