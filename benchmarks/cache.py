"""The shared cache: what a hit, a cold read and a change cost, beside other libraries and the limit, in one run.

    python benchmarks/cache.py [--rounds 5] [--changes 1000] [--sessions 100000] [--json] [--write FILE]

One real server, loopback only, uvloop. Every round runs every candidate once, in turn; the tables show medians of the
rounds and ratios to the limit in the same run. A round is cut into short pieces of which the median counts, so that
other load on the machine moves the figures little. Ends in two minutes; with ``--sessions 1000000`` in some more.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

import uvloop

from benchmarks.c_client import benchmark_get_us
from benchmarks.machine import facts, load, machine
from benchmarks.token_check import token_check
from rppam.access.sessions.model import Session, SessionKind, fact_bytes, read_session, token_hash
from rppam.cache.coherence import Coherence, Room
from rppam.cache.model import CacheKey, Copy, Kind
from rppam.cache.redis_cache import RedisCache, RedisReader
from rppam.cache.sealing import Sealer
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock, boot_ns
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions
from tests.support.redis_servers import SERVERS, Server

PASSWORD: Final = "benchmark"
PREFIX: Final = "rppam:cache:"
LIFE_MS: Final = 15 * 60_000
BUSY: Final = (
    "More work waited for the processors than there are: in whatever goes to Redis the turns of others are measured, "
    "too. Figures of hits, and of memory, hold.\n"
)
PIECE: Final = 1_000
HIT_X: Final = 10.0
"""A near hit costs at most so many dictionary look-ups."""
CLIENT_SIDE_X: Final = 100.0
"""It is so many times faster than redis-py's own client-side cache."""
INVALIDATION_P99_MS: Final = 3.0
GROWTH_X: Final = 1.25
"""Caches of the processor miss more often in a large dictionary, too: growth is judged beside its."""


def session(number: int) -> Copy:
    """A session as the product caches it."""
    fact = Session(
        id=f"{number:032x}",
        user_id=f"{number:032x}",
        subject=f"person.number{number}",
        kind=SessionKind.LOGIN,
        auth_epoch=1,
        mfa=True,
        expires_at=WallMs(1_800_000_000_000),
        ended=False,
    )
    return Copy(1, fact_bytes(fact))


class Node:
    """One process's cache on a link of its own."""

    def __init__(self, port: int, room: Room | None = None) -> None:
        options = LinkOptions(endpoints=(("127.0.0.1", port),), password=Secret(PASSWORD))
        self.link = Link(options, clock=SystemClock(), entropy=SystemEntropy())
        self.cache = RedisCache(
            self.link,
            (Sealer(Secret("5e" * 32), "bench", PREFIX),),
            PREFIX,
            clock=SystemClock(),
            now_ns=boot_ns,
            coherence=Coherence(boot_ns, room),
        )
        self.cache.informed()
        self.sql: dict[str, Copy] = {}
        self.sessions: RedisReader[Session] = self.cache.reader(
            Kind.SESSION, lambda copy: read_session(copy.value), self._load
        )

    async def _load(self, ident: str) -> tuple[Copy, int] | None:
        copy = self.sql.get(ident)
        return None if copy is None else (copy, LIFE_MS)

    async def put(self, ident: str, copy: Copy) -> None:
        """Into Redis, as after a change."""
        await self.cache.store.put(CacheKey(Kind.SESSION, ident), copy, LIFE_MS)


@asynccontextmanager
async def node(port: int, room: Room | None = None) -> AsyncIterator[Node]:
    """A node whose link is up and proven."""
    one = Node(port, room)
    await one.link.start()
    async with asyncio.timeout(30):
        while not one.cache.coherence.is_proven:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
    yield one
    one.cache.stop()
    await one.link.stop()


# --- how long one call takes ------------------------------------------------------------------------------------------


def pieces_ns(call: Callable[[str], object], idents: list[str], seconds: float) -> float:
    """Median of short pieces, in ns for one call."""
    taken = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        for ident in idents:
            call(ident)
        taken.append((time.perf_counter() - began) / len(idents))
    return statistics.median(taken) * 1e9


