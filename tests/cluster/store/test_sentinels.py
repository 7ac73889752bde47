"""Leadership's store behind Sentinel: what counts, and what is unknown."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from rppam.cluster.consensus.record import Record, RecordState, vacant
from rppam.cluster.store.ports import ExchangeAnswer, ExchangeOrder, StoreListener
from rppam.cluster.store.redis_store import RedisLeadershipStore
from rppam.config.connection import parse_connection
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.errors import StoreError, StoreNotReplicated
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions
from rppam.redis.sentinel import SentinelEndpoints
from tests.redis.conftest import eventually
from tests.support.lab_fixtures import KIND
from tests.support.redis_servers import need
from tests.support.sentinels import SentinelLab

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.sentinel]


@pytest.fixture(scope="module")
def lab() -> Iterator[SentinelLab]:
    need(KIND)
    with SentinelLab(KIND) as lab:
        yield lab


class Node:
    """One store, and what it told."""

    def __init__(self, lab: SentinelLab, prefix: str) -> None:
        parsed = parse_connection(lab.connection_string)
        assert parsed.service_name is not None
        clock, entropy = SystemClock(), SystemEntropy()
        options = replace(LinkOptions.of(parsed), connect_timeout_ms=2_000, command_timeout_ms=1_000)
        source = SentinelEndpoints(
            parsed.service_name, options, LinkOptions.of_sentinels(parsed), clock=clock, entropy=entropy
        )
        self.link = Link(options, clock=clock, entropy=entropy, source=source)
        self.store = RedisLeadershipStore(self.link, prefix, "lab", "node1", self.foreign.append, replicas=1)
        self.ups: list[tuple[int, str]] = []
        self.entropy = entropy

    foreign: list[str] = []  # noqa: RUF012 - nothing is ever expected here

    async def start(self) -> None:
        await self.store.start(
            StoreListener(lambda number, who: self.ups.append((number, who)), lambda *_: None, lambda: None)
        )
        await eventually(lambda: bool(self.ups))

    async def exchange(
        self, expected: Record | None = None, proposed: Record | None = None, timeout_ms: int = 1_000
    ) -> ExchangeAnswer:
        order = ExchangeOrder(expected, proposed, vacant(0, self.entropy.nonce()), None)
        return await self.store.exchange(order, timeout_ms)


@pytest.fixture
async def node(lab: SentinelLab, request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    lab.settle()
    made = Node(lab, f"{request.node.name}:")
    await made.start()
    yield made
    await made.store.stop()


def held(epoch: int, seq: int, nonce: str = "ab" * 8) -> Record:
    return Record(RecordState.HELD, "node1", "1" * 16, epoch, seq, nonce)


async def test_a_write_that_no_replica_confirms_is_unknown_and_the_next_reading_shows_it(
    lab: SentinelLab, node: Node
) -> None:
    stands = (await node.exchange()).record
    assert (await node.exchange(stands, held(7, 1))).granted
    replicas = [server for server in lab.servers if server is not lab.primary]
    for server in replicas:
        server.stop()
    try:
        with pytest.raises(StoreNotReplicated, match="0 of 1 replicas confirmed it in time, so it does not count"):
            await node.exchange(held(7, 1), held(7, 2), timeout_ms=400)
        read = await node.exchange()
        assert read.record == held(7, 2), "reading needs no replica, and shows what the primary wrote"
        refused = await node.exchange(held(7, 1), held(7, 3), timeout_ms=400)
        assert (refused.granted, refused.record) == (False, held(7, 2)), "a no is a no without a replica"
    finally:
        for server in replicas:
            server.cont()
    assert (await node.exchange(held(7, 2), held(7, 3))).granted


async def test_the_script_is_loaded_again_on_a_new_primary_and_the_identity_is_another(
    lab: SentinelLab, node: Node
) -> None:
    stands = (await node.exchange()).record
    assert (await node.exchange(stands, held(8, 1))).granted
    before = node.ups[-1]
    await asyncio.to_thread(lab.failover)
    await eventually(lambda: node.ups[-1][0] > before[0], within_s=10)
    assert node.ups[-1][1] != before[1]
    await asyncio.to_thread(lab.settle)
    answer = await node.exchange(held(8, 1), held(8, 2))
    assert answer.granted, "the confirmed record is on the new primary"
    lab.primary.ask("SCRIPT", "FLUSH")
    assert (await node.exchange(held(8, 2), held(8, 3))).granted


async def test_nothing_that_was_confirmed_is_lost_when_the_primary_is_killed(
    lab: SentinelLab, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    stands = (await node.exchange()).record
    assert (await node.exchange(stands, held(9, 1))).granted
    counted, seq = held(9, 1), 1
    victim = lab.primary
    loop = asyncio.get_running_loop()
    until = loop.time() + 15
    new = False
    while not new and loop.time() < until:
        seq += 1
        if seq == 20:
            victim.kill()
        try:
            answer = await node.exchange(counted, held(9, seq))
            if answer.granted:
                counted, new = held(9, seq), seq > 20
            else:  # an unknown write of before stands, or was lost: never one that counted
                assert answer.record.seq >= counted.seq
                counted = answer.record
        except StoreError:
            await asyncio.sleep(0.02)
    victim.restart()
    assert new, "writes work again on the new primary"
    # The sentinel that led the failover is believed before the others have heard of it.
    await asyncio.to_thread(lab.wait_for, lambda: lab.primary is not victim, "word of it at the first sentinel")
