"""Orders that change no database: taken, carried out and told, whatever becomes of them in between."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rppam.cluster.admin.errors import NobodyToFollow
from rppam.db.database import Database
from rppam.db.errors import DatabaseError
from rppam.kernel.services import Services
from rppam.ledger.acts import BROKEN_OFF, Act, Recorder, recorded
from rppam.ledger.model import Entity
from rppam.ledger.store import Query, SqlLedger
from tests.support.full_ledger import fill

pytestmark = [pytest.mark.integration, pytest.mark.server]
PAUSE = Act("cluster.pause", Entity("cluster", "c1"), {"paused": True})


async def told(database: Database) -> list[dict[str, Any]]:
    return [event.document() for event in await SqlLedger(database).events(Query())]


async def order(database: Database, work: Callable[[], Awaitable[Any]]) -> Any:
    services = Services()
    services.add(Recorder, Recorder(database))

    @recorded(lambda _: PAUSE)
    async def handler(services: Services) -> Any:
        return await work()

    return await handler(services=services)


async def test_an_order_stands_in_the_ledger_before_it_is_carried_out(database: Database) -> None:
    async def work() -> str:
        (taken,) = await told(database)
        assert (taken["action"], taken["outcome"]) == ("order.take", "success")
        assert taken["object"] == {"kind": "cluster", "id": "c1", "name": ""}
        assert taken["details"] == {"action": "cluster.pause"}
        return "done"

    assert await order(database, work) == "done"
    taken, done = await told(database)
    assert (done["action"], done["outcome"]) == ("cluster.pause", "success")
    assert done["details"] == {"paused": True, "order": taken["id"]}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NobodyToFollow("nobody can"), "RPPAM-5204: nobody can"),
        (ValueError("a secret"), "it failed: ValueError"),
        (asyncio.CancelledError(), BROKEN_OFF),
    ],
    ids=["refused", "unforeseen", "broken off"],
)
async def test_whatever_ends_it_is_recorded_and_goes_on(database: Database, error: BaseException, reason: str) -> None:
    async def work() -> None:
        raise error

    with pytest.raises(type(error)):
        await order(database, work)
    taken, failed = await told(database)
    assert (failed["outcome"], failed["reason"], failed["details"]["order"]) == ("failure", reason, taken["id"])


async def test_a_request_that_is_broken_off_has_an_end_in_the_ledger(database: Database) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.sleep(60)

    running = asyncio.create_task(order(database, work))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [(one["action"], one["reason"]) for one in await told(database)][1] == ("cluster.pause", BROKEN_OFF)


KILLED = """
import asyncio, os, signal, sys
import rppam.app.slices
from rppam.db.database import Database
from tests.ledger.test_acts import order

async def work():
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    database = Database(sys.argv[1], 15_000)
    await database.start()
    await order(database, work)

asyncio.run(main())
"""


async def test_of_a_process_that_is_killed_as_it_obeys_the_order_stays(database: Database, url: str) -> None:
    words = [sys.executable, "-c", KILLED, url]
    killed = await asyncio.to_thread(subprocess.run, words, capture_output=True, env=os.environ, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (taken,) = await told(database)
    assert (taken["action"], taken["details"]) == ("order.take", {"action": "cluster.pause"})


async def test_without_a_ledger_an_order_is_carried_out_and_the_log_has_it(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    done = []

    async def work() -> None:
        done.append(1)

    await fill(database, full=True)
    await order(database, work)
    await database.stop()
    await order(database, work)
    assert done == [1, 1]
    said = [one.getMessage() for one in caplog.records if one.name == "rppam.audit"]
    assert len(said) == 4, said
    assert [one.partition(":")[0] for one in said] == [
        "cluster.pause is carried out and could not be recorded before",
        "cluster.pause (success) could not be recorded",
    ] * 2
    with pytest.raises(DatabaseError):
        await told(database)
