"""One rate limiter for each function, behind the same call: was this event of this key let in?"""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NamedTuple

HOST: Final = "127.0.0.1"
Hit = Callable[[str], Awaitable[bool]]


class Place(NamedTuple):
    """Where the server is."""

    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{HOST}:{self.port}/0"


@contextlib.asynccontextmanager
async def _ours(place: Place, events: int, period_s: int, shape: str, count: int = 1) -> AsyncIterator[Hit]:
    """The whole layer: link, deadlines, hashed keys, script. ``count`` limits are charged at once."""
    from rppam.kernel.limit import Charge, Limit, Shape
    from rppam.kernel.secret import Secret
    from rppam.kernel.system_clock import SystemClock
    from rppam.kernel.system_entropy import SystemEntropy
    from rppam.limits.redis_store import RedisLimits
    from rppam.redis.link import Link
    from rppam.redis.options import LinkOptions

    options = LinkOptions(
        endpoints=((HOST, place.port),), password=Secret(place.password), command_timeout_ms=30_000
    )  # fmt: skip
    link = Link(options, clock=SystemClock(), entropy=SystemEntropy())
    await link.start()
    limits = RedisLimits(link, "bench:", b"k" * 32)
    kinds = [Limit(f"l{number}", Shape(shape), events, period_s * 1000) for number in range(count)]

    async def hit(key: str) -> bool:
        return (await limits.take([Charge(kind, key) for kind in kinds])).allowed

    yield hit
    await link.stop()


def ours_window(place: Place, events: int, period_s: int) -> contextlib.AbstractAsyncContextManager[Hit]:
    return _ours(place, events, period_s, "window")


def ours_smooth(place: Place, events: int, period_s: int) -> contextlib.AbstractAsyncContextManager[Hit]:
    return _ours(place, events, period_s, "smooth")


def ours_four(place: Place, events: int, period_s: int) -> contextlib.AbstractAsyncContextManager[Hit]:
    return _ours(place, events, period_s, "smooth", 4)


@contextlib.asynccontextmanager
async def ours_batched(place: Place, events: int, period_s: int) -> AsyncIterator[Hit]:
    """As the API uses it: tokens are taken ahead, a thousandth of the limit at most, and spent from memory."""
    from rppam.kernel.limit import Charge, Limit, Shape
    from rppam.kernel.secret import Secret
    from rppam.kernel.system_clock import SystemClock
    from rppam.kernel.system_entropy import SystemEntropy
    from rppam.limits.limiter import Limiter, MemoryLimits
    from rppam.limits.redis_store import RedisLimits
    from rppam.redis.link import Link
    from rppam.redis.options import LinkOptions

    options = LinkOptions(
        endpoints=((HOST, place.port),), password=Secret(place.password), command_timeout_ms=30_000
    )  # fmt: skip
    clock = SystemClock()
    link = Link(options, clock=clock, entropy=SystemEntropy())
    await link.start()
    limiter = Limiter(RedisLimits(link, "bench:", b"k" * 32), MemoryLimits(clock), clock, lambda: 1)
    limit = Limit("requests", Shape("smooth"), events, period_s * 1000)

    async def hit(key: str) -> bool:
        charges = [Charge(limit, key)]
        found = limiter.near(charges)
        return (found if found is not None else await limiter.take(charges)).allowed

    yield hit
    await link.stop()


@contextlib.asynccontextmanager
async def _limits(place: Place, events: int, period_s: int, strategy: str) -> AsyncIterator[Hit]:
    from limits.aio import strategies
    from limits.aio.storage import RedisStorage

    from limits import RateLimitItemPerSecond

    storage = RedisStorage(f"async+{place.url}", implementation="redispy")
    limiter = getattr(strategies, strategy)(storage)
    item = RateLimitItemPerSecond(events, period_s)
    yield lambda key: limiter.hit(item, key)


def limits_sliding(place: Place, events: int, period_s: int) -> contextlib.AbstractAsyncContextManager[Hit]:
    return _limits(place, events, period_s, "SlidingWindowCounterRateLimiter")


def limits_moving(place: Place, events: int, period_s: int) -> contextlib.AbstractAsyncContextManager[Hit]:
    return _limits(place, events, period_s, "MovingWindowRateLimiter")


def limits_fixed(place: Place, events: int, period_s: int) -> contextlib.AbstractAsyncContextManager[Hit]:
    return _limits(place, events, period_s, "FixedWindowRateLimiter")


@contextlib.asynccontextmanager
async def throttled_gcra(place: Place, events: int, period_s: int) -> AsyncIterator[Hit]:
    from datetime import timedelta

    from throttled.asyncio import Throttled, rate_limiter, store

    quota = rate_limiter.per_duration(timedelta(seconds=period_s), events, burst=events)
    limiter = Throttled(using="gcra", quota=quota, store=store.RedisStore(server=place.url))

    async def hit(key: str) -> bool:
        return not (await limiter.limit(key)).limited

    yield hit


@contextlib.asynccontextmanager
async def pyrate(place: Place, events: int, period_s: int) -> AsyncIterator[Hit]:
    import redis.asyncio
    from pyrate_limiter import Rate, RateItem, RedisBucket

    client = redis.asyncio.Redis(port=place.port, password=place.password)
    buckets: dict[str, RedisBucket] = {}

    async def hit(key: str) -> bool:
        bucket = buckets.get(key)
        if bucket is None:
            made = RedisBucket.init([Rate(events, period_s * 1000)], client, f"pyrate:{key}")
            bucket = buckets[key] = await made
        return bool(await bucket.put(RateItem(key, time.time_ns() // 1_000_000)))

    yield hit
    await client.aclose()


AS_USED: Final = "rppam, as the API uses it"
OURS: Final = "rppam, sliding window"
LIMITERS: Final = {
    OURS: ours_window,
    "rppam, smooth": ours_smooth,
    "rppam, four limits at once": ours_four,
    AS_USED: ours_batched,
    "limits, sliding window counter": limits_sliding,
    "limits, moving window": limits_moving,
    "limits, fixed window": limits_fixed,
    "throttled-py, GCRA": throttled_gcra,
    "pyrate-limiter": pyrate,
}
