"""Lockouts and counters of limits in both databases: one lockout at a time, longer each time, and exact counts."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, update

from rppam.access.accounts.model import Account, AccountRole, StoredAccount
from rppam.access.accounts.store import SqlAccounts
from rppam.access.lockouts.model import FORGIVEN_MS, LockKind, LockoutPolicy, address_suspect, user_suspect
from rppam.access.lockouts.sql_tries import SqlTries
from rppam.access.lockouts.store import SqlLockouts
from rppam.access.lockouts.tables import limit_counters, lockouts, login_tries
from rppam.access.lockouts.tries import LEASE_MS, Booked, Watched
from rppam.cache.change_log import Mark, SqlChangeLog
from rppam.cache.model import CacheKey, Kind
from rppam.db.database import Database
from rppam.kernel.instant import WallMs
from rppam.kernel.limit import Limit, Shape
from rppam.kernel.secret import Secret
from tests.access.lockouts.oracle import Texts, enter, fail, leave

pytestmark = pytest.mark.integration

POLICY = LockoutPolicy(lock_minutes=2, lock_minutes_max=5)
ANNA, HOST = user_suspect("anna"), address_suspect("192.0.2.7")


async def shift(database: Database, ms: int) -> None:
    """As if everything had happened ``ms`` earlier."""
    change = update(lockouts).values(since=lockouts.c.since - ms, until=lockouts.c.until - ms)
    await database.write(lambda connection: connection.execute(change).rowcount)


async def test_a_lockout_stands_until_its_end_and_the_next_is_longer(database: Database) -> None:
    store = SqlLockouts(database)
    assert await store.held([ANNA.subject, HOST.subject]) == []
    for level, minutes in enumerate((2, 4, 5, 5), start=1):
        lockout = await store.lock(ANNA, POLICY)
        assert (lockout.kind, lockout.level, lockout.until - lockout.since) == (LockKind.USER, level, minutes * 60_000)
        again = await store.lock(ANNA, POLICY)
        assert again == lockout._replace(left_ms=again.left_ms)
        assert again.left_ms == pytest.approx(lockout.left_ms, abs=30_000)
        held = await store.held([ANNA.subject, HOST.subject])
        assert [one.subject for one in held] == [ANNA.subject]
        assert 0 < held[0].left_ms <= minutes * 60_000
        await shift(database, minutes * 60_000 + 1)
        assert await store.held([ANNA.subject]) == []
    await shift(database, FORGIVEN_MS)
    assert (await store.lock(ANNA, POLICY)).level == 1


async def test_of_many_nodes_at_once_one_locks(url: str, open_database: Callable[..., Any]) -> None:
    stores = [SqlLockouts(await open_database(url, 20_000)) for _ in range(3)]
    found = await asyncio.gather(*(store.lock(one, POLICY) for store in stores * 4 for one in (ANNA, HOST)))
    assert {(one.subject, one.level) for one in found} == {(ANNA.subject, 1), (HOST.subject, 1)}
    assert len({one.until for one in found}) <= 2


async def test_names_are_shown_only_where_an_account_has_them(database: Database) -> None:
    account = Account("1", "anna", "", frozenset({AccountRole.USER}), False, WallMs(1), WallMs(1))
    await SqlAccounts(database).create(StoredAccount(account, Secret("x")))
    store = SqlLockouts(database)
    for suspect in (ANNA, user_suspect("hunter2"), user_suspect("my secret pass phrase"), HOST):
        await store.lock(suspect, POLICY)
    assert sorted(one.shown for one in await store.all(10)) == ["", "", "192.0.2.7", "anna"]
    assert len(await store.all(3)) == 3


async def test_an_unlock_ends_it_everywhere_and_is_in_the_log_of_changes(database: Database) -> None:
    store = SqlLockouts(database)
    await store.lock(ANNA, POLICY)
    await store.lock(HOST, POLICY)
    stood, change = await store.unlock(ANNA.subject)
    assert stood is not None
    assert (stood.shown, stood.level, change.key) == ("", 1, CacheKey(Kind.UNLOCK, ANNA.subject))
    assert [one.subject for one in await store.all(10)] == [HOST.subject]
    nobody, again = await store.unlock(ANNA.subject)
    assert nobody is None
    assert (await SqlChangeLog(database).since(Mark()))[0] == [change, again]
    assert (await store.lock(ANNA, POLICY)).level == 1, "an unlock forgets the earlier ones"


async def test_old_rows_are_swept(database: Database) -> None:
    store = SqlLockouts(database)
    for number in range(20):
        await store.lock(address_suspect(f"192.0.2.{number}"), POLICY)
    await shift(database, 8 * FORGIVEN_MS)
    await store.lock(ANNA, POLICY)
    rows = select(func.count()).select_from(lockouts)
    assert await database.read(lambda connection: connection.execute(rows).scalar_one()) == 1


# ---- counters --------------------------------------------------------------------------------------------------------

USER = Limit("login-user-wrong", Shape.WINDOW, 10, 900_000)
ADDRESS = Limit("login-address-wrong", Shape.WINDOW, 20, 900_000)
BOTH = (Watched(USER, "anna"), Watched(ADDRESS, "host"))
NAMES = [f"{number:016x}" for number in range(100)]


async def test_tries_stand_as_their_oracle_says(database: Database) -> None:
    tries = SqlTries(database)
    texts: tuple[Texts, ...] = (Texts(), Texts())
    limits, now_us = [one.limit for one in BOTH], 1_795_000_000_000_000
    for name in NAMES[:6]:
        assert (await tries.enter(BOTH, name)).allowed
        texts = enter(limits, texts, now_us, name).texts
    await tries.leave(BOTH, NAMES[0])
    texts = leave(limits, texts, now_us, NAMES[0]).texts
    for name in NAMES[1:4]:
        found = await tries.fail(BOTH, name)
        after = fail(limits, texts, now_us, name)
        assert [one[:2] for one in found] == [one[:2] for one in after.entry.standings]
        texts = after.texts
    for name in NAMES[10:16]:
        entry, after = await tries.enter(BOTH, name), enter(limits, texts, now_us, name)
        assert entry.allowed == after.entry.allowed
        assert [one[:2] for one in entry.standings] == [one[:2] for one in after.entry.standings]
        texts = after.texts
    await tries.forget(BOTH[:1])
    assert [one[:2] for one in await tries.look(BOTH)] == [(0, 7), (3, 7)], "what is under way stays so"


async def test_no_one_too_many_from_several_nodes(url: str, open_database: Callable[..., Any]) -> None:
    nodes = [SqlTries(await open_database(url, 20_000)) for _ in range(3)]
    entries = await asyncio.gather(
        *(node.enter(BOTH if at % 2 else BOTH[::-1], NAMES[at]) for at, node in enumerate(nodes * 8))
    )
    assert sum(entry.allowed for entry in entries) == 10


async def test_what_is_not_renewed_lapses_within_seconds(database: Database) -> None:
    tries = SqlTries(database)
    for name in NAMES[:10]:
        await tries.enter(BOTH, name)
    (standing, _) = await tries.look(BOTH)
    assert standing[:2] == (0, 10)
    assert 0 < standing.lapses_ms <= LEASE_MS
    earlier = update(login_tries).values(expires_at=login_tries.c.expires_at - LEASE_MS)
    await database.write(lambda connection: connection.execute(earlier).rowcount)
    assert (await tries.look(BOTH))[0] == (0, 0, 0)
    await tries.renew(BOTH, NAMES[3])
    assert (await tries.look(BOTH))[0][:2] == (0, 1), "its process lives after all"
    assert (await tries.enter(BOTH, NAMES[20])).allowed
    rows = select(func.count()).select_from(login_tries)
    assert await database.read(lambda connection: connection.execute(rows).scalar_one()) == 4, "the others are swept"


async def test_what_others_have_seen_is_booked_by_its_age(database: Database) -> None:
    tries = SqlTries(database)
    counts = await tries.book(
        [Booked(BOTH[0], (0, 60_000, 800_000)), Booked(BOTH[1], (0, 2_000_000)), Booked(BOTH[0], (0,) * 10)]
    )
    assert counts == [13, 1, 13]
    assert not (await tries.enter(BOTH, NAMES[0])).allowed


async def test_counters_that_say_nothing_are_swept(database: Database) -> None:
    tries = SqlTries(database)
    for number in range(30):
        await tries.fail([Watched(Limit("short", Shape.WINDOW, 5, 1), f"{number}")], NAMES[number])
    await asyncio.sleep(0.01)
    await tries.fail([Watched(USER, "anna")], NAMES[0])
    rows = select(func.count()).select_from(limit_counters)
    assert await database.read(lambda connection: connection.execute(rows).scalar_one()) == 1
