"""Settings reach other processes by Redis' push alone, and by the log of changes alone; on a real Redis and SQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from rppam.access.sessions.policy import SESSIONS
from rppam.cache.change_log import ChangeWatch, SqlChangeLog
from rppam.cluster.health.ports import Authority, Leadership
from rppam.db.database import Database
from rppam.settings.hot import LiveSettings
from rppam.settings.service import SettingChanges
from rppam.settings.store import SqlSettingsStore
from tests.support.cached import Process, Table, until
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server]
LEADER = Leadership("node1", Authority(7, "boot-a"))


class Member:
    """One process of a node, with what is in force there."""

    def __init__(self, port: int, database: Database) -> None:
        self.process = Process(port, Table())
        store = SqlSettingsStore(database)
        self.live = LiveSettings(store, self.process.cache)
        self.changes = SettingChanges(store, self.process.cache, self.live)
        self.watch = ChangeWatch(SqlChangeLog(database), self.process.cache.forget)

    async def put(self, minutes: int) -> None:
        await self.changes.put(LEADER, SESSIONS, {"idleMinutes": minutes}, "sue", None)

    async def know_unset(self) -> None:
        """Until it is known near by that nobody has set it."""
        counts, asked = self.process.cache.counts, -1
        async with asyncio.timeout(30):
            while asked != counts.asked_sql:
                asked = counts.asked_sql
                assert (await self.live.get(SESSIONS)).revision == 0

    @property
    def minutes(self) -> int:
        return self.live.current(SESSIONS).idle_minutes


Join = Callable[[], Awaitable[Member]]


@pytest.fixture
async def join(server: Server, tmp_path: Path) -> AsyncIterator[Join]:
    database = Database(f"sqlite:///{tmp_path}/rppam.db")
    await database.start()
    members: list[Member] = []

    async def join_() -> Member:
        member = Member(server.port, database)
        members.append(member)
        await member.process.start()
        member.live.start()
        await until(lambda: member.live.revision is not None)
        return member

    yield join_
    for member in members:
        await member.live.stop()
        await member.process.stop()
    await database.stop()


async def test_a_change_is_pushed_to_whoever_has_never_asked_for_it(join: Join) -> None:
    writer, others = await join(), [await join(), await join()]

    def all_have(minutes: int) -> bool:
        return all(other.minutes == minutes for other in others)

    for minutes in (5, 6, 7):
        await writer.put(minutes)
        assert writer.minutes == minutes
        await until(partial(all_have, minutes))
    assert [other.live.revision for other in others] == [3, 3]


async def test_that_nobody_has_set_one_is_asked_of_sql_once_and_its_first_revision_is_heard_of(join: Join) -> None:
    writer, other = await join(), await join()
    await other.know_unset()
    await writer.put(5)
    await until(lambda: other.minutes == 5)
    assert (await other.live.get(SESSIONS)).revision == 1


async def test_that_nobody_has_set_one_is_forgotten_on_word_of_the_log_alone(join: Join, server: Server) -> None:
    writer, other = await join(), await join()
    await other.know_unset()
    await writer.process.stop()
    await writer.put(5)
    await other.watch.look()
    assert (await other.live.get(SESSIONS)).revision == 1


async def test_without_redis_the_log_of_changes_tells(join: Join, server: Server) -> None:
    writer, other = await join(), await join()
    await writer.put(5)
    await until(lambda: other.minutes == 5)
    await writer.process.stop()
    await other.process.stop()
    await writer.put(6)
    await asyncio.sleep(0.05)
    assert other.minutes == 5, "nobody has told it"
    await other.watch.look()
    await until(lambda: other.minutes == 6)


async def test_a_redis_that_was_flushed_or_holds_rubbish_changes_nothing(join: Join, server: Server) -> None:
    writer, other = await join(), await join()
    await writer.put(5)
    await until(lambda: other.minutes == 5)
    (name,) = server.ask("KEYS", "rppam:cache:*")
    for words in (("SET", name, "rubbish"), ("DEL", name), ("FLUSHALL",)):
        server.ask(*words)
        assert (await other.live.get(SESSIONS)).revision == 1
        assert other.minutes == 5
    await writer.put(6)
    await until(lambda: other.minutes == 6)
