"""When a batch goes, how long it may be, and what becomes of an event that is too large for a target."""

import asyncio
import json
import time
from typing import Any

import pytest

from rppam.db.database import Database
from rppam.ledger.store import Query, SqlLedger
from rppam.siem import delivery, senders
from rppam.siem.bounds import BATCH_BYTES, Bounds, bounds_of, fitting, halved
from rppam.siem.delivery import Delivery
from rppam.siem.formats import written
from rppam.siem.model import Format, Options, TargetKind
from tests.siem.receivers import Syslog, event, http, target
from tests.siem.test_delivery import grow, leader, targets_of, until  # noqa: F401 - a fixture

pytestmark = [pytest.mark.integration, pytest.mark.server]


class Receiver:
    """A webhook that takes requests up to a size."""

    def __init__(self, most: int = 10_000_000) -> None:
        self.most = most
        self.requests: list[list[dict[str, Any]]] = []
        self.at: list[float] = []
        self.sizes: list[int] = []
        self.refused = 0
        self.lifts = False
        """It takes more from the next request with several events on."""

    async def handle(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        if path == "/token":
            return 200, {"access_token": "tok", "expires_in": 3600}
        if self.lifts and body.count(b'"index"') > 1:
            self.most = 10_000
        if len(body) > self.most:
            self.refused += 1
            return 413, {}
        found = json.loads(body)
        self.requests.append([one.get("Event", one) for one in found])
        self.at.append(time.monotonic())
        self.sizes.append(len(body))
        return 200, {}

    @property
    def events(self) -> list[dict[str, Any]]:
        return [one for request in self.requests for one in request]

    @property
    def indexes(self) -> list[int]:
        """Each once: a database that is held by somebody else for long has a batch sent again."""
        return list(dict.fromkeys(one["index"] for one in self.events))


async def test_events_wait_for_others_until_the_interval_is_over_and_go_together(
    database: Database,
    leader: Delivery,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "SETTLE_EVERY_S", 0.2)
    receiver = Receiver()
    async with http(receiver.handle) as url:
        options = Options(batch_size=10, flush_seconds=2)
        await targets_of(database).create(target(TargetKind.WEBHOOK, url, options=options, cursor=0))
        leader.start(7)
        await grow(database, 3)
        first = time.monotonic()
        await asyncio.sleep(0.8)
        assert receiver.requests == [], "the interval is not over"
        await grow(database, 2)
        await until(database, "id-1", 6)
    assert [one["index"] for one in receiver.requests[0]] == list(range(6)), "those that came meanwhile go with them"
    assert receiver.at[0] - first >= 1.5


async def test_what_was_refused_does_not_wait_for_the_interval_again(
    database: Database,
    leader: Delivery,  # noqa: F811
) -> None:
    receiver = Receiver()
    at: list[float] = []

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        at.append(time.monotonic())
        return (503, {}) if len(at) < 4 else await receiver.handle(path, headers, body)

    async with http(handle) as url:
        await grow(database, 3)
        options = Options(batch_size=10, flush_seconds=2)
        await targets_of(database).create(target(TargetKind.WEBHOOK, url, options=options))
        leader.start(7)
        await until(database, "id-1", 3)
    assert receiver.indexes == [0, 1, 2]
    assert at[-1] - at[0] < 1.5, "three tries more"


async def test_a_full_batch_does_not_wait_and_none_is_longer_than_its_size(
    database: Database,
    leader: Delivery,  # noqa: F811
) -> None:
    receiver = Receiver()
    async with http(receiver.handle) as url:
        await grow(database, 34)
        options = Options(batch_size=10, flush_seconds=300)
        await targets_of(database).create(target(TargetKind.WEBHOOK, url, options=options))
        await grow(database, 1)
        leader.start(7)
        await until(database, "id-1", 30)
        await asyncio.sleep(0.3)
    assert {len(request) for request in receiver.requests} == {10}
    assert receiver.indexes == list(range(30)), "the other six wait for more"


@pytest.mark.parametrize("kind", [TargetKind.WEBHOOK, TargetKind.SENTINEL])
async def test_a_batch_ends_where_it_would_be_more_bytes_than_a_target_takes(
    database: Database,
    leader: Delivery,  # noqa: F811
    kind: TargetKind,
) -> None:
    receiver = Receiver(BATCH_BYTES)
    async with http(receiver.handle) as url:
        await grow(database, 60, {"text": "x" * 40_000})
        options = Options(
            batch_size=100, flush_seconds=0, token_url=f"{url}/token", client_id="c", rule_id="dcr-1", stream="s"
        )
        await targets_of(database).create(target(kind, url, options=options))
        leader.start(7)
        await until(database, "id-1", 60)
    assert receiver.refused == 0
    assert receiver.indexes[:60] == list(range(60))
    assert max(receiver.sizes) > BATCH_BYTES - 42_000, "and not before"


async def test_a_target_that_takes_less_gets_half_as_much_until_it_takes_it(
    database: Database,
    leader: Delivery,  # noqa: F811
) -> None:
    receiver = Receiver(9_000)
    async with http(receiver.handle) as url:
        await grow(database, 200)
        options = Options(batch_size=100, flush_seconds=0)
        await targets_of(database).create(target(TargetKind.WEBHOOK, url, options=options))
        leader.start(7)
        await until(database, "id-1", 200)
        problem = (await targets_of(database).get("id-1")).problem
    assert receiver.indexes[:200] == list(range(200)), "each once, in order"
    assert 0 < receiver.refused < 8, "what it takes is remembered"
    assert problem == ""


async def shortened_events(database: Database) -> list[dict[str, Any]]:
    return [one.document() for one in await SqlLedger(database).events(Query("siem.shorten"))]


async def test_an_event_that_is_too_large_alone_goes_without_its_details_and_that_is_recorded(
    database: Database,
    leader: Delivery,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver = Receiver(9_000)
    async with http(receiver.handle) as url:
        await grow(database, 5)
        await grow(database, 1, {"text": "x" * 20_000})
        await grow(database, 5)
        options = Options(batch_size=100, flush_seconds=0)
        await targets_of(database).create(target(TargetKind.WEBHOOK, url, options=options))
        leader.start(7)
        await until(database, "id-1", 11)
    assert receiver.indexes[:11] == list(range(11)), "nothing is skipped, and nothing waits behind it"
    short, *_ = [one for one in receiver.events if one["details"].get("shortened")]
    assert short["index"] == 5
    assert short["details"]["bytes"] == len('{"text":""}') + 20_000
    assert len(short["details"]["sha256"]) == 64
    assert (short["action"], short["object"]["id"], short["outcome"]) == ("user.create", "id-0", "success")
    (told,) = await shortened_events(database)
    assert told["object"]["id"] == "id-1"
    assert (told["details"]["index"], told["details"]["id"]) == (5, short["id"])
    assert told["details"]["bytes"] > 20_000
    assert caplog.text.count("got event 5") == 1


async def test_one_that_is_refused_even_without_details_is_named_and_waits_with_all_behind_it(
    database: Database,
    leader: Delivery,  # noqa: F811
) -> None:
    receiver, store = Receiver(100), targets_of(database)
    async with http(receiver.handle) as url:
        await grow(database, 5)
        await store.create(target(TargetKind.WEBHOOK, url, options=Options(batch_size=100, flush_seconds=0)))
        leader.start(7)
        async with asyncio.timeout(30):
            while not (found := await store.get("id-1")).problem:  # noqa: ASYNC110 - a row has no event
                await asyncio.sleep(0.05)
        assert "413 to the event 0 (" in found.problem
        assert found.cursor == 0
        assert receiver.requests == []
        receiver.lifts = True
        await until(database, "id-1", 5)
    assert receiver.indexes[:5] == list(range(5))
    assert await shortened_events(database) == [], "it was taken whole in the end"


async def test_what_a_syslog_receiver_would_cut_without_a_word_goes_without_its_details(
    database: Database,
    leader: Delivery,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(senders, "UNPROVEN_S", 1)
    receiver = Syslog()
    await receiver.start()
    await grow(database, 1)
    await grow(database, 2, {"text": "ä" * 40_000})
    await grow(database, 1)
    options = Options(batch_size=100, flush_seconds=0)
    url = f"tcp://127.0.0.1:{receiver.port}"
    await targets_of(database).create(target(TargetKind.SYSLOG, url, None, options=options, format=Format.CEF))
    leader.start(7)
    await until(database, "id-1", 4)
    await receiver.kill()
    assert [b'"shortened":true' in one for one in receiver.messages[:4]] == [False, True, True, False]
    assert max(map(len, receiver.messages)) < 64_000
    assert [one["details"]["index"] for one in await shortened_events(database)] == [1, 2]


def test_as_many_as_fit_and_one_at_least() -> None:
    def write(one: Any) -> bytes:
        return written(one, Format.JSON).encode()

    size = len(write(event(1)))
    batch = [event(index) for index in range(1, 9)]
    exact = 2 + 3 * (size + 1)
    assert len(fitting(batch, write, Bounds(exact, exact))) == 3
    assert len(fitting(batch, write, Bounds(exact - 1, exact))) == 2
    assert len(fitting(batch, write, Bounds(1, exact))) == 1
    assert len(fitting(batch, write, Bounds(10**6, 10**6))) == 8
    pieces = fitting(batch, write, Bounds(10**6, 10**6))
    counts = []
    while len(pieces) > 1:
        pieces = halved(pieces)
        counts.append(len(pieces))
    assert counts == [4, 2, 1]


@pytest.mark.parametrize("kind", list(TargetKind))
def test_no_option_allows_more_than_the_kind_takes(kind: TargetKind) -> None:
    most = bounds_of(target(kind, "https://x.example", options=Options(batch_bytes=10**9)))
    assert most.batch == BATCH_BYTES
    small = bounds_of(target(kind, "https://x.example", options=Options(batch_bytes=20_000)))
    assert small == (20_000, 20_000)
