"""Orders on disk: tried again until they are, and whoever gave one hears the truth."""

import asyncio
from concurrent.futures import wait
from pathlib import Path

import pytest

from rppam.cluster.admin.errors import OrdersUnwritable
from rppam.cluster.consensus.operator_state import NO_ORDERS, OperatorState
from rppam.cluster.driver import operator_state as module
from rppam.cluster.driver.operator_state import OperatorStateFile, OperatorStateKeeper
from tests.support.late_threads import LateThreads

ASIDE = NO_ORDERS._replace(maintenance=True, maintenance_by="eve")


class Disk(OperatorStateFile):
    """A file of orders; ``fault`` is what it meets."""

    def __init__(self, fault: Exception | None = None) -> None:
        super().__init__(Path())
        self.kept, self.fault, self.tries = NO_ORDERS, fault, 0

    def load(self) -> OperatorState:
        return self.kept

    def save(self, orders: OperatorState) -> None:
        self.tries += 1
        if self.fault is not None:
            raise self.fault
        self.kept = orders


@pytest.mark.parametrize("fault", [OrdersUnwritable("No space left"), RuntimeError("can't start new thread")])
async def test_whatever_keeps_an_order_from_the_disk_is_told_and_tried_again(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    disk = Disk(fault)
    keeper = OperatorStateKeeper(disk)
    keeper.keep(ASIDE)
    with pytest.raises(OrdersUnwritable, match=str(fault)):
        await keeper.kept()
    assert str(fault) in keeper.problem
    disk.fault = None
    async with asyncio.timeout(20):
        while keeper.problem:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
    assert disk.kept == ASIDE
    await keeper.stop()


async def test_an_older_order_is_never_kept_over_a_newer_one() -> None:
    disk = Disk(OrdersUnwritable("No space left"))
    keeper = OperatorStateKeeper(disk)
    keeper.keep(ASIDE)
    with pytest.raises(OrdersUnwritable):
        await keeper.kept()
    disk.fault = None
    keeper.keep(NO_ORDERS._replace(maintenance_by="bob"))
    await keeper.kept()
    assert keeper._retry is None
    assert (disk.kept.maintenance_by, disk.tries) == ("bob", 2)
    await keeper.keep_again(NO_ORDERS)
    assert disk.tries == 2, "there was nothing to do"


async def test_nothing_is_tried_any_more_after_the_end() -> None:
    keeper = OperatorStateKeeper(Disk(OrdersUnwritable("No space left")))
    keeper.keep(ASIDE)
    with pytest.raises(OrdersUnwritable):
        await keeper.kept()
    assert keeper._retry is not None
    await keeper.stop()
    assert keeper._retry is None


async def test_an_order_that_a_thread_keeps_late_is_not_kept_over_a_newer_one() -> None:
    threads = LateThreads()
    asyncio.get_running_loop().set_default_executor(threads)
    disk = Disk()
    keeper = OperatorStateKeeper(disk)
    keeper.keep(ASIDE)
    with pytest.raises(OrdersUnwritable, match="new thread"):
        await keeper.kept()
    keeper.keep(NO_ORDERS)
    await keeper.kept()
    wait(threads.make_late_ones(), 20)
    assert (disk.kept, disk.tries) == (NO_ORDERS, 1)
