"""A link whose source changes its mind: in the middle of an attempt, while connected, and before anything was tried."""

import asyncio
from typing import ClassVar

import pytest

from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.endpoint_provider import DirectEndpoints, Follower
from rppam.redis.errors import StoreDown, StoreError, StoreNoReplicas, StoreReplyError, StoreUnknown, StoreUnreachable
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions, Target
from tests.redis.conftest import eventually
from tests.support.redis_servers import PASSWORD, Server
from tests.support.strange_redis import scripted

pytestmark = pytest.mark.integration


class Signpost:
    """A source that points wherever the test turns it."""

    moved_words: ClassVar[tuple[type[StoreReplyError], ...]] = (StoreNoReplicas,)

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked = 0
        self.running = False
        self.options = LinkOptions(
            endpoints=(("127.0.0.1", port),),
            password=Secret(PASSWORD),
            connect_timeout_ms=5_000,
            command_timeout_ms=2_000,
            connect_retry=1,
        )

    async def start(self, follower: Follower) -> None:
        self.running = True

    async def stop(self) -> None:
        self.running = False

    async def targets(self) -> tuple[Target, ...]:
        self.asked += 1
        return (self.options.target("127.0.0.1", self.port),)


def along(source: Signpost) -> Link:
    return Link(source.options, clock=SystemClock(), entropy=SystemEntropy(), source=source)


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def test_an_attempt_that_hangs_is_given_up_when_the_primary_is_elsewhere(redis: Server) -> None:
    loop = asyncio.get_running_loop()
    async with scripted(mute) as hole:
        source = Signpost(redis.port)
        link = along(source)
        await link.start()
        source.port = hole
        link.moved("to where nobody greets")
        await eventually(lambda: source.asked == 2)
        await asyncio.sleep(0.05)  # it hangs in the greeting, and would for 5 s
        assert not link.is_connected
        source.port, turned = redis.port, loop.time()
        link.moved("back")
        await eventually(lambda: link.is_connected)
        assert loop.time() - turned < 0.5
        assert source.asked == 3
        await link.stop()
    assert not source.running


async def test_a_move_fails_what_waits_and_says_why(redis: Server) -> None:
    source = Signpost(redis.port)
    link = along(source)
    await link.start()
    redis.stop()
    try:
        asked = asyncio.create_task(link.command("GET", "a"))
        await asyncio.sleep(0.02)
        link.moved("the primary is on the moon")
        with pytest.raises(StoreUnknown, match="on the moon"):
            await asked
        with pytest.raises(StoreDown, match="on the moon"):
            await link.command("GET", "a")
    finally:
        redis.cont()
    await eventually(lambda: link.is_connected)
    await link.stop()


async def test_a_start_that_fails_leaves_no_source_running() -> None:
    async with scripted(mute) as port:
        pass
    source = Signpost(port)
    link = along(source)
    with pytest.raises(StoreUnreachable):
        await link.start()
    assert not source.running


async def test_a_direct_source_gives_all_addresses_and_never_moves(redis: Server) -> None:
    options = LinkOptions(endpoints=(("a", 1), ("b", 2)))
    source = DirectEndpoints(options)
    assert [(target.host, target.port) for target in await source.targets()] == [("a", 1), ("b", 2)]
    redis.ask("CONFIG", "SET", "min-replicas-to-write", 1)
    single = Link(
        LinkOptions(endpoints=(("127.0.0.1", redis.port),), password=Secret(PASSWORD)),
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    await single.start()
    downs: list[StoreError] = []
    single.on_down(downs.append)
    with pytest.raises(StoreNoReplicas):
        await single.command("SET", "a", "1")
    assert single.is_connected, "one server is all there is: dropping the connection would help nobody"
    assert downs == []
    await single.stop()
