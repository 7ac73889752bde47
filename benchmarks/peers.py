"""One client library for each function, behind the same three calls, so that the same loop measures all of them."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"
LIMITER = (Path(__file__).parent / "limiter.lua").read_text(encoding="utf-8")
LIMIT = ("100", "1000", "100")


class Calls(NamedTuple):
    """What is measured."""

    get: Callable[[str], Awaitable[object]]
    put: Callable[[str, str], Awaitable[object]]
    limit: Callable[[str], Awaitable[object]]
    """One limiter decision by EVALSHA (or what the library does for scripts)."""


class Place(NamedTuple):
    """Where the server is."""

    port: int
    password: str
    tls_port: int
    authority: str


@contextlib.asynccontextmanager
async def ours(place: Place, *, tls: bool = False) -> AsyncIterator[Calls]:
    """rppam's own client, the whole layer: link, deadlines, classification."""
    from rppam.kernel.secret import Secret
    from rppam.kernel.system_clock import SystemClock
    from rppam.kernel.system_entropy import SystemEntropy
    from rppam.redis.connection import Script
    from rppam.redis.link import Link
    from rppam.redis.options import LinkOptions

    options = LinkOptions(
        endpoints=((HOST, place.tls_port if tls else place.port),),
        password=Secret(place.password),
        ssl=ssl.create_default_context(cafile=place.authority) if tls else None,
    )
    link = Link(options, clock=SystemClock(), entropy=SystemEntropy())
    script = Script.of("limiter", LIMITER)
    await link.start()
    yield Calls(
        lambda key: link.command("GET", key),
        lambda key, value: link.command("SET", key, value),
        lambda key: link.run_script(script, [key], list(LIMIT)),
    )
    await link.stop()


@contextlib.asynccontextmanager
async def ours_tls(place: Place) -> AsyncIterator[Calls]:
    """The same over TLS."""
    async with ours(place, tls=True) as calls:
        yield calls


@contextlib.asynccontextmanager
async def redis_py(place: Place) -> AsyncIterator[Calls]:
    """redis-py with hiredis and its default pool, without its hidden retries."""
    import redis.asyncio
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    client = redis.asyncio.Redis(port=place.port, password=place.password, retry=Retry(NoBackoff(), 0))
    sha = await client.script_load(LIMITER)
    yield Calls(client.get, client.set, lambda key: client.evalsha(sha, 1, key, *LIMIT))
    await client.aclose()


@contextlib.asynccontextmanager
async def coredis_(place: Place) -> AsyncIterator[Calls]:
    """coredis, its default pool."""
    import coredis

    async with coredis.Redis(port=place.port, password=place.password) as client:
        sha = await client.script_load(LIMITER)
        yield Calls(client.get, client.set, lambda key: client.evalsha(sha, keys=[key], args=list(LIMIT)))


@contextlib.asynccontextmanager
async def glide(place: Place) -> AsyncIterator[Calls]:
    """valkey-glide: a Rust core on one connection."""
    from glide import GlideClient, GlideClientConfiguration, NodeAddress, Script, ServerCredentials

    client = await GlideClient.create(
        GlideClientConfiguration(
            [NodeAddress(HOST, place.port)],
            credentials=ServerCredentials(place.password),
            request_timeout=5_000,
            inflight_requests_limit=5_000,
        )
    )
    script = Script(LIMITER)
    yield Calls(client.get, client.set, lambda key: client.invoke_script(script, keys=[key], args=list(LIMIT)))
    await client.close()


PEERS: dict[str, tuple[Callable[[Place], contextlib.AbstractAsyncContextManager[Calls]], str]] = {
    # name in the table: (how to open it, event loop)
    "rppam, asyncio": (ours, "asyncio"),
    "rppam, uvloop": (ours, "uvloop"),
    "rppam over TLS, uvloop": (ours_tls, "uvloop"),
    "redis-py, asyncio": (redis_py, "asyncio"),
    "redis-py, uvloop": (redis_py, "uvloop"),
    "valkey-glide, asyncio": (glide, "asyncio"),
    "valkey-glide, uvloop": (glide, "uvloop"),
    "coredis, asyncio": (coredis_, "asyncio"),
}