async def awaited_ns(call: Callable[[str], Awaitable[object]], ident: str, seconds: float, piece: int = 1) -> float:
    """The same for what is awaited."""
    taken = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        for _ in range(piece):
            await call(ident)
        taken.append((time.perf_counter() - began) / piece)
    return statistics.median(taken) * 1e9


async def hits(server: Server, rounds: int, seconds: float) -> dict[str, float]:
    """A hit of one key: ns, for each candidate."""
    import redis.asyncio
    from cashews import Cache
    from redis.cache import CacheConfig

    import redis

    ident = token_hash("one")
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(node(server.port))
        ours.sql[ident] = session(1)
        while ours.sessions.hit(ident) is None:
            await ours.sessions.get(ident)
            await asyncio.sleep(0.01)
        plain = {ident: ours.sessions.hit(ident)}
        tracked = redis.Redis(port=server.port, password=PASSWORD, protocol=3, cache_config=CacheConfig())
        tracked.set("k", session(1).value)
        bare = redis.asyncio.Redis(port=server.port, password=PASSWORD)
        cashews = Cache()
        cashews.setup(f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0", client_side=True)
        await cashews.set("k", session(1).value, expire="10m")
        find, hit, same = plain.get, ours.sessions.hit, [ident] * PIECE
        check = await stack.enter_async_context(token_check(ours.cache))
        found: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, figure in (
                ("dict.get (the limit)", pieces_ns(find, same, seconds)),
                ("rppam near cache", pieces_ns(hit, same, seconds)),
                ("rppam, whole check of a token", pieces_ns(check, same, seconds)),
                ("rppam near cache, awaited", await awaited_ns(ours.sessions.get, ident, seconds, PIECE)),
                ("cashews, client-side", await awaited_ns(cashews.get, "k", seconds, 100)),
                ("redis-py, client-side cache", pieces_ns(tracked.get, ["k"] * 50, seconds)),
                ("redis-py, GET without a cache", await awaited_ns(bare.get, "k", seconds)),
            ):
                found.setdefault(name, []).append(figure)
        assert ours.sessions.hit(ident) is not None
        tracked.close()
        await bare.aclose()
        await cashews.close()
    return {name: statistics.median(figures) for name, figures in found.items()}


async def cold(server: Server, rounds: int, seconds: float) -> dict[str, float]:
    """A read that has to go to Redis: us."""
    ident = token_hash("cold")
    found: dict[str, list[float]] = {}
    async with node(server.port) as ours:
        await ours.put(ident, session(1))
        await ours.link.command("SET", "k", session(1).value)

        async def get(_: str) -> object:
            return await ours.link.command("GET", "k")

        async def read(which: str) -> object:
            ours.cache.coherence.flushed()
            return await ours.sessions.get(which)

        async def from_sql(_: str) -> object:
            ours.sql[which := token_hash(str(random.random()))] = session(1)
            return await ours.sessions.get(which)

        for _ in range(rounds):
            for name, call in (
                ("bare GET (the limit)", get),
                ("rppam, from Redis", read),
                ("rppam, from SQL and put into Redis", from_sql),
            ):
                found.setdefault(name, []).append(await awaited_ns(call, ident, seconds) / 1000)
            c_client = await asyncio.to_thread(benchmark_get_us, server.port, PASSWORD, seconds)
            found.setdefault("redis-benchmark GET, one connection", []).append(c_client)
        counts = ours.cache.counts
        assert counts.unusable == counts.failed == 0
        assert counts.found > 0
    return {name: statistics.median(figures) for name, figures in found.items()}


async def invalidations(server: Server, changes: int) -> dict[str, float]:
    """From the call of ``publish`` on one link to the last of two others having dropped its copy: ms."""
    ident, delays, acknowledged = token_hash("changed"), [], []
    async with AsyncExitStack() as stack:
        a, b, c = [await stack.enter_async_context(node(server.port)) for _ in range(3)]
        seen: list[float] = []
        for other in (b, c):
            other.cache.on_change(lambda _: seen.append(time.perf_counter()))
        key, copy = CacheKey(Kind.SESSION, ident), session(1)
        for revision in range(1, changes + 1):
            copy = Copy(revision, copy.value)
            for one in (a, b, c):
                one.sql[ident] = copy
            while b.sessions.hit(ident) is None or c.sessions.hit(ident) is None:
                await b.sessions.get(ident)
                await c.sessions.get(ident)
                await asyncio.sleep(0)
            seen.clear()
            began = time.perf_counter()
            assert await a.cache.publish(key, Copy(revision + 1, copy.value), LIFE_MS)
            acknowledged.append((time.perf_counter() - began) * 1000)
            while b.sessions.hit(ident) is not None or c.sessions.hit(ident) is not None:  # noqa: ASYNC110
                await asyncio.sleep(0)
            delays.append((max(seen[-2:]) - began) * 1000)
    delays.sort()
    return {
        "changes": changes,
        "acknowledgedP50Ms": statistics.median(acknowledged),
        "p50Ms": statistics.median(delays),
        "p99Ms": delays[int(len(delays) * 0.99)],
        "maxMs": delays[-1],
    }


async def growth(server: Server, most: int, seconds: float) -> list[dict[str, float]]:
    """Memory for each session, and the time of a check, as there are more and more."""
    results = []
    count = 1_000
    server.ask("FLUSHALL")
    empty = used_memory(server)
    idents: list[str] = []
    async with node(server.port, Room(entries=2 * most, size=1 << 40)) as ours, node(server.port) as other:
        while count <= most:
            fresh = [token_hash(str(number)) for number in range(len(idents), count)]
            for start in range(0, len(fresh), 500):
                await asyncio.gather(*(other.put(ident, session(start)) for ident in fresh[start : start + 500]))
            idents += fresh
            await ours.link.command("PING")
            gc.collect()
            tracemalloc.start()
            for start in range(0, len(fresh), 500):
                await asyncio.gather(*(ours.sessions.get(ident) for ident in fresh[start : start + 500]))
            gc.collect()
            near = tracemalloc.get_traced_memory()[0] / max(1, len(fresh))
            tracemalloc.stop()
            asked = random.Random(1).choices(idents, k=PIECE)
            plain = dict.fromkeys(idents, object())
            while not all(ours.sessions.hit(ident) for ident in asked):  # a busy machine may have cost the proof
                await asyncio.gather(*(ours.sessions.get(ident) for ident in asked))
                await asyncio.sleep(0.01)

            async def read(_: str, known: list[str] = idents) -> object:
                other.cache.coherence.flushed()
                return await other.sessions.get(random.choice(known))

            results.append(
                {
                    "sessions": count,
                    "redisBytes": (used_memory(server) - empty) / count,
                    "nearBytes": near,
                    "dictNs": pieces_ns(plain.get, asked, seconds),
                    "hitNs": pieces_ns(ours.sessions.hit, asked, seconds),
                    "coldUs": await awaited_ns(read, "", seconds) / 1000,
                }
            )
            count *= 10
    return results


def used_memory(server: Server) -> int:
    """Bytes that Redis uses."""
    found = next(line for line in server.ask("INFO", "memory").splitlines() if line.startswith(b"used_memory:"))
    return int(found.partition(b":")[2])


# --- telling ----------------------------------------------------------------------------------------------------------


def page(found: dict[str, Any]) -> str:
    """The Markdown page."""
    hit, cold_us, told = found["hits"], found["cold"], found["invalidation"]
    limit, bare = hit["dict.get (the limit)"], cold_us["bare GET (the limit)"]
    ours, tracked = hit["rppam near cache"], hit["redis-py, client-side cache"]
    first, last = found["growth"][0], found["growth"][-1]
    grown = (last["hitNs"] / last["dictNs"]) / (first["hitNs"] / first["dictNs"])
    lines = [
        "# The shared cache, measured\n",
        "Written by `python benchmarks/cache.py --write docs/reference/benchmarks-cache.md`. Medians of "
        f"{found['rounds']} rounds; columns `x` are ratios to the limit in the same run.\n",
        facts(found["machine"]) + "\n",
        *((BUSY,) if found["busy"] else ()),
        "| A hit of one key | ns | x |\n|---|---|---|",
        *(f"| {name} | {ns:,.0f} | {ns / limit:,.1f} |" for name, ns in hit.items()),
        "\n| A read that misses near | us, p50 | x |\n|---|---|---|",
        *(f"| {name} | {us:,.0f} | {us / bare:,.1f} |" for name, us in cold_us.items()),
        "\nA change on one link, until both others have dropped their copy (three links of one process, "
        f"{told['changes']:,} changes): p50 {told['p50Ms']:.2f} ms, p99 {told['p99Ms']:.2f} ms, "
        f"max {told['maxMs']:.2f} ms; Redis acknowledged it after {told['acknowledgedP50Ms']:.2f} ms (p50).\n",
        "| Sessions | bytes in Redis, each | bytes near, each | dict.get, ns | near hit, ns | x | cold read, us |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row['sessions']:,} | {row['redisBytes']:,.0f} | {row['nearBytes']:,.0f} | {row['dictNs']:,.0f} "
            f"| {row['hitNs']:,.0f} | {row['hitNs'] / row['dictNs']:,.1f} | {row['coldUs']:,.0f} |"
            for row in found["growth"]
        ),
        "\n| Target | measured | met |\n|---|---|---|",
        _target(f"near hit: at most {HIT_X:.0f} x dict.get", ours / limit, ours / limit <= HIT_X),
        _target(
            f"near hit: at least {CLIENT_SIDE_X:.0f} x faster than redis-py's client-side cache",
            tracked / ours,
            tracked / ours >= CLIENT_SIDE_X,
        ),
        _target(
            f"near hit, {last['sessions']:,} sessions: at most {GROWTH_X:g} x the growth of dict.get over 1,000",
            grown,
            grown <= GROWTH_X,
        ),
        _target(
            f"invalidation: p99 at most {INVALIDATION_P99_MS:.0f} ms",
            told["p99Ms"],
            told["p99Ms"] <= INVALIDATION_P99_MS,
        ),
    ]
    return "\n".join(lines) + "\n"


