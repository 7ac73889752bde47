"""Failover tests that the leader starts: a switchover in a window, every so many days, and what somebody asked for.

The schedule is off by default. The test is the same command that people run, as a process of its own: it has to outlive
the leadership of the node that starts it. That a promise was broken stands in the leader's health until a scheduled
test keeps all.

What it does not promise: a test in every window. Where the cluster is not healthy the command refuses, and the next
window is tried.
"""

import asyncio
import datetime
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from rppam.config.kinds import Flag, Whole
from rppam.failover_test.errors import ScheduledTestBroken, ScheduleImpossible
from rppam.failover_test.model import BY_ITSELF, KeptTest, Method
from rppam.failover_test.store import SqlFailoverTests
from rppam.foundation import ControlFoundation
from rppam.kernel.instant import WallMs
from rppam.settings.errors import SettingInvalid
from rppam.settings.model import setting
from rppam.settings.store import SqlSettingsStore

LOOK_EVERY_S: Final = 60.0
ASKED_EVERY_S: Final = 2.0
_DAY_MS: Final = 86_400_000
_AGAIN_MS: Final = 3_600_000
"""After a try that began no test."""


class Schedule(NamedTuple):
    """When a test is started."""

    enabled: bool = False
    every_days: int = 7
    from_hour: int = 2
    until_hour: int = 4


SCHEDULE: Final = setting(
    "failoverTest/schedule",
    "When the leader starts a failover test by switchover; hours are of UTC, the last one is not in the window",
    Schedule(),
    {
        "enabled": Flag(),
        "everyDays": Whole("whole days from 1 to 366", 1, 366),
        "fromHour": Whole("an hour from 0 to 23", 0, 23),
        "untilHour": Whole("an hour from 0 to 24", 0, 24),
    },
)


def is_due(schedule: Schedule, now: WallMs, last: WallMs | None) -> bool:
    """Whether a test is to be started now; ``last``: when the one before began."""
    if not schedule.enabled:
        return False
    hour = datetime.datetime.fromtimestamp(now / 1_000, datetime.UTC).hour
    start, end = schedule.from_hour, schedule.until_hour
    is_in = start <= hour < end if start < end else hour >= start or hour < end
    # Half a day early: a test at four must not keep the one at two from its day.
    return is_in and (last is None or now - last >= schedule.every_days * _DAY_MS - _DAY_MS // 2)


class ScheduledTests:
    """What the leader does about it."""

    def __init__(
        self,
        base: ControlFoundation,
        start: Callable[[Path, Path, Method, str], "subprocess.Popen[bytes]"] | None = None,
    ) -> None:
        """``start`` starts the command, for the config, with its state in a folder, by a method, for what was asked."""
        self._base = base
        self._tests = SqlFailoverTests(base.database)
        self._settings = SqlSettingsStore(base.database)
        self._start = start or start_command
        self._running: subprocess.Popen[bytes] | None = None
        self._tried: WallMs | None = None

    async def look(self, _epoch: int) -> None:
        """Start a test where one is due. Raises what stands in health then."""
        last = await self._tests.newest_by(BY_ITSELF)
        now = self._base.clock.wall_ms()
        fresh = self._tried is not None and now - self._tried < _AGAIN_MS
        if not self._runs and not fresh and is_due(await self._schedule(), now, last.started_at if last else None):
            self._tried = now
            await self._begin(Method.SWITCHOVER)
        if last is not None and last.passed is False:
            raise ScheduledTestBroken(_broken(last))

    async def look_for_asked(self, _epoch: int) -> None:
        """Start a test that somebody asked for; one that could not be started for too long is given up."""
        asked = await self._tests.asked()
        if asked is not None and not self._runs:
            await self._begin(asked.method, asked.id)

    @property
    def _runs(self) -> bool:
        return self._running is not None and self._running.poll() is None

    async def _begin(self, method: Method, asked: str = "") -> None:
        if self._base.config_file is None:
            raise ScheduleImpossible("the node that leads runs as a single process")
        folder = self._base.config.node.data_dir
        self._running = await asyncio.to_thread(self._start, self._base.config_file, folder, method, asked)

    async def _schedule(self) -> Schedule:
        try:
            return await self._settings.value_of(SCHEDULE)
        except (SettingInvalid, ValueError):  # of another release
            return Schedule()


def start_command(config: Path, folder: Path, method: Method, asked: str = "") -> "subprocess.Popen[bytes]":
    """Start the test on this host, as a process that outlives this one; ``asked``: the id of one that was asked for."""
    words = [sys.executable, "-m", "rppam", "failover-test", "--config", str(config), "--scheduled", "--yes", "--json"]
    return subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
        [*words, "--method", method.value, *(("--asked", asked) if asked else ())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "XDG_STATE_HOME": str(folder)},
        start_new_session=True,
    )


def _broken(test: KeptTest) -> str:
    broken = [one for one in test.verdicts if not one.held]
    told = "; ".join(f"{one.promise}. {one.title}: {one.why}" for one in broken)
    return f"the scheduled failover test {test.id} broke a promise: {told}"
