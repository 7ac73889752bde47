"""A server that announces too much, pushes without end, or takes no more clients: each with its own error."""

import asyncio
import time

import pytest

from rppam.doctor.diagnosis import failure_finding
from rppam.redis.errors import StoreFull, StorePushFlood, StoreReplyTooLarge, StoreUnknown
from rppam.redis.options import LEASE
from tests.redis.conftest import MakeLink, Open, eventually
from tests.support.redis_servers import Server
from tests.support.strange_redis import answering, scripted

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("said", [b"*2147483647\r\n", b">1000000000\r\n", b"%2147483647\r\n", b"$2147483647\r\n"])
async def test_a_reply_beyond_the_limits_ends_the_connection_at_once_with_its_code(
    make_link: MakeLink, said: bytes
) -> None:
    async with scripted(answering(lambda _: said)) as port:
        link = make_link(port, limits=LEASE)
        await link.start()
        began = time.perf_counter()
        with pytest.raises(StoreUnknown):
            await link.command("GET", "a")
        assert time.perf_counter() - began < 1.0
        assert isinstance(link.status.failure, StoreReplyTooLarge)
        assert f"127.0.0.1:{port}" in link.status.reason
        assert failure_finding(link.status.failure, with_tls=False).code == "RD-114"


async def test_a_link_comes_back_slowly_to_a_server_that_lies_each_time(make_link: MakeLink) -> None:
    entered = 0
    asking: list[asyncio.Task[None]] = []

    def answer(_words: list[bytes]) -> bytes:
        return b"*2147483647\r\n"

    async with scripted(answering(answer)) as port:
        link = make_link(port, limits=LEASE, reconnect_cap_ms=100)

        def came(_connection: object) -> None:
            nonlocal entered
            entered += 1
            asking.append(asyncio.create_task(ask()))

        async def ask() -> None:
            with pytest.raises(StoreUnknown):
                await link.command("GET", "a")

        link.on_up(came)
        await link.start()
        await asyncio.sleep(2.0)
        assert 2 <= entered <= 5  # 250 to 500 ms, then twice that ... ; without it some twenty times


async def test_pushes_without_end_end_the_connection_with_their_code(make_link: MakeLink) -> None:
    push = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"
    async with scripted(answering(lambda _: push * 5_000 + b"+OK\r\n")) as port:
        link = make_link(port, limits=LEASE)
        await link.start()
        with pytest.raises(StoreUnknown):
            await link.command("GET", "a")
        assert isinstance(link.status.failure, StorePushFlood)
        assert failure_finding(link.status.failure, with_tls=False).code == "RD-115"


async def test_as_many_clients_as_it_takes_is_told_as_that_each_time(
    redis: Server, open_: Open, make_link: MakeLink
) -> None:
    first = await open_(redis.port)
    await first.command("CONFIG", "SET", "maxclients", 1, timeout_ms=1_000)
    for _ in range(50):
        with pytest.raises(StoreFull, match=r"max number of clients reached.*CLIENT LIST"):
            await open_(redis.port)
    link = make_link(redis.port, abort_connect=False, reconnect_cap_ms=50)
    await link.start()
    reasons = set()
    for _ in range(30):
        reasons.add(link.status.reason)
        await asyncio.sleep(0.02)
    assert len(reasons) == 1
    assert isinstance(link.status.failure, StoreFull)
    assert failure_finding(link.status.failure, with_tls=False).code == "RD-211"
    await first.command("CONFIG", "SET", "maxclients", 100, timeout_ms=1_000)
    await eventually(lambda: link.is_connected, within_s=5)


async def test_bytes_that_make_no_reply_are_not_taken_for_a_living_server(make_link: MakeLink) -> None:
    async with scripted(_dribbling) as port:
        link = make_link(port, command_timeout_ms=200, silence_ms=200)
        await link.start()
        with pytest.raises(StoreUnknown):
            await link.command("GET", "a")
        await eventually(lambda: "has not finished a reply" in link.status.reason, within_s=5)


async def _dribbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greets as it should, and then sends a byte of an answer now and then."""
    dribbles: list[asyncio.Task[None]] = []

    async def drip() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.05)

    def answer(_words: list[bytes]) -> bytes:
        dribbles.append(asyncio.create_task(drip()))
        return b"$1000\r\n"

    try:
        await answering(answer)(reader, writer)
    finally:
        for one in dribbles:
            one.cancel()
