"""Work that is repeated while a node leads, and at no other time."""

import asyncio
import logging

import pytest

from rppam.cluster.driver.leader_tasks import LoopTask, RepeatedTask
from rppam.cluster.errors import NoSeat
from rppam.db.errors import DatabaseUnreachable


async def test_it_works_from_the_beginning_of_leadership_to_its_end_and_knows_the_epoch() -> None:
    epochs: list[int] = []

    async def work(epoch: int) -> None:
        epochs.append(epoch)

    task = RepeatedTask("the count", 0.001, work)
    task.start(7)
    while len(epochs) < 3:  # noqa: ASYNC110 - the work itself is what is counted
        await asyncio.sleep(0.001)
    await task.stop()
    done = len(epochs)
    await asyncio.sleep(0.02)
    assert epochs == [7] * done
    await task.stop()
    task.start(8)
    await asyncio.sleep(0.01)
    await task.stop()
    assert epochs[done] == 8


async def slow_work(tidies_s: float) -> tuple[RepeatedTask, asyncio.Event]:
    """A task that has begun, tidies up for so long when it is stopped, and then sets the event."""
    ended = asyncio.Event()

    async def work(_: int) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(tidies_s)
            ended.set()

    task = RepeatedTask("slow work", 1, work)
    task.start(1)
    await asyncio.sleep(0.01)
    return task, ended


async def test_what_is_under_way_has_ended_when_stop_returns() -> None:
    task, ended = await slow_work(0.01)
    await task.stop()
    assert ended.is_set()


async def test_a_failure_is_logged_once_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rppam.duties")
    failures = iter([DatabaseUnreachable("no route"), NoSeat("full"), NoSeat("full"), ValueError("odd")])
    worked = asyncio.Event()

    async def work(_: int) -> None:
        for failure in failures:
            raise failure
        worked.set()

    task = RepeatedTask("the work", 0.001, work)
    task.start(1)
    await worked.wait()
    await asyncio.sleep(0.01)
    await task.stop()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        f"the work failed and is tried again every 0.001 s: {NoSeat('full')}",
        "the work failed and is tried again every 0.001 s: ValueError('odd')",
        "the work succeeds again",
    ]


async def test_what_keeps_it_from_its_work_stands_in_health_until_it_works_again_or_another_leads() -> None:
    outcomes: list[Exception | None] = [ValueError("odd"), NoSeat("full"), DatabaseUnreachable("no route"), None]
    seen: list[object] = []

    async def work(_: int) -> None:
        seen.append(task.trouble)
        if (failure := outcomes[min(len(seen), len(outcomes)) - 1]) is not None:
            raise failure

    task = RepeatedTask("the work", 0.001, work)
    task.start(1)
    while len(seen) < 5:  # noqa: ASYNC110 - the work itself is what is counted
        await asyncio.sleep(0.001)
    assert seen[:2] == ["", "the work failed: ValueError"]
    assert seen[2] is outcomes[1]
    assert seen[3] is outcomes[1], "a database that does not answer is told elsewhere, and tells nothing of the work"
    assert seen[4] == ""
    task.trouble = "something"
    await task.stop()
    assert task.trouble == "", "only a leader has that trouble"


async def test_what_did_not_stop_in_time_has_not_stopped_for_who_asks_again() -> None:
    """Else leadership would be released while it still acts."""
    task, tidied = await slow_work(0.2)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task.stop(), 0.01)
    await task.stop()
    assert tidied.is_set()


async def test_work_that_ends_by_itself_is_told_until_leadership_ends(caplog: pytest.LogCaptureFixture) -> None:
    class Ends(LoopTask):
        async def run(self, epoch: int) -> None:
            raise RuntimeError("can't start new thread")

    task = Ends("the leader's program")
    task.start(1)
    await asyncio.sleep(0.01)
    assert "the leader's program has ended by RuntimeError, and does nothing until another node leads" in str(
        task.trouble
    )
    assert "can't start new thread" in caplog.text
    await task.stop()
    assert task.trouble == ""
