"""Uses of sessions are written down seldom, in batches, and late rather than never."""

import asyncio
from collections.abc import Sequence

import pytest

from rppam.access.sessions import activity as touches
from rppam.access.sessions.activity import SessionActivity
from rppam.access.sessions.model import TOUCH_MS_MAX, Use, touch_every_ms
from rppam.db.clock import DatabaseClock
from rppam.db.errors import DatabaseUnreachable
from rppam.kernel.instant import Instant, WallMs

MINUTE_US = 60_000_000
IDLE_MS = 30 * 60_000


class Clock:
    def __init__(self) -> None:
        self.us = 1_000_000_000
        self.wall = 5_000_000

    def now(self) -> Instant:
        return Instant(self.us)

    def wall_ms(self) -> WallMs:
        return WallMs(self.wall)


class Written:
    """Where uses go; away when told to be."""

    def __init__(self) -> None:
        self.batches: list[list[Use]] = []
        self.away = False

    async def touch(self, uses: Sequence[Use]) -> None:
        if self.away:
            raise DatabaseUnreachable("away")
        self.batches.append(list(uses))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    monkeypatch.setattr(touches, "GATHER_S", 0.001)
    monkeypatch.setattr(touches, "RETRY_S", 0.001)
    return Written()


@pytest.fixture
def noted(written: Written, clock: Clock) -> SessionActivity:
    return SessionActivity(written, clock, lambda: IDLE_MS)  # type: ignore[arg-type]  # as far as it is asked


async def until(written: Written, batches: int) -> None:
    async with asyncio.timeout(30):
        while len(written.batches) < batches:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_busy_session_is_written_down_once_a_minute(
    noted: SessionActivity, written: Written, clock: Clock
) -> None:
    for _ in range(100):
        noted.note("a")
        noted.note("b")
    await until(written, 1)
    assert written.batches == [[Use("a", 0, 0), Use("b", 0, 0)]]
    clock.us += MINUTE_US - 1
    noted.note("a")
    clock.us += 1
    noted.note("a")
    await until(written, 2)
    assert [use.token_hash for use in written.batches[1]] == ["a"]


async def test_what_was_just_written_is_not_written_again(noted: SessionActivity, written: Written) -> None:
    noted.fresh("a")
    noted.note("a")
    noted.note("b")
    await until(written, 1)
    assert [use.token_hash for use in written.batches[0]] == ["b"]


async def test_uses_wait_while_the_database_is_away_with_the_time_at_which_they_were_made(
    noted: SessionActivity, written: Written, clock: Clock
) -> None:
    written.away = True
    for _ in range(40):
        noted.note("a")
        clock.us += MINUTE_US
    noted.note("b")
    with pytest.raises(DatabaseUnreachable):
        await noted.settle("a")
    written.away = False
    await noted.settle("a")
    minute = 60_000
    assert written.batches[0] == [Use("a", 40 * minute, minute)], "in use for 40 minutes, the last time a minute ago"
    await noted.settle("a")
    await until(written, 2)
    assert written.batches[1:] == [[Use("b", 0, 0)]]


async def test_a_gap_of_idle_time_begins_anew(noted: SessionActivity, written: Written, clock: Clock) -> None:
    written.away = True
    noted.note("a")
    clock.us += 31 * MINUTE_US
    noted.note("a")
    written.away = False
    await noted.settle("a")
    assert written.batches == [[Use("a", 0, 0)]], "it was idle in between; SQL decides whether it was over"


async def test_many_go_in_batches_and_the_number_noted_is_bounded(
    noted: SessionActivity, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(touches, "NOTED_MAX", 500)
    for number in range(2_000):
        noted.note(f"{number}")
    assert len(noted._due) == len(noted._pending) == 500
    await until(written, 3)
    assert [len(batch) for batch in written.batches] == [200, 200, 100]


def test_short_idle_times_are_written_more_often() -> None:
    assert touch_every_ms(IDLE_MS) == TOUCH_MS_MAX
    assert touch_every_ms(60_000) == 15_000
    assert touch_every_ms(1) == 1


def test_the_databases_clock_is_learned_and_carried_on_by_the_steady_one(clock: Clock) -> None:
    database = DatabaseClock(clock)
    assert database.wall_ms() == clock.wall
    database.learn(WallMs(9_000_000))
    clock.us += 2_500_000
    clock.wall -= 1_000_000
    assert database.wall_ms() == 9_002_500, "a step of the host's clock moves nothing"
    database.learn(WallMs(9_000_100))
    assert database.wall_ms() == 9_000_100
