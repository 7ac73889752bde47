"""Processes that serve people and stay away are told; a node that serves nobody leaves leadership to one that does."""

import pytest

from rppam.app.serving_watch import LOOKS, LOOKS_AT_START, GatewayWatch, WorkerWatch
from rppam.cluster.errors import NothingServes
from rppam.db.condition import Condition

WELL = Condition(latency_ms=1)


class Page:
    """Who lives."""

    def __init__(self) -> None:
        self.living: tuple[str, ...] = ("worker 1", "worker 2", "gateway 1")
        self.others_serve = True

    def workers(self, wanted: int = 2) -> WorkerWatch:
        return WorkerWatch(lambda: dict.fromkeys(self.living, WELL), wanted, lambda: self.others_serve)


async def looks(watch: WorkerWatch | GatewayWatch, count: int) -> str:
    """What the last of several looks says."""
    told = ""
    for _ in range(count):
        told = await watch.look()
    return told


async def test_one_of_two_workers_is_a_warning_once_it_stays_away() -> None:
    page = Page()
    watch = page.workers()
    assert await watch.look() == ""
    page.living = ("worker 2", "gateway 1")
    assert await looks(watch, LOOKS - 1) == ""
    assert "1 of 2 API workers of this node runs" in await watch.look()
    assert [one.value for one in watch.gauges] == [1]
    assert (watch.unfit, watch.none_serves) == ("", False)
    page.living = ("worker 1", "worker 2")
    assert await watch.look() == ""


async def test_without_any_worker_a_node_leaves_leadership_to_one_that_serves() -> None:
    page = Page()
    watch = page.workers()
    await watch.look()
    page.living = ("gateway 1",)
    await looks(watch, LOOKS - 1)
    assert watch.unfit == ""
    with pytest.raises(NothingServes) as raised:
        await watch.look()
    assert raised.value.row.finding == "RD-707"
    assert watch.unfit
    assert watch.none_serves
    page.others_serve = False
    with pytest.raises(NothingServes):
        await watch.look()
    assert watch.unfit == "", "where nobody serves, a leader is better than none"
    page.living = ("worker 1", "worker 2")
    assert await watch.look() == ""
    assert not watch.none_serves


async def test_a_start_has_more_time() -> None:
    page = Page()
    page.living = ()
    watch = page.workers()
    assert await looks(watch, LOOKS_AT_START - 1) == ""
    with pytest.raises(NothingServes):
        await watch.look()


async def test_gateways_are_counted_apart_from_workers() -> None:
    page = Page()
    watch = GatewayWatch(lambda: dict.fromkeys(page.living, WELL), 1)
    assert await watch.look() == ""
    page.living = ("worker 1", "worker 2")
    assert "no SSH gateway of this node runs" in await looks(watch, LOOKS)
