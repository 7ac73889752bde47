"""What is in force in a process follows the database: by word of a change, by looking, and never backwards."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from rppam.access.sessions.policy import SESSIONS, SessionPolicy
from rppam.cache.model import CacheKey, Change, Kind
from rppam.cache.no_cache import NoCache
from rppam.cluster.health.ports import Authority, Leadership
from rppam.db.database import Database
from rppam.db.errors import DatabaseError
from rppam.settings import hot as hot_settings
from rppam.settings.hot import LiveSettings
from rppam.settings.model import InForce
from rppam.settings.service import SettingChanges
from rppam.settings.store import SqlSettingsStore

pytestmark = pytest.mark.integration

LEADER = Leadership("node1", Authority(7, "boot-a"))
WORD = [Change(CacheKey(Kind.SETTING, SESSIONS.name), 1)]


class Process:
    """One process: a cache that keeps nothing, and what is in force there."""

    def __init__(self, database: Database) -> None:
        self.cache, store = NoCache(), SqlSettingsStore(database)
        self.live = LiveSettings(store, self.cache)
        self.changes = SettingChanges(store, self.cache, self.live)

    async def put(self, minutes: int) -> int:
        return (await self.changes.put(LEADER, SESSIONS, {"idleMinutes": minutes}, "sue", None)).revision

    @property
    def minutes(self) -> int:
        return self.live.current(SESSIONS).idle_minutes


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not what():  # noqa: ASYNC110  # what is waited for happens in SQL
            await asyncio.sleep(0.01)


@pytest.fixture
async def two(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Process, Process]]:
    monkeypatch.setattr(hot_settings, "LOOK_S", 0.2)
    one, other = Process(database), Process(database)
    for process in (one, other):
        process.live.start()
    await until(lambda: all(process.live.revision is not None for process in (one, other)))
    yield one, other
    await one.live.stop()
    await other.live.stop()


async def test_the_writer_obeys_at_once_and_the_others_on_the_first_word(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_settings, "LOOK_S", 3_600.0)
    one, other = Process(database), Process(database)
    other.live.start()
    await until(lambda: other.live.revision == 0)
    assert await one.put(15) == 1
    assert (one.minutes, other.minutes) == (15, 30)
    other.cache.forget(WORD)
    await until(lambda: other.minutes == 15)
    assert (other.live.revision, other.live.revision_of(SESSIONS.name)) == (1, 1)
    await one.put(16)
    assert other.minutes == 15
    other.cache.forget([Change(CacheKey(Kind.SETTING, SESSIONS.name), 2), *WORD])
    await until(lambda: other.minutes == 16)
    await other.live.stop()


async def test_without_a_word_the_others_see_it_by_looking(two: tuple[Process, Process]) -> None:
    one, other = two
    await one.put(15)
    await one.put(16)
    await until(lambda: other.minutes == 16)
    assert other.live.revision == 2
    assert await other.live.get(SESSIONS) == InForce(SessionPolicy(idle_minutes=16), 2)


async def test_get_asks_where_current_may_be_late(database: Database) -> None:
    writer, late = Process(database), Process(database)
    assert await late.live.get(SESSIONS) == InForce(SessionPolicy(), 0)
    await writer.put(15)
    assert late.live.current(SESSIONS) == SessionPolicy()
    assert await late.live.get(SESSIONS) == InForce(SessionPolicy(idle_minutes=15), 1)
    assert late.minutes == 15


async def test_without_the_database_the_last_value_stays_and_get_says_that_it_cannot_tell(
    url: str, database: Database, open_database: Callable[..., Any]
) -> None:
    theirs = await open_database(url)
    writer, process = Process(database), Process(theirs)
    await writer.put(15)
    process.live.start()
    await until(lambda: process.minutes == 15)
    await theirs.stop()
    process.cache.forget(WORD)
    await asyncio.sleep(0.1)
    assert process.minutes == 15
    with pytest.raises(DatabaseError):
        await process.live.get(SESSIONS)
    await process.live.stop()


async def test_a_process_that_starts_before_the_database_does_follows_soon(url: str, database: Database) -> None:
    await Process(database).put(15)
    theirs = Database(url, 3_000)
    process = Process(theirs)
    process.live.start()
    await asyncio.sleep(0.1)
    assert (process.live.revision, process.minutes) == (None, 30)
    await theirs.start()
    await until(lambda: process.minutes == 15)
    assert process.live.revision == 1
    await process.live.stop()
    await theirs.stop()


@pytest.mark.parametrize(
    ("value", "minutes"),
    [
        ({"idleMinutes": 15, "absoluteHours": 12, "ofTomorrow": {"a": 1}}, 15),
        ({"idleMinutes": 15, "absoluteHours": "a day"}, 15),
        ({"idleMinutes": 10**9, "absoluteHours": 1}, 30),
        (["no", "object"], 30),
        ("{", 30),
    ],
)
async def test_what_another_release_wrote_costs_only_what_cannot_be_taken(
    database: Database, value: object, minutes: int
) -> None:
    kept = value if value == "{" else json.dumps(value)
    await SqlSettingsStore(database).write(LEADER, SESSIONS.name, str(kept), "sue", None)
    await SqlSettingsStore(database).write(LEADER, "of/tomorrow", "{}", "sue", None)
    process = Process(database)
    process.live.start()
    await until(lambda: process.live.revision is not None)
    assert process.minutes == minutes
    assert process.live.revision == 2, "counted like on a node of that release"
    await process.live.stop()


async def test_a_late_answer_never_brings_an_older_value_back(two: tuple[Process, Process], database: Database) -> None:
    one, other = two
    await one.put(15)
    await until(lambda: other.minutes == 15)
    older = text("UPDATE settings SET revision = 0, value = '{}'")
    await database.write(lambda connection: connection.execute(older))
    other.cache.forget(WORD)
    await other.live.get(SESSIONS)
    assert other.minutes == 15


async def test_a_process_that_is_about_to_serve_can_ask_first(database: Database) -> None:
    await Process(database).put(15)
    process = Process(database)
    await process.live.refresh()
    assert (process.minutes, process.live.revision) == (15, 1)


async def test_a_mistake_of_ours_is_said_and_does_not_end_the_following(
    sqlite_url: str,
    open_database: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(hot_settings, "AGAIN_S", 0.05)
    database = await open_database(sqlite_url)
    await Process(database).put(15)
    # SQLite keeps whatever it is given, so this is a row that the code does not expect.
    await database.write(lambda connection: connection.execute(text("UPDATE settings SET revision = 'one'")))
    process = Process(database)
    process.live.start()
    await until(lambda: "cannot be followed" in caplog.text)
    await database.write(lambda connection: connection.execute(text("UPDATE settings SET revision = 1")))
    await until(lambda: process.minutes == 15)
    await process.live.stop()


async def test_a_change_is_read_once_however_many_ask(database: Database) -> None:
    read: list[object] = []

    def reading(found: Mapping[str, object]) -> SessionPolicy:
        read.append(found)
        return SESSIONS.read(found)

    counted = replace(SESSIONS, read=reading)
    live = LiveSettings(SqlSettingsStore(database), NoCache(), {SESSIONS.name: counted})
    writer = Process(database)
    for minutes in (15, 20):
        await writer.put(minutes)
        for _ in range(5):
            await live.refresh()
            held = (await live.get(counted)).value
            assert live.current(counted) is held, "each use has the same value"
            assert held.idle_minutes == minutes
    assert len(read) == 2