def _target(name: str, measured: float, met: bool) -> str:
    return f"| {name} | {measured:,.1f} | {'yes' if met else 'no'} |"


async def measure(rounds: int, seconds: float, changes: int, sessions: int) -> dict[str, Any]:
    """All of it, on a server of its own."""
    kind = next(kind for kind in SERVERS if kind.find() is not None and kind.name != "redis-6.2")
    with Server(kind, "--appendonly", "no", password=PASSWORD) as server:
        known = next(
            line.decode() for line in server.ask("INFO", "server").splitlines() if line.startswith(b"redis_version")
        )
        about = machine() | {
            "server": f"{kind.name} ({known.replace(':', ' ')})",
            "libraries": ", ".join(f"{name} {version(name)}" for name in ("hiredis", "uvloop", "redis", "cashews")),
        }
        found: dict[str, Any] = {"rounds": rounds, "machine": about}
        found["hits"] = await hits(server, rounds, seconds)
        found["cold"] = await cold(server, rounds, seconds)
        found["invalidation"] = await invalidations(server, changes)
        found["growth"] = await growth(server, sessions, seconds)
    about["load after"] = load()
    found["busy"] = os.getloadavg()[0] > (os.cpu_count() or 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="for each figure of a round")
    parser.add_argument("--changes", type=int, default=1_000)
    parser.add_argument("--sessions", type=int, default=100_000, help="most sessions: 1000, 10000, ... up to this")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", type=Path, help="write the page there")
    options = parser.parse_args()
    found = uvloop.run(measure(options.rounds, options.seconds, options.changes, options.sessions))
    text = page(found)
    print(json.dumps(found, indent=2) if options.json else text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
