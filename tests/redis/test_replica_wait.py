"""A primary that lacks replicas: who waits for one, for how long, and who does not."""

import asyncio

import pytest

from rppam.kernel.instant import US_PER_MS, Instant, WallMs
from rppam.kernel.system_clock import SystemClock
from rppam.redis.reconnect import ATTACH_MS, FRESH_MS, ReplicaWait
from tests.redis.conftest import Open
from tests.support.redis_servers import PASSWORD, Server

pytestmark = pytest.mark.integration

TIMEOUT_MS = 2_000


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at_us = 1_000_000

    def now(self) -> Instant:
        return Instant(self.at_us)

    def wall_ms(self) -> WallMs:
        return WallMs(self.at_us // 1000)


def test_only_a_primary_that_was_made_a_moment_ago_is_come_back_to_at_once() -> None:
    clock = Hand()
    shortage = ReplicaWait(clock)
    assert not shortage.refused(), "nobody has moved"
    shortage.moved()
    assert shortage.refused()
    clock.at_us += FRESH_MS * US_PER_MS
    assert not shortage.refused(), "that was long ago"


async def test_after_a_refusal_a_replica_is_waited_for_and_no_longer(redis: Server, open_: Open) -> None:
    connection = await open_(redis.port)
    shortage = ReplicaWait(SystemClock())
    await shortage.end(connection, TIMEOUT_MS)  # nothing was refused: no question is asked
    shortage.moved()
    assert shortage.refused()
    waiting = asyncio.create_task(shortage.end(connection, TIMEOUT_MS))
    await asyncio.sleep(ATTACH_MS / 10_000)
    assert not waiting.done()
    await asyncio.wait_for(waiting, 10)  # there is none, and it comes up all the same

    words = ("--replicaof", redis.host, str(redis.port), "--masterauth", PASSWORD, "--appendonly", "no")
    with Server(redis.kind, *words):
        async with asyncio.timeout(30):
            while len((await connection.command("ROLE", timeout_ms=TIMEOUT_MS))[2]) == 0:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.02)
        shortage.moved()
        assert shortage.refused()
        await asyncio.wait_for(shortage.end(connection, TIMEOUT_MS), 10)
        assert connection.lost is None
