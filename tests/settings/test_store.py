"""Hot configuration on both databases: revisions, the fence, the past, and the log of changes in one transaction."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from rppam.cache.change_log import Mark, SqlChangeLog
from rppam.cache.model import CacheKey, Change, Kind
from rppam.cluster.health.ports import Authority, Leadership
from rppam.cluster.store.epoch_register import SqlEpochRegister
from rppam.db.database import Database
from rppam.db.errors import DatabaseError
from rppam.http.errors import FencedError
from rppam.kernel.fence import Fenced
from rppam.settings.errors import SettingChanged
from rppam.settings.model import StoredSetting
from rppam.settings.store import SqlSettingsStore

pytestmark = pytest.mark.integration

LEADER = Authority(7, "boot-a")
NAME = "security/sessions"


@pytest.fixture
def store(database: Database) -> SqlSettingsStore:
    return SqlSettingsStore(database)


async def put(
    store: SqlSettingsStore, value: str, expected: list[int] | None = None, authority: Authority = LEADER
) -> StoredSetting:
    return (await store.write(Leadership("node1", authority), NAME, value, "sue", expected)).stored


async def test_each_change_is_a_revision_with_its_past(store: SqlSettingsStore, database: Database) -> None:
    assert await store.read(NAME) is None
    assert await store.read_all() == []
    first = await put(store, "one")
    second = await put(store, "two", [1, 5])
    assert (first.revision, second.revision) == (1, 2)
    assert second[2:6] == ("two", "sue", 7, "node1")
    assert await store.read(NAME) == second
    assert await store.read_all() == [second]
    assert await store.history(NAME, None, 10) == [second, first]
    assert await store.history(NAME, None, 1) == [second]
    assert await store.history(NAME, 2, 10) == [first]
    assert await store.revision(NAME, 1) == first
    assert await store.revision(NAME, 3) is None
    told = (await SqlChangeLog(database).since(Mark())).found
    assert told == [Change(CacheKey(Kind.SETTING, NAME), 1), Change(CacheKey(Kind.SETTING, NAME), 2)]


async def test_the_same_value_again_is_no_change(store: SqlSettingsStore, database: Database) -> None:
    first = await put(store, "one", [0])
    assert await put(store, "one") == first
    assert await store.write(Leadership("node2", LEADER), NAME, "one", "bob", None) == (first, False), (
        "and nobody else made it"
    )
    assert await store.history(NAME, None, 10) == [first]
    assert len((await SqlChangeLog(database).since(Mark()))[0]) == 1
    with pytest.raises(SettingChanged):
        await put(store, "one", [0])


async def test_another_revision_than_the_expected_writes_nothing(store: SqlSettingsStore) -> None:
    with pytest.raises(SettingChanged) as caught:
        await put(store, "one", [1])
    assert caught.value.revision == 0
    first = await put(store, "one", [0])
    for expected in ([], [0], [2, 3]):
        with pytest.raises(SettingChanged) as caught:
            await put(store, "two", expected)
        assert caught.value.revision == 1
    assert await store.history(NAME, None, 10) == [first]


async def test_only_the_newest_leader_writes(store: SqlSettingsStore, database: Database) -> None:
    first = await put(store, "one")
    assert await SqlEpochRegister(database).claim(8, "node2", "boot-b", 2_000) is Fenced.ACCEPTED
    for deposed in (LEADER, Authority(8, "boot-a"), Authority(1, "boot-b")):
        with pytest.raises(FencedError, match="newer leader"):
            await put(store, "two", authority=deposed)
    assert await store.history(NAME, None, 10) == [first]
    assert (await put(store, "two", authority=Authority(8, "boot-b"))).revision == 2
    # A write carries its epoch to the fence by itself, so the leader before is out with it.
    assert (await put(store, "three", authority=Authority(9, "boot-c"))).revision == 3
    with pytest.raises(FencedError):
        await put(store, "four", authority=Authority(8, "boot-b"))


async def test_of_many_writers_at_once_one_wins_each_revision(
    url: str, open_database: Callable[..., Any], database: Database
) -> None:
    stores = [SqlSettingsStore(database), SqlSettingsStore(await open_database(url))]
    for revision in range(5):
        outcomes = await asyncio.gather(
            *(put(stores[which % 2], f"{revision}-{which}", [revision]) for which in range(6)), return_exceptions=True
        )
        won = [outcome for outcome in outcomes if isinstance(outcome, StoredSetting)]
        assert [one.revision for one in won] == [revision + 1], outcomes
        assert sum(isinstance(outcome, SettingChanged) for outcome in outcomes) == 5
        assert await stores[1].read(NAME) == won[0]
    past = await stores[0].history(NAME, None, 100)
    assert [one.revision for one in past] == [5, 4, 3, 2, 1]


async def test_a_write_that_fails_half_way_leaves_nothing(store: SqlSettingsStore, database: Database) -> None:
    first = await put(store, "one")
    await database.write(lambda connection: connection.execute(text("ALTER TABLE changes RENAME TO hidden")))
    with pytest.raises(DatabaseError):
        await put(store, "two")
    await database.write(lambda connection: connection.execute(text("ALTER TABLE hidden RENAME TO changes")))
    assert await store.read(NAME) == first
    assert await store.history(NAME, None, 10) == [first]
    assert (await put(store, "two")).revision == 2
