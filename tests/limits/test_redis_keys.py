"""A flood of subjects that nobody has seen before, counted in a real Redis: small keys, each with an end.

``LIMIT_KEYS=1000000`` in the environment makes it a million (some minutes); 10,000 otherwise. Each key costs the same,
so what is asserted of one holds for any number.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

from rppam.kernel.limit import Charge, Limit, Shape
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.limits.redis_store import RedisLimits
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions
from tests.support.cached import until
from tests.support.raw_redis import Raw
from tests.support.redis_servers import PASSWORD, Server, available, missing

KEYS: Final = int(os.environ.get("LIMIT_KEYS", "10000"))
AT_ONCE: Final = 500
KEY_BYTES_MAX: Final = 400
"""Name, text, and what Redis itself needs for both and for the end."""
LIFE_MS_MAX: Final = 990_000
"""A window of 15 minutes, and the tenth by which it is forgotten late."""
LONG: Final = (
    Limit("login-user", Shape.WINDOW, 10, 900_000),
    Limit("api-address", Shape.SMOOTH, 1, 900_000),
)
SHORT: Final = Limit("login-user", Shape.WINDOW, 10, 1_000)
PAGE: Final = """
local least, most = math.huge, -1
for _, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  least, most = math.min(least, left), math.max(most, left)
end
return { least, most }
"""

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.timeout(max(300, KEYS // 200))]


@pytest.fixture
def redis() -> Iterator[Server]:
    kinds = available()
    if not kinds:
        missing("no Redis-protocol server is on this machine: make dev")
    with Server(kinds[-1]) as running:
        yield running


@pytest.fixture
async def limits(redis: Server) -> AsyncIterator[RedisLimits]:
    options = LinkOptions(
        endpoints=((redis.host, redis.port),), password=Secret(PASSWORD), command_timeout_ms=120_000
    )  # fmt: skip
    link = Link(options, clock=SystemClock(), entropy=SystemEntropy())
    await link.start()
    yield RedisLimits(link, "rppam:", b"k" * 32)
    await link.stop()


async def flood(limits: RedisLimits, limit: Limit) -> None:
    """So many subjects, each once."""
    for start in range(0, KEYS, AT_ONCE):
        subjects = [f"{number}" for number in range(start, min(start + AT_ONCE, KEYS))]
        decisions = await asyncio.gather(*(limits.take([Charge(limit, subject)]) for subject in subjects))
        assert all(decision.allowed for decision in decisions)


def told(raw: Raw, section: str) -> dict[str, str]:
    lines = raw("INFO", section).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def used(raw: Raw) -> int:
    return int(told(raw, "memory")["used_memory"])


def lives(raw: Raw) -> tuple[int, int]:
    """The shortest and the longest time that any key has left, in ms."""
    least, most, cursor = LIFE_MS_MAX, 0, b"0"
    while True:
        cursor, names = raw("SCAN", cursor, "COUNT", 1_000)
        found: Any = raw("EVAL", PAGE, len(names), *names) if names else [least, most]
        least, most = min(least, found[0]), max(most, found[1])
        if cursor == b"0":
            return least, most


@pytest.mark.parametrize("limit", LONG, ids=lambda limit: str(limit.shape))
async def test_each_subject_costs_one_small_key_with_an_end(limits: RedisLimits, redis: Server, limit: Limit) -> None:
    with Raw(redis) as raw:
        before = used(raw)
        await flood(limits, limit)
        per_key = (used(raw) - before) / KEYS
        assert raw("DBSIZE") == KEYS
        least, most = lives(raw)
    assert 0 < least <= most <= LIFE_MS_MAX
    assert per_key <= KEY_BYTES_MAX


async def test_after_their_time_nothing_is_left_of_them(limits: RedisLimits, redis: Server) -> None:
    with Raw(redis) as raw:
        before = used(raw)
        await flood(limits, SHORT)
        await until(lambda: raw("DBSIZE") == 0, within_s=120)
        assert used(raw) - before < KEYS * KEY_BYTES_MAX / 10 + 4_000_000
