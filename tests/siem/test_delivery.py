"""Delivery from a real ledger: at least once, in order, nothing skipped, over dying receivers and leaders."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from sqlalchemy import Connection

from rppam.cluster.health.ports import Authority
from rppam.crypto.data_key_ports import ClusterSecrets
from rppam.crypto.data_keys import DataKeys
from rppam.db.data_keys import SqlDataKeys
from rppam.db.database import Database
from rppam.http.errors import FencedError
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
from rppam.siem import delivery
from rppam.siem.delivery import Delivery
from rppam.siem.errors import TargetNameTaken, TargetUnknown
from rppam.siem.model import Options, TargetKind
from rppam.siem.store import SqlTargets
from tests.ledger.keys import LEADER, ORIGIN, SIGNER
from tests.siem.receivers import http, is_signed, target

pytestmark = [pytest.mark.integration, pytest.mark.server]


def targets_of(database: Database) -> SqlTargets:
    return SqlTargets(
        database, DataKeys(SqlDataKeys(database), lambda: ClusterSecrets(Secret("ab" * 32), (), ()))
    )  # fmt: skip


async def grow(database: Database, count: int, details: Mapping[str, Any] | None = None) -> None:
    def work(connection: Connection) -> None:
        for number in range(count):
            record(connection, "user.create", Entity("user", f"id-{number}"), details=details)

    await database.write(work)
    await SqlLedger(database).integrate(LEADER, "node1", ORIGIN, SIGNER)


@pytest.fixture
async def leader(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Delivery]:
    monkeypatch.setattr(delivery, "RETRY_S", (0.02,))
    monkeypatch.setattr(delivery, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(delivery, "SETTLE_EVERY_S", 0.05)
    made = Delivery(database, targets_of(database), SystemClock(), "node1", LEADER.boot_id)
    yield made
    await made.stop()


async def until(database: Database, ident: str, cursor: int) -> None:
    async with asyncio.timeout(60):
        while (await targets_of(database).get(ident)).cursor < cursor:  # noqa: ASYNC110 - a row has no event
            await asyncio.sleep(0.05)


async def test_all_events_arrive_in_order_although_half_the_answers_are_refusals(
    database: Database, leader: Delivery
) -> None:
    taken: list[int] = []
    count = 0

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        nonlocal count
        count += 1
        assert is_signed("s3cret", headers, body)
        if count % 2:
            return 503, {}
        taken.extend(one["index"] for one in json.loads(body))
        return 200, {}

    async with http(handle) as url:
        options = Options(batch_size=10, flush_seconds=0)
        await grow(database, 35)
        await targets_of(database).create(target(TargetKind.WEBHOOK, url, options=options))
        leader.start(7)
        await until(database, "id-1", 35)
        await grow(database, 10)
        await until(database, "id-1", 46)
        await leader.stop()
        assert taken == list(range(taken[-1] + 1))
        assert taken[-1] >= 45
        await grow(database, 10)
        again = Delivery(database, targets_of(database), SystemClock(), "node1", LEADER.boot_id)
        again.start(7)
        await until(database, "id-1", 56)
        await again.stop()
    assert taken == list(range(taken[-1] + 1)), "the next leader goes on at the cursor"


async def test_targets_that_cannot_be_read_are_told_and_read_again(
    database: Database, leader: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while nodes of two releases share a database, and one knows a kind of target that the other does not."""
    arrived, well = asyncio.Event(), SqlTargets.all

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        arrived.set()
        return 200, {}

    async def strange(_: SqlTargets) -> None:
        raise ValueError("'carrier-pigeon' is not a valid TargetKind")

    monkeypatch.setattr(SqlTargets, "all", strange)
    async with http(handle) as url:
        await grow(database, 5)
        await targets_of(database).create(target(TargetKind.WEBHOOK, url))
        leader.start(7)
        await asyncio.sleep(0.1)
        assert "the SIEM targets cannot be read (ValueError)" in str(leader.trouble)
        monkeypatch.setattr(SqlTargets, "all", well)
        await asyncio.wait_for(arrived.wait(), 20)
        assert leader.trouble == ""


async def test_a_target_that_is_away_is_named_and_holds_up_no_other(database: Database, leader: Delivery) -> None:
    taken: list[int] = []

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        taken.extend(one["index"] for one in json.loads(body))
        return 200, {}

    store = targets_of(database)
    async with http(handle) as url:
        await grow(database, 5)
        await store.create(target(TargetKind.WEBHOOK, "http://127.0.0.1:1/", id="away", name="away"))
        await store.create(target(TargetKind.WEBHOOK, url))
        leader.start(7)
        await until(database, "id-1", 5)
        async with asyncio.timeout(30):
            while not (await store.get("away")).problem:  # noqa: ASYNC110 - a row has no event
                await asyncio.sleep(0.05)
    away = await store.get("away")
    assert away.cursor == 0
    assert away.failed_at is not None
    assert "refused" in away.problem


async def test_a_changed_target_is_taken_up_and_its_secret_stays_sealed(database: Database, leader: Delivery) -> None:
    store = targets_of(database)
    made = await store.create(target(TargetKind.WEBHOOK, "http://127.0.0.1:1/"))
    with pytest.raises(TargetNameTaken):
        await store.create(target(TargetKind.WEBHOOK, "http://127.0.0.1:1/", id="id-2"))
    raw = await database.read(lambda connection: connection.exec_driver_sql("SELECT secret FROM siem_targets").scalar())
    assert "s3cret" not in str(raw)
    assert (await store.opened("id-1")).secret == Secret("s3cret")
    kept = await store.change(made._replace(secret=None, name="other"))
    assert (kept.name, kept.revision) == ("other", 2)
    assert (await store.opened("id-1")).secret == Secret("s3cret")
    await store.remove("id-1")
    with pytest.raises(TargetUnknown):
        await store.get("id-1")
    await SqlLedger(database).integrate(LEADER, "node1", ORIGIN, SIGNER)
    events = [event.body["action"] for event in await SqlLedger(database).events(Query("siem."))]
    assert events == ["siem.create", "siem.change", "siem.delete"]


async def test_a_leader_of_the_past_moves_no_cursor(database: Database) -> None:
    store = targets_of(database)
    await store.create(target(TargetKind.WEBHOOK, "http://127.0.0.1:1/"))
    await store.delivered(LEADER, "node1", "id-1", 5)
    with pytest.raises(FencedError):
        await store.delivered(Authority(6, "old"), "node2", "id-1", 9)
    await store.delivered(LEADER, "node1", "id-1", 3)
    assert (await store.get("id-1")).cursor == 5
