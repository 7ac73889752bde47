"""What the tasks of a node say in health: a finding where there is one for it, else a sentence."""

import asyncio
import logging

import pytest

from rppam.cluster.driver import waiting
from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.cluster.driver.node_tasks import NodeTask, findings_of, told_of, warnings_of
from rppam.cluster.driver.waiting import StillWaits, Waiting
from rppam.cluster.health.model import GaugeView
from rppam.db.errors import DatabaseUnknown
from rppam.kernel.errors import RppamError
from rppam.ledger.errors import LedgerBroken, LedgerUnwatched


def test_a_broken_ledger_is_a_finding_told_once_by_however_many_tasks() -> None:
    troubles: list[RppamError | str] = [
        LedgerBroken("event 7: odd"),
        LedgerBroken("event 7: odd"),
        "late",
        "",
        LedgerUnwatched("full"),
    ]
    assert [(one.code, one.evidence) for one in findings_of(troubles)] == [("RD-630", "event 7: odd")]
    assert findings_of(troubles)[0].advice == LedgerBroken.row.remedy
    asked = LedgerUnwatched("is it mounted?")
    assert told_of(asked) == f"RPPAM-8005: is it mounted? {LedgerUnwatched.row.remedy}"
    assert warnings_of(troubles) == ("late", f"RPPAM-8005: full. {LedgerUnwatched.row.remedy}")


def test_what_gets_nothing_from_the_database_says_so_after_a_minute_and_not_before() -> None:
    task, error = Waiting("the sweep"), DatabaseUnknown("no answer within 2000 ms")
    assert task.told(error, 10.0) is None
    assert task.told(error, 69.9) is None
    told = task.told(error, 70.0)
    assert told is not None
    assert told.startswith("the sweep gets nothing from the database, again and again")
    task.over()
    assert task.told(error, 71.0) is None


async def test_a_task_that_waits_for_ever_stands_in_health_and_hides_nothing_worse(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.0)
    caplog.set_level(logging.WARNING, "rppam.node")
    outcomes: list[Exception | str] = [DatabaseUnknown("slow")]

    async def work() -> str:
        outcome = outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def lead(_: int) -> None:
        await work()

    task, leading = NodeTask("the look", 0.001, work), RepeatedTask("the sweep", 0.001, lead)
    running = asyncio.create_task(task.run())
    leading.start(1)
    await asyncio.sleep(0.02)
    assert isinstance(task.trouble, StillWaits)
    assert "slow" in task.trouble
    assert isinstance(leading.trouble, StillWaits)
    assert [one.name for one in caplog.records].count("rppam.node") == 1, "in the log once"
    outcomes[0] = ""
    await asyncio.sleep(0.02)
    assert (task.trouble, leading.trouble) == ("", "")
    outcomes[0] = "something worse"
    await asyncio.sleep(0.02)
    outcomes[0] = DatabaseUnknown("slow")
    await asyncio.sleep(0.02)
    assert task.trouble == "something worse", "it is still so, as far as anybody knows"
    running.cancel()
    await leading.stop()


@pytest.mark.parametrize("error", [DatabaseUnknown("slow"), ValueError("odd")])
async def test_a_round_that_could_not_tell_leaves_no_old_numbers(error: Exception) -> None:
    seen = GaugeView(name="rppam_waiting_seconds", meaning="How long.", value=0.0)
    outcomes: list[Exception | None] = [None]

    async def work() -> str:
        if outcomes[0] is not None:
            raise outcomes[0]
        return ""

    task = NodeTask("the look", 0.001, work, lambda: (seen,))
    running = asyncio.create_task(task.run())
    await asyncio.sleep(0.02)
    assert task.gauges == (seen,)
    outcomes[0] = error
    await asyncio.sleep(0.02)
    assert list(task.gauges) == []
    outcomes[0] = None
    await asyncio.sleep(0.02)
    assert task.gauges == (seen,)
    running.cancel()
