"""What health and monitoring say of targets that refuse events, and of those that take them too slowly."""

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import text

from rppam.db.database import Database
from rppam.kernel.instant import WallMs
from rppam.siem.delivery import Delivery
from rppam.siem.model import Options, TargetKind
from rppam.siem.store import Progress
from rppam.siem.watch import gauges, told
from tests.ledger.keys import LEADER
from tests.siem.receivers import http, target
from tests.siem.test_delivery import grow, leader, targets_of, until  # noqa: F401 - a fixture

MINUTE = 60_000


def progress(name: str, waiting: int = 0, lag_ms: int = 0, failing_ms: int = 0, **changes: Any) -> Progress:
    changes.setdefault("options", Options(flush_seconds=0))
    made = target(TargetKind.WEBHOOK, "https://x.example", None, id=f"id-{name}", name=name, **changes)
    if failing_ms:
        made = made._replace(failed_at=WallMs(1_772_366_400_000), problem="it answered with the status 503")
    return Progress(made, waiting, lag_ms, failing_ms)


def test_one_that_refuses_is_told_after_a_minute_with_its_reason() -> None:
    assert told([progress("logs", 3, 59_000, 59_000)]) == ""
    said = "SIEM targets take no events: logs since 2026-03-01T12:00:00Z (it answered with the status 503); "
    assert told([progress("logs", 3, MINUTE, MINUTE)]) == said + "they wait and are sent in order"
    assert told([progress("logs", 3, 9 * MINUTE, 9 * MINUTE)]).startswith(said), "it is the same: the log has it once"


@pytest.mark.parametrize(
    ("lag_ms", "words"),
    [
        (5 * MINUTE, "5 minutes"),
        (15 * MINUTE, "15 minutes"),
        (60 * MINUTE, "an hour"),
        (6 * 60 * MINUTE, "6 hours"),
        (24 * 60 * MINUTE, "a day"),
    ],
)
def test_one_that_takes_events_too_slowly_is_told_in_steps(lag_ms: int, words: str) -> None:
    said = f"SIEM targets get events late: logs by more than {words}; "
    assert told([progress("logs", 9, lag_ms)]).startswith(said)
    assert told([progress("logs", 9, lag_ms + 1)]).startswith(said)


def test_what_a_target_waits_for_by_itself_is_not_late() -> None:
    assert told([progress("logs", 1, 5 * MINUTE - 1)]) == ""
    slow = Options(flush_seconds=300)
    assert told([progress("logs", 1, 10 * MINUTE - 1, options=slow)]) == ""
    assert "logs by more than" in told([progress("logs", 1, 10 * MINUTE, options=slow)])


def test_each_is_told_once_and_by_what_is_wrong_with_it() -> None:
    said = told(
        [
            progress("away", 9, 20 * MINUTE, 20 * MINUTE),
            progress("off", 9, 20 * MINUTE, enabled=False),
            progress("slow", 9, 20 * MINUTE),
            progress("well", 1, 1_000),
        ]
    )
    refusing, late = said.split(". ")
    assert "away since" in refusing
    assert "slow by more than 15 minutes" in late
    assert "off" not in said
    assert "well" not in said
    assert "away" not in late


def test_numbers_of_each_enabled_target() -> None:
    seen = gauges([progress("logs", 7, 1_500, 62_000), progress("off", 9, 9, enabled=False)])
    assert [(one.name, one.value, one.label, one.labelled) for one in seen] == [
        ("rppam_siem_waiting_events", 7, "target", "id-logs"),
        ("rppam_siem_lag_seconds", 1.5, "target", "id-logs"),
        ("rppam_siem_failing_seconds", 62.0, "target", "id-logs"),
    ]


async def age(database: Database, index: int, by_ms: int) -> None:
    change = text("UPDATE audit_events SET time = time - :by WHERE leaf = :leaf").bindparams(by=by_ms, leaf=index)
    await database.write(lambda connection: connection.execute(change))


@pytest.mark.integration
@pytest.mark.server
async def test_a_slow_target_is_behind_by_its_oldest_event_and_no_longer_once_it_has_it(
    database: Database,
    leader: Delivery,  # noqa: F811
) -> None:
    taken: list[int] = []
    wakes = asyncio.Event()

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        found = [one["index"] for one in json.loads(body)]
        if 2 in found:
            await wakes.wait()
        taken.extend(found)
        return 200, {}

    store = targets_of(database)
    await grow(database, 5)
    await age(database, 2, 20 * MINUTE)
    async with http(handle) as url:
        await store.create(target(TargetKind.WEBHOOK, url, options=Options(batch_size=2, flush_seconds=0)))
        leader.start(7)
        await until(database, "id-1", 2)
        (seen,) = await store.progress()
        assert seen.waiting == 3
        assert 20 * MINUTE <= seen.lag_ms < 21 * MINUTE
        assert seen.failing_ms == 0, "it refuses nothing"
        assert "siem by more than 15 minutes" in told([seen])
        wakes.set()
        await until(database, "id-1", 5)
        seen = await store.progress_of("id-1")
        assert told([seen]) == ""
        assert (seen.waiting, seen.lag_ms) == (0, 0)
    assert taken[:5] == list(range(5))


@pytest.mark.integration
@pytest.mark.server
async def test_how_long_it_refuses_is_reckoned_by_the_clock_that_wrote_it(database: Database) -> None:
    store = targets_of(database)
    await store.create(target(TargetKind.WEBHOOK, "http://127.0.0.1:1/"))
    await store.failed("id-1", "connection refused")
    (seen,) = await store.progress()
    assert 0 <= seen.failing_ms < 20_000, "and told only after a minute"
    assert told([seen]) == ""
    await database.write(lambda one: one.execute(text("UPDATE siem_targets SET failed_at = failed_at - 61000")))
    (seen,) = await store.progress()
    assert 61_000 <= seen.failing_ms < 90_000
    assert "siem since" in told([seen])
    await store.delivered(LEADER, "node1", "id-1", 0)
    assert told(await store.progress()) == ""
