"""A server that speaks the protocol and answers what no Redis would: an error of the store, or a miss, and no more."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rppam.cache.model import CacheKey, Kind
from rppam.cache.redis_store import CacheStore
from rppam.cache.sealing import Sealer
from rppam.cluster.consensus.record import vacant
from rppam.cluster.store.ports import ExchangeOrder, StoreListener
from rppam.cluster.store.redis_store import RedisLeadershipStore
from rppam.kernel.limit import Charge, Limit, Shape
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock, boot_ns
from rppam.limits.redis_store import RedisLimits
from rppam.redis.errors import StoreProtocol
from rppam.redis.link import Link
from tests.redis.conftest import MakeLink
from tests.support.strange_redis import answering, scripted

pytestmark = pytest.mark.integration

ORDER = ExchangeOrder(None, vacant(4, "c" * 16), vacant(3, "c" * 16), None)
RECORD = b"rppam1 vacant - 0000000000000000 0 0 0123456789abcdef"
FINE = (b":1", b":0", b"$%d\r\n%b" % (len(RECORD), RECORD), b"$0\r\n", b"$0\r\n", b"*0", b":1790000000000")
STRANGE = (
    *(b",inf", b",-inf", b",nan", b",1.5", b"#t", b"_", b"*0", b"%1\r\n+a\r\n:1", b"+text"),
    b"(99999999999999999999999999",
)
TEXTS = (b"+text", STRANGE[-1])
"""Read as texts: right where one is expected."""


def listed(parts: tuple[bytes, ...]) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(part + b"\r\n" for part in parts)


async def started(make_link: MakeLink, port: int) -> Link:
    link: Link = make_link(port)
    await link.start()
    return link


def store_on(link: Link, foreign: Callable[[str], None] = lambda _: None, **more: Any) -> RedisLeadershipStore:
    return RedisLeadershipStore(link, "rppam:", "lab", "node1", foreign, **more)


async def test_no_answer_of_the_exchange_is_more_than_an_error_of_the_store(make_link: MakeLink) -> None:
    said = listed(FINE)
    async with scripted(answering(lambda _: said)) as port:
        store = store_on(await started(make_link, port))
        assert (await store.exchange(ORDER, 10_000)).store_wall_ms == 1_790_000_000_000
        for place, right in enumerate(FINE):
            for odd in STRANGE:
                if odd == right or (place in {3, 4} and odd in TEXTS):
                    continue
                said = listed((*FINE[:place], odd, *FINE[place + 1 :]))
                with pytest.raises(StoreProtocol):
                    await store.exchange(ORDER, 10_000)
        for odd in (*STRANGE, listed(FINE[:-1]), listed((*FINE[:5], b"*1\r\n+a", FINE[6]))):
            said = odd if odd.endswith(b"\r\n") else odd + b"\r\n"
            with pytest.raises(StoreProtocol):
                await store.exchange(ORDER, 10_000)


@pytest.mark.parametrize("confirmed", [b",inf", b"_", b"+one", b"#t"])
async def test_a_count_of_replicas_that_is_none_is_an_error_of_the_store(make_link: MakeLink, confirmed: bytes) -> None:
    async with scripted(answering(lambda words: confirmed + b"\r\n" if words[0] == b"WAIT" else listed(FINE))) as port:
        store = store_on(await started(make_link, port), replicas=1)
        with pytest.raises(StoreProtocol, match="the replicas that confirmed; expected a whole number"):
            await store.exchange(ORDER, 10_000)


@pytest.mark.parametrize("page", [b"+OK", b"_", b":1", b"*1\r\n$1\r\n0", b"*2\r\n:0\r\n*0", b"*2\r\n$1\r\n0\r\n_"])
async def test_a_search_for_other_prefixes_that_is_answered_strangely_keeps_no_node_out(
    make_link: MakeLink, page: bytes
) -> None:
    claim = {b"GET": b"$3\r\nlab\r\n", b"SCAN": page + b"\r\n"}
    async with scripted(answering(lambda words: claim.get(words[0], b"+OK\r\n"))) as port:
        foreign: list[str] = []
        store, up = store_on(make_link(port), foreign.append), asyncio.Event()
        await store.start(StoreListener(lambda *_: up.set(), lambda *_: None, lambda: None))
        async with asyncio.timeout(30):
            await up.wait()
        assert foreign == []


async def test_a_copy_that_is_answered_strangely_is_a_miss_and_is_counted(
    make_link: MakeLink, caplog: pytest.LogCaptureFixture
) -> None:
    key, sealer = CacheKey(Kind.SESSION, "s1"), Sealer(Secret("ab" * 32), "lab", "rppam:cache:")
    said = b""
    async with scripted(answering(lambda _: said)) as port:
        link = await started(make_link, port)
        store = CacheStore(link, (sealer,), SystemClock(), boot_ns, replicas=0)
        answers = [
            *(listed((b"$1\r\nx", odd)) for odd in STRANGE),
            *(listed((odd, b":70000")) for odd in STRANGE),
            *(odd + b"\r\n" for odd in STRANGE if odd != b"_"),
            *(listed((b"$1\r\nx",)), b"+type\r\n", b"+size\r\n"),
        ]
        for said in answers:
            found = await store.read(key, store.place(key))
            assert (found.copy, found.life_ms) == (None, 0), said
        assert store.counts.unusable == len(answers)
        said = b"_\r\n"
        assert (await store.read(key, store.place(key))).copy is None
        assert store.counts.missing == 1
    assert "something that is not its answer" in caplog.text


@pytest.mark.parametrize("odd", STRANGE)
async def test_a_decision_that_is_none_is_an_error_of_the_store(make_link: MakeLink, odd: bytes) -> None:
    async with scripted(answering(lambda _: listed((b":1", b":1", odd, b":0", b":0")))) as port:
        limits = RedisLimits(await started(make_link, port), "rppam:", b"k" * 32)
        with pytest.raises(StoreProtocol):
            await limits.take([Charge(Limit("login", Shape.WINDOW, 5, 60_000), "ann")])
