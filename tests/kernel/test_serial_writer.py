"""Calls that may block: one at a time, and none that comes late is made over a newer one."""

import asyncio
import threading
from concurrent.futures import wait

import pytest

from rppam.kernel.serial_writer import InOrder, Overtaken
from tests.support.late_threads import LateThreads


class Place:
    """What is written, and how often two wrote at the same time."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.fault: Exception | None = None

    def write(self, value: int) -> None:
        self.begun.set()
        if value == 1:
            self.may_end.wait(20)
        if self.fault is not None:
            raise self.fault
        self.written.append(value)


@pytest.fixture
def place() -> Place:
    return Place()


async def test_what_the_call_raises_is_raised_and_the_next_one_is_made(place: Place) -> None:
    calls = InOrder(place.write)
    place.fault = ValueError("odd")
    with pytest.raises(ValueError, match="odd"):
        await calls.run(2)
    place.fault = None
    await calls.run(3)
    assert place.written == [3]


async def test_a_call_that_was_refused_is_not_made_after_a_newer_one(place: Place) -> None:
    threads = LateThreads()
    asyncio.get_running_loop().set_default_executor(threads)
    calls = InOrder(place.write)
    with pytest.raises(RuntimeError, match="new thread"):
        await calls.run(2)
    await calls.run(3)
    (late,) = threads.make_late_ones()
    with pytest.raises(Overtaken, match="call 1 comes after call 2"):
        await asyncio.wrap_future(late)
    assert place.written == [3]


async def test_a_newer_call_waits_for_an_older_one_that_is_being_made(place: Place) -> None:
    threads = LateThreads()
    asyncio.get_running_loop().set_default_executor(threads)
    calls = InOrder(place.write)
    with pytest.raises(RuntimeError, match="new thread"):
        await calls.run(1)
    late = threads.make_late_ones()
    assert place.begun.wait(20)
    newer = asyncio.create_task(calls.run(2))
    await asyncio.wait({newer}, timeout=0.1)
    place.may_end.set()
    await newer
    wait(late, 20)
    assert place.written == [1, 2]
