"""The limiter before every request: never more than the store has counted, cheap, bounded, fair while it is away."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from rppam.kernel.instant import Instant, WallMs
from rppam.kernel.limit import Charge, Decision, Limit, Shape
from rppam.limits.limiter import AWAY_MS, BATCH_MAX, BATCH_MS, COUNTERS_MAX, HELD_MAX, Limiter, MemoryLimits
from rppam.redis.errors import StoreSilent

USER = Limit("api-user", Shape.SMOOTH, 120_000, 60_000)
ADDRESS = Limit("api-address", Shape.SMOOTH, 60_000, 60_000)
SMALL = Limit("small", Shape.SMOOTH, 10, 600_000)


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.us = 52_537_110_840_190_374  # where the clock of a host stood once

    def now(self) -> Instant:
        return Instant(self.us)

    def wall_ms(self) -> WallMs:
        return WallMs(self.us // 1000)

    def pass_ms(self, ms: int) -> None:
        self.us += ms * 1000


class Shared(MemoryLimits):
    """The store of all processes: counts how often it is asked, takes a moment, and can be away."""

    def __init__(self, clock: Hand) -> None:
        super().__init__(clock)
        self.asked: list[Sequence[Charge]] = []
        self.is_away = False

    async def take(self, charges: Sequence[Charge]) -> Decision:
        self.asked.append(charges)
        await asyncio.sleep(0)
        if self.is_away:
            raise StoreSilent("no answer")
        return await super().take(charges)


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def store(clock: Hand) -> Shared:
    return Shared(clock)


def limiter(store: Shared | None, clock: Hand, processes: int = 1, **more: int) -> Limiter:
    return Limiter(store, MemoryLimits(clock), clock, lambda: processes, **more)


async def admitted(one: Limiter, charges: Sequence[Charge], times: int) -> int:
    return sum([(await one.take(charges)).allowed for _ in range(times)])


async def test_a_small_limit_is_exact_over_all_processes(clock: Hand, store: Shared) -> None:
    nodes = [limiter(store, clock) for _ in range(6)]
    found = await asyncio.gather(*(node.take([Charge(SMALL, "x")]) for node in nodes * 20))
    assert sum(one.allowed for one in found) == 10
    refused = await nodes[0].take([Charge(SMALL, "x")])
    assert (refused.allowed, refused.limit, refused.is_local) == (False, SMALL, True)
    assert 0 < refused.retry_after_ms <= 60_000


async def test_no_more_than_the_store_has_counted_whatever_the_batches(clock: Hand, store: Shared) -> None:
    limit = Limit("big", Shape.SMOOTH, 30_000, 24 * 3_600_000)
    nodes = [limiter(store, clock) for _ in range(4)]
    done = await asyncio.gather(*(admitted(node, [Charge(limit, "x")], 1_000) for node in nodes for _ in range(10)))
    assert sum(done) <= 30_000
    assert sum(done) > 29_000, "batches are not wasted"


async def test_a_busy_caller_costs_the_store_little(clock: Hand, store: Shared) -> None:
    one, charges = limiter(store, clock), [Charge(USER, "u"), Charge(ADDRESS, "a")]
    assert await admitted(one, charges, 5_000) == 5_000
    assert len(store.asked) < 150
    assert max(charge.cost for asked in store.asked for charge in asked) <= BATCH_MAX


async def test_in_a_flow_of_requests_nobody_waits_and_no_more_than_a_batch_is_held(clock: Hand, store: Shared) -> None:
    one, charges = limiter(store, clock), [Charge(USER, "u"), Charge(ADDRESS, "a")]
    await admitted(one, charges, 300)
    served = 300
    for _ in range(1_000):
        assert one.near(charges) is not None, f"the request after {served} waits for the store"
        served += 1
        for _ in range(4):
            await asyncio.sleep(0)
        for limit, batch in ((USER, BATCH_MAX), (ADDRESS, 60)):
            taken = sum(charge.cost for asked in store.asked for charge in asked if charge.limit == limit)
            assert 0 <= taken - served <= batch, (limit.name, taken, served)


async def test_what_cannot_be_filled_up_is_not_asked_for_at_each_request(clock: Hand, store: Shared) -> None:
    one, charges = limiter(store, clock), [Charge(USER, "u")]
    await admitted(one, charges, 300)
    store.is_away = True
    before = len(store.asked)
    for _ in range(BATCH_MAX):
        one.near(charges)
        for _ in range(4):
            await asyncio.sleep(0)
        clock.pass_ms(AWAY_MS // BATCH_MAX + 1)
    assert 1 <= len(store.asked) - before <= 2


async def test_a_seldom_caller_is_charged_one_by_one(clock: Hand, store: Shared) -> None:
    one = limiter(store, clock)
    for _ in range(20):
        assert await admitted(one, [Charge(USER, "u")], 1) == 1
        clock.pass_ms(BATCH_MS)
    assert [charge.cost for asked in store.asked for charge in asked] == [1] * 20


async def test_those_who_wait_are_fetched_for_in_one_go(clock: Hand, store: Shared) -> None:
    one = limiter(store, clock)
    found = await asyncio.gather(*(one.take([Charge(USER, "u"), Charge(ADDRESS, "a")]) for _ in range(64)))
    assert all(decision.allowed for decision in found)
    assert len(store.asked) <= 4


async def test_all_are_charged_or_none(clock: Hand, store: Shared) -> None:
    one = limiter(store, clock)
    assert await admitted(one, [Charge(ADDRESS, "a"), Charge(SMALL, "u")], 30) == 10
    # What the refused ones would have cost the address is left to others.
    assert (await store.take([Charge(ADDRESS, "a")])).remaining >= 60_000 - 10 - BATCH_MAX


async def test_a_flood_of_refused_requests_costs_the_store_nothing(clock: Hand, store: Shared) -> None:
    one = limiter(store, clock)
    await admitted(one, [Charge(SMALL, "x")], 11)
    asked = len(store.asked)
    assert await admitted(one, [Charge(SMALL, "x")], 10_000) == 0
    assert len(store.asked) == asked
    refused = one.near([Charge(SMALL, "x")])
    assert refused is not None
    clock.pass_ms(refused.retry_after_ms)
    assert await admitted(one, [Charge(SMALL, "x")], 2) == 1, "the wait was true"


async def test_a_changed_limit_holds_at_once(clock: Hand, store: Shared) -> None:
    one = limiter(store, clock)
    assert await admitted(one, [Charge(SMALL, "x")], 11) == 10
    assert await admitted(one, [Charge(SMALL._replace(events=20), "x")], 1) == 1


@pytest.mark.parametrize("away", [True, False], ids=["away", "none"])
async def test_without_the_store_each_process_grants_its_share(clock: Hand, store: Shared, away: bool) -> None:
    store.is_away = True
    nodes = [limiter(store if away else None, clock, 5) for _ in range(5)]
    decisions = [await node.take([Charge(SMALL, "x")]) for node in nodes * 4]
    assert sum(one.allowed for one in decisions) == 10
    assert {(one.limit, one.is_local) for one in decisions} == {(SMALL, True)}
    tiny = Limit("tiny", Shape.SMOOTH, 2, 60_000)
    assert [(await node.take([Charge(tiny, "x")])).allowed for node in nodes] == [True] * 5, "at least one each"


async def test_a_store_that_hangs_is_asked_once_a_second(clock: Hand, store: Shared) -> None:
    store.is_away = True
    one = limiter(store, clock)
    assert await admitted(one, [Charge(USER, "u")], 500) == 500
    assert len(store.asked) == 1
    store.is_away = False
    clock.pass_ms(max(AWAY_MS, BATCH_MS))
    assert not (await one.take([Charge(USER, "u")])).is_local
    assert len(store.asked) == 2


async def test_each_outage_of_the_store_is_said_when_it_begins_and_when_it_ends(
    clock: Hand, store: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rppam.limits")
    one = limiter(store, clock)
    for is_away in (False, True, True, False, False, True, False):
        store.is_away = is_away
        clock.pass_ms(max(AWAY_MS, BATCH_MS))
        await one.take([Charge(USER, "u")])
    edges = ["alone for now: no answer", "together again."] * 2
    assert [record.getMessage()[-len(edge) :] for record, edge in zip(caplog.records, edges, strict=True)] == edges


async def test_a_million_subjects_take_bounded_memory(clock: Hand) -> None:
    local = MemoryLimits(clock)
    one = Limiter(None, local, clock, lambda: 1)
    victim = [Charge(SMALL, "victim")]
    assert await admitted(one, victim, 11) == 10
    for number in range(30_000):  # three times the bound is as good as a million
        await one.take([Charge(ADDRESS, f"{number}")])
        if number % 1_000 == 0:
            assert await admitted(one, victim, 1) == 0
    assert len(one) == HELD_MAX
    assert len(local) == COUNTERS_MAX


async def test_a_request_that_is_cancelled_leaves_nobody_waiting(clock: Hand, store: Shared) -> None:
    one = limiter(store, clock)
    first = asyncio.create_task(one.take([Charge(SMALL, "x")]))
    second = asyncio.create_task(one.take([Charge(SMALL, "x")]))
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(10):
        assert (await second).allowed
