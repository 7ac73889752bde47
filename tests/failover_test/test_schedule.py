"""Failover tests by schedule: when one is due, that it is started once, and that a broken promise stays in health."""

import datetime
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rppam.cluster.health.ports import Authority, Leadership
from rppam.failover_test.errors import ScheduledTestBroken, ScheduleImpossible
from rppam.failover_test.model import BY_ITSELF as BY, Method, Verdict
from rppam.failover_test.schedule import SCHEDULE, Schedule, ScheduledTests, is_due
from rppam.failover_test.store import SqlFailoverTests
from rppam.foundation import ControlFoundation
from rppam.kernel.instant import WallMs
from rppam.settings.store import SqlSettingsStore
from tests.support.served import Served

ON = Schedule(enabled=True)
DAY = 86_400_000


def at(hour: int, minute: int = 0) -> WallMs:
    return WallMs(int(datetime.datetime(2026, 3, 1, hour, minute, tzinfo=datetime.UTC).timestamp() * 1_000))


@pytest.mark.parametrize(
    ("schedule", "now", "last", "due"),
    [
        (Schedule(), at(2), None, False),
        (ON, at(2), None, True),
        (ON, at(1, 59), None, False),
        (ON, at(4), None, False),
        (ON, at(2), WallMs(at(3, 50) - 7 * DAY), True),
        (ON, at(2), WallMs(at(2) - 6 * DAY), False),
        (ON._replace(from_hour=23, until_hour=1), at(0), None, True),
        (ON._replace(from_hour=23, until_hour=1), at(1), None, False),
        (ON._replace(every_days=1), at(3), WallMs(at(2) - 4_000), False),
    ],
)
def test_a_test_is_due_in_its_window_every_so_many_days(
    schedule: Schedule, now: WallMs, last: WallMs | None, *, due: bool
) -> None:
    assert is_due(schedule, now, last) is due


class Stopped:
    """A clock that stands."""

    def __init__(self, now: WallMs) -> None:
        self.now_ms = now

    def wall_ms(self) -> WallMs:
        return self.now_ms


@pytest.mark.integration
async def test_the_leader_starts_it_once_and_says_what_it_found(served: Served, tmp_path: Path) -> None:
    started: list[tuple[Path, Method, str]] = []

    def start(config: Path, folder: Path, method: Method, asked: str) -> "subprocess.Popen[bytes]":
        started.append((config, method, asked))
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        return ended

    clock, file = Stopped(at(2)), tmp_path / "rppam.config"
    base = ControlFoundation(served.base.config, served.database, clock, served.entropy, "boot", None, file)  # type: ignore[arg-type]
    scheduled = ScheduledTests(base, start)
    await scheduled.look(7)
    assert started == [], "off by default"
    value = json.dumps(SCHEDULE.write(ON))
    await SqlSettingsStore(served.database).write(
        Leadership("node1", Authority(7, "boot")), SCHEDULE.name, value, "admin", None
    )
    await scheduled.look(7)
    await scheduled.look(7)
    assert started == [(file, Method.SWITCHOVER, "")], "once"
    tests = SqlFailoverTests(served.database)
    await scheduled.look_for_asked(7)
    asked = await tests.ask(Method.KILL, "node1", "admin")
    await scheduled.look_for_asked(7)
    assert started[1:] == [(file, Method.KILL, asked.id)]
    await tests.interrupt(asked.id, "over")
    await scheduled.look_for_asked(7)
    assert len(started) == 2
    with pytest.raises(ScheduleImpossible):
        await ScheduledTests(base._replace(config_file=None), start).look(7)
    kept = await tests.begin(Method.SWITCHOVER, "node1", BY)
    late = Verdict(2, "It leads within 15 seconds", False, "it took 16000 ms")
    await tests.finish(kept.id, BY, (late,), "d" * 64, "{}")
    with pytest.raises(ScheduledTestBroken, match=r"broke a promise: 2\. It leads within 15 seconds: it took 16000 ms"):
        await scheduled.look(7)
    again = await tests.begin(Method.SWITCHOVER, "node1", BY)
    in_time = Verdict(2, "It leads within 15 seconds", True, "it took 60 ms")
    await tests.finish(again.id, BY, (in_time,), "d" * 64, "{}")
    await scheduled.look(7)
