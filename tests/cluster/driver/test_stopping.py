"""Nothing is given back before what only a leader does has stopped: against a duty that is played."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from rppam.cluster.consensus.admission import Admission
from rppam.cluster.consensus.effects import HandOver, Phase
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.failure_detector import FailureDetector
from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.node import NodeCore
from rppam.cluster.consensus.record import EPOCH_MAX, Record, RecordState
from rppam.cluster.consensus.timing import Timing
from rppam.cluster.driver.driver import Driver
from rppam.cluster.driver.leader_tasks import LeaderTasks
from rppam.cluster.store.memory_store import MemoryStore
from rppam.cluster.store.ports import ExchangeAnswer, ExchangeOrder
from rppam.cluster.vip.errors import AddressRefused
from rppam.kernel.fence import Claimed, Fenced
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy

BRIEF = Timing(lease_ms=2_000, heartbeat_ms=400, rate_error_ppm=10_000, drop_ms=100, request_timeout_ms=400)


class Stubborn:
    """Does not stop until it is allowed to."""

    name = "the address"

    def __init__(self) -> None:
        self.stops = False
        self.hangs = False
        self.asked = 0
        self.fault: Exception = AddressRefused("the address may still be here")

    def start(self, epoch: int) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(60)
        if not self.stops:
            raise self.fault


class Register:
    """Takes every epoch."""

    async def newest(self, timeout_ms: int) -> Claimed | None:
        return None

    async def claim(self, epoch: int, node: str, boot_id: str, timeout_ms: int) -> Fenced:
        return Fenced.ACCEPTED


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)


class Forgetful(MemoryStore):
    """Begins with a record, and loses every write to it on the way."""

    async def exchange(self, order: ExchangeOrder, timeout_ms: int) -> ExchangeAnswer:
        return await super().exchange(order._replace(expected=None, proposed=None), timeout_ms)

    def begin_with(self, record: Record) -> None:
        self._stands = record.encode()


def driver_of(duty: Stubborn, store: MemoryStore | None = None) -> Driver:
    clock, entropy = SystemClock(), SystemEntropy()
    life = entropy.nonce()
    core = NodeCore(
        Election(Identity("one", life, BRIEF), entropy, now=clock.now(), electable=False),
        FailureDetector("one", BRIEF),
        Admission("one", life, BRIEF, lambda _others: None),
        now=clock.now(),
    )

    async def bounded(work: Awaitable[None]) -> None:
        await asyncio.wait_for(work, 0.05)

    def beat(number: int, lag_ms: int, renewed_ms_ago: int) -> Heartbeat:
        return Heartbeat("one", life, number, Role.STANDBY, 0, "1", "h", "", clock.wall_ms(), lag_ms, renewed_ms_ago)

    return Driver(core, store or MemoryStore(clock), Register(), clock, LeaderTasks((duty,), bounded), beat)


def holder_of(driver: Driver) -> str:
    record = driver.core.status().lease.record
    return record.state if record is not None else ""


async def test_the_record_is_held_until_the_duty_has_stopped_and_released_then() -> None:
    duty = Stubborn()
    driver = driver_of(duty)
    await driver.start()
    await until(lambda: driver.core.status().phase is Phase.LEADER)
    driver.feed(driver.core.step(HandOver("", "asked"), driver._clock.now()))
    await until(lambda: duty.asked >= 2)
    assert (driver.core.status().phase, holder_of(driver)) == (Phase.STOPPING, "held")
    duty.stops = True
    await until(lambda: holder_of(driver) != "held")
    await driver.stop("over")


async def test_one_that_never_stops_costs_the_lease_and_no_more() -> None:
    duty = Stubborn()
    duty.hangs = True
    driver = driver_of(duty)
    await driver.start()
    await until(lambda: driver.core.status().phase is Phase.LEADER)
    began = driver._clock.now()
    driver.feed(driver.core.step(HandOver("", "asked"), began))
    await until(lambda: driver.core.status().phase is not Phase.STOPPING)
    assert driver._clock.now() - began >= BRIEF.lease_us
    await driver.stop("over")


async def test_an_error_that_nobody_foresaw_counts_as_not_stopped_and_keeps_no_other_from_stopping(
    caplog: pytest.LogCaptureFixture,
) -> None:
    odd, other = Stubborn(), Stubborn()
    odd.fault, other.stops = RuntimeError("can't start new thread"), True

    async def unbounded(work: Awaitable[None]) -> None:
        await work

    duties = LeaderTasks((other, odd), unbounded)
    assert not await duties.stop(7)
    assert other.asked == 1
    assert 'the address has not stopped after epoch 7 (RuntimeError("can\'t start new thread"))' in caplog.text
    odd.stops = True
    assert await duties.stop(7)


async def test_nothing_is_released_before_a_duty_that_failed_unforeseen_has_stopped() -> None:
    duty = Stubborn()
    duty.fault = RuntimeError("can't start new thread")
    driver = driver_of(duty)
    await driver.start()
    await until(lambda: driver.core.status().phase is Phase.LEADER)
    driver.feed(driver.core.step(HandOver("", "asked"), driver._clock.now()))
    await until(lambda: duty.asked >= 2 or driver.broken.done())
    assert not driver.broken.done()
    assert (driver.core.status().phase, holder_of(driver)) == (Phase.STOPPING, "held")
    duty.stops = True
    await until(lambda: holder_of(driver) != "held")
    await driver.stop("over")


async def test_a_record_of_its_own_that_it_leaves_to_fall_silent_is_not_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Forgetful(SystemClock())
    driver = driver_of(Stubborn(), store)
    core = driver.core
    store.begin_with(Record(RecordState.HELD, "one", core.boot_id, 5, 1, "ab" * 8))
    state = core._election._state
    # So high that it neither stands nor would be believed.
    state.lease = state.lease._replace(epochs=state.lease.epochs._replace(led=EPOCH_MAX))
    await driver.start()
    await until(lambda: core.status().lease.silent_us(driver._clock.now()) > 2 * BRIEF.heartbeat_us)
    await driver.stop("over", timeout_ms=30_000)
    assert holder_of(driver) == "held"
    assert "goodbye" not in caplog.text
