"""Each change in the log is told once, and none is lost to a look that failed."""

import asyncio
from collections.abc import Sequence

from rppam.cache.change_log import ChangeWatch, Look, Mark, SqlChangeLog
from rppam.cache.model import CacheKey, Change, Kind
from rppam.db.errors import DatabaseUnreachable
from rppam.kernel.instant import WallMs


class Log(SqlChangeLog):
    """A log that answers what it is set to."""

    def __init__(self) -> None:
        self.lines: list[Change] = []
        self.marks: list[Mark] = []
        self.is_down = False

    async def since(self, mark: Mark) -> Look:
        if self.is_down:
            raise DatabaseUnreachable("away")
        self.marks.append(mark)
        return Look(list(self.lines), Mark(len(self.marks)), WallMs(1_000 * len(self.marks)))


def change(number: int) -> Change:
    return Change(CacheKey(Kind.SESSION, f"s{number}"), 2)


async def test_what_is_found_again_is_told_once() -> None:
    log = Log()
    told: list[Sequence[Change]] = []
    watch = ChangeWatch(log, told.append)
    log.lines = [change(1), change(2)]
    await watch.look()
    log.lines = [change(2), change(3)]
    await watch.look()
    await watch.look()
    assert told == [[change(1), change(2)], [change(3)], []]
    assert log.marks == [Mark(), Mark(1), Mark(2)], "it reads on from where it ended"


async def test_a_look_that_failed_is_made_up_for() -> None:
    log = Log()
    told: list[Sequence[Change]] = []
    watch = ChangeWatch(log, told.append)
    log.is_down = True
    await watch.look()
    assert "away" in watch.problem
    assert told == [], "nothing was read, so nobody is told that all is known"
    log.is_down, log.lines = False, [change(1)]
    await watch.look()
    assert told == [[change(1)]]
    assert watch.problem == ""


async def test_the_databases_time_is_passed_on_before_anything_is_believed() -> None:
    log = Log()
    heard: list[object] = []
    watch = ChangeWatch(log, heard.append, heard.append)
    log.is_down = True
    await watch.look()
    assert heard == []
    log.is_down = False
    await watch.look()
    await watch.look()
    assert heard == [1_000, [], 2_000, []]


async def test_it_looks_until_it_is_cancelled() -> None:
    log = Log()
    found = asyncio.Event()

    def told(_news: Sequence[Change]) -> None:
        found.set()

    task = asyncio.create_task(ChangeWatch(log, told).run())
    await asyncio.wait_for(found.wait(), 30)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert log.marks == [Mark()], "two seconds lie between two looks"
