"""Sessions in SQL, on both databases: what begins, lasts and ends them, and what others hear of it."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, insert, select, update

from rppam.access.accounts.model import Account, AccountRole, StoredAccount
from rppam.access.accounts.store import SqlAccounts
from rppam.access.accounts.tables import user_roles, users
from rppam.access.sessions.model import (
    IDLE_MS_NEVER,
    OVER_HOLDS_MS,
    NewSession,
    SessionKind,
    StoredSession,
    Use,
    token_hash,
    touch_every_ms,
)
from rppam.access.sessions.store import KEPT_MS, SqlSessions
from rppam.access.sessions.tables import sessions as table
from rppam.cache.change_log import Mark, SqlChangeLog
from rppam.cache.model import LIFE_MS_MAX, CacheKey, Change, Kind
from rppam.db.database import Database
from rppam.db.engine import NowMs
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret

pytestmark = [pytest.mark.integration, pytest.mark.server]

MINUTE = 60_000


def new(name: str, user_id: str | None = "id-anna", **changes: Any) -> NewSession:
    made = NewSession(
        id=f"0190-{name}",
        token_hash=token_hash(name),
        user_id=user_id,
        subject="anna",
        kind=SessionKind.LOGIN,
        auth_epoch=1,
        mfa=False,
        life_ms=12 * 60 * MINUTE,
        idle_ms=30 * MINUTE,
        client="10.0.0.7",
        agent="curl",
        node="node1",
    )
    return made._replace(**changes)


@pytest.fixture
async def store(database: Database) -> SqlSessions:
    accounts = SqlAccounts(database)
    for name in ("anna", "bert"):
        account = Account(f"id-{name}", name, name, frozenset({AccountRole.USER}), False, WallMs(1), WallMs(1))
        await accounts.create(StoredAccount(account, Secret("-")))
    return SqlSessions(database)


async def age(database: Database, name: str, **ms: int) -> None:
    """Move a session's times back: what waiting would do."""
    values = {column: table.c[column] - by for column, by in ms.items()}
    change = update(table).where(table.c.token_hash == token_hash(name)).values(**values)
    await database.write(lambda connection: connection.execute(change).close())


async def find(store: SqlSessions, name: str) -> StoredSession:
    found = await store.find(token_hash(name))
    assert found is not None
    return found


async def changed(database: Database) -> list[Change]:
    """What is in the log, but that the two accounts were made."""
    made = {Change(CacheKey(Kind.USER, f"id-{name}"), 1) for name in ("anna", "bert")}
    return [change for change in (await SqlChangeLog(database).since(Mark()))[0] if change not in made]


async def test_a_session_is_found_by_the_hash_of_its_secret_alone(store: SqlSessions, database: Database) -> None:
    opened = await store.open(new("one"))
    assert (opened.session.id, opened.session.subject, opened.session.ended) == ("0190-one", "anna", False)
    [line] = await store.lines(None, None, 10)
    # Each of these times is a look of its own at PostgreSQL's clock.
    assert line.expires_at - line.created_at == pytest.approx(12 * 60 * MINUTE, abs=1_000)
    late = opened.now - line.last_seen_at
    assert opened.holds_ms + late == 31 * MINUTE, "idle time, and the minute that a use may be written late"
    assert (await find(store, "one")).session == opened.session
    assert await store.find("one") is None
    assert await store.find(token_hash("two")) is None

    def texts(connection: Connection) -> str:
        return str(connection.execute(select(table)).all())

    assert token_hash("one") in await database.read(texts)


async def test_opening_the_same_token_twice_is_one_session_and_revives_nothing(store: SqlSessions) -> None:
    first, second = await asyncio.gather(store.open(new("one")), store.open(new("one", id="0190-other")))
    assert first.session.id == second.session.id
    await store.end(first.session.id, "test")
    assert (await store.open(new("one", id="0190-third"))).session.ended


async def test_idle_time_and_the_absolute_end_go_by_the_databases_clock(store: SqlSessions, database: Database) -> None:
    await store.open(new("one"))
    await age(database, "one", last_seen_at=30 * MINUTE)
    assert not (await find(store, "one")).session.ended, "a use within the last minute may not be written yet"
    await age(database, "one", last_seen_at=MINUTE)
    over = await find(store, "one")
    assert (over.session.ended, over.session.ran_out, over.holds_ms) == (True, True, OVER_HOLDS_MS)
    assert await store.lines(None, None, 10) == []
    await store.touch([Use(token_hash("one"), 0, 0)])
    assert (await find(store, "one")).session.ended, "a use after the end revives nothing"
    await store.touch([Use(token_hash("one"), 5 * MINUTE, 0)])
    assert not (await find(store, "one")).session.ended, "uses that began in time, written late, do count"
    await age(database, "one", expires_at=12 * 60 * MINUTE)
    over = await find(store, "one")
    assert (over.session.ended, over.session.ran_out, over.holds_ms) == (True, True, OVER_HOLDS_MS)
    await store.touch([Use(token_hash("one"), 5 * MINUTE, 0)])
    assert (await find(store, "one")).session.ended, "nothing lengthens the absolute life"
    await age(database, "one", expires_at=-12 * 60 * MINUTE)
    assert not (await find(store, "one")).session.ended, "the database's clock was ahead, and stepped back"


async def test_a_session_of_a_short_idle_time_outlives_the_longest_time_between_two_writings(
    store: SqlSessions, database: Database
) -> None:
    await store.open(new("short", idle_ms=2 * MINUTE))
    longer = touch_every_ms(30 * MINUTE)  # as seldom are uses written down once the policy says 30 minutes
    await age(database, "short", last_seen_at=2 * MINUTE + longer - 10_000)
    assert not (await find(store, "short")).session.ended, "it may have been used since, and not be written down yet"
    await age(database, "short", last_seen_at=10_000)
    assert (await find(store, "short")).session.ran_out


async def test_an_older_use_takes_no_newer_one_back(store: SqlSessions) -> None:
    await store.open(new("one"))
    seen = (await store.lines(None, None, 1))[0].last_seen_at
    await store.touch([Use(token_hash("one"), 20 * MINUTE, 20 * MINUTE), Use(token_hash("nobody"), 0, 0)])
    assert (await store.lines(None, None, 1))[0].last_seen_at == seen
    await store.touch([])


async def test_an_end_is_told_in_the_log_of_changes_with_a_higher_revision(
    store: SqlSessions, database: Database
) -> None:
    opened = await store.open(new("one"))
    assert await changed(database) == []
    ended = await store.end(opened.session.id, "test")
    assert ended is not None
    assert (ended.session.ended, ended.revision) == (True, opened.revision + 1)
    assert await changed(database) == [Change(CacheKey(Kind.SESSION, token_hash("one")), ended.revision)]
    over = await find(store, "one")
    assert (over.session.ended, over.session.ran_out, over.holds_ms) == (True, False, LIFE_MS_MAX)
    assert await store.end(opened.session.id, "again") is None
    assert await store.end("0190-nobody", "test") is None
    assert len(await changed(database)) == 1
    assert await store.line(opened.session.id) is None


async def test_ending_a_users_sessions_raises_the_epoch_and_touches_nobody_else(
    store: SqlSessions, database: Database
) -> None:
    for name, user in (("a1", "id-anna"), ("a2", "id-anna"), ("b1", "id-bert")):
        await store.open(new(name, user))
    ended = await store.end_user("id-anna", "test")
    assert ended is not None
    [facts] = ended.users
    assert (ended.alive, facts.facts.auth_epoch, facts.revision) == (2, 2, 2)
    assert await changed(database) == [Change(CacheKey(Kind.USER, "id-anna"), 2)]
    assert [line.subject for line in await store.lines(None, None, 10)] == ["anna"], "bert's, as it calls itself"
    # One that began under what was read before the change is not listed, and no check lets it pass.
    await store.open(new("late", "id-anna"))
    assert [line.user_id for line in await store.lines(None, None, 10)] == ["id-bert"]
    await store.open(new("next", "id-anna", auth_epoch=2))
    assert len(await store.lines("id-anna", None, 10)) == 1
    assert await store.end_user("id-nobody", "test") is None


async def test_ending_all_reaches_every_account_and_every_token_of_a_host(
    store: SqlSessions, database: Database
) -> None:
    await store.open(new("a1"))
    await store.open(new("h1", None, kind=SessionKind.HOST, auth_epoch=0, idle_ms=IDLE_MS_NEVER))
    ended = await store.end_all("test")
    assert ended.alive == 2
    assert [one.token_hash for one in ended.sessions] == [token_hash("h1")]
    assert {one.facts.id: one.facts.auth_epoch for one in ended.users} == {"id-anna": 2, "id-bert": 2}
    assert set(await changed(database)) == {
        Change(CacheKey(Kind.SESSION, token_hash("h1")), 2),
        Change(CacheKey(Kind.USER, "id-anna"), 2),
        Change(CacheKey(Kind.USER, "id-bert"), 2),
    }
    assert await store.lines(None, None, 10) == []
    assert (await store.end_all("again")).alive == 0


CLOCK = ("SELECT CAST(EXTRACT", "SELECT CAST((julianday")
"""The ledger asks for the database's time once a second, whatever is done."""


async def test_ending_all_takes_as_many_statements_for_thousands_of_accounts_as_for_two(
    store: SqlSessions, database: Database
) -> None:
    def people(connection: Connection) -> None:
        columns = {"display_name": "", "password_hash": "-", "disabled": False, "created_at": 1}
        rows = [{"id": f"id-{at}", "name": f"u{at}", "password_changed_at": 1, **columns} for at in range(3_000)]
        connection.execute(insert(users), rows)
        connection.execute(insert(user_roles), [{"user_id": row["id"], "role": "pam_user"} for row in rows])
        hosts = [new(f"h{at}", None, kind=SessionKind.HOST)._asdict() for at in range(300)]
        times = {"revision": 1, "created_at": NowMs(), "last_seen_at": NowMs(), "expires_at": NowMs() + MINUTE}
        stored = [{name: value for name, value in host.items() if name != "life_ms"} for host in hosts]
        connection.execute(insert(table).values(times), stored)

    await store.open(new("first", None, kind=SessionKind.HOST))
    statements: list[str] = []
    asked = event.listens_for(database._engine, "before_cursor_execute")

    def noted(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith(CLOCK):
            statements.append(statement)

    asked(noted)
    assert len((await store.end_all("test")).users) == 2
    few = len(statements)
    await database.write(people)
    statements.clear()
    ended = await store.end_all("test")
    assert len(statements) == few, statements
    assert (len(ended.users), ended.alive, len(ended.sessions)) == (3_002, 300, 300)
    facts = {one.facts.id: one.facts for one in ended.users}
    assert (facts["id-7"].auth_epoch, facts["id-anna"].auth_epoch) == (2, 3)
    assert (facts["id-7"].name, facts["id-7"].roles, facts["id-7"].disabled) == ("u7", frozenset({"pam_user"}), False)
    assert await store.facts("id-7") in ended.users
    assert len(await changed(database)) == 3 + 3_002 + 300


async def test_a_step_up_replaces_the_secret_and_keeps_the_absolute_end(store: SqlSessions, database: Database) -> None:
    opened = await store.open(new("old"))
    renewed = await store.renew(token_hash("old"), token_hash("new"), mfa=True)
    assert renewed is not None
    assert (renewed.session.id, renewed.session.mfa) == (opened.session.id, True)
    assert renewed.session.expires_at == opened.session.expires_at
    assert await store.find(token_hash("old")) is None
    assert await changed(database) == [Change(CacheKey(Kind.SESSION, token_hash("old")), renewed.revision)]
    assert await store.renew(token_hash("old"), token_hash("third"), mfa=True) is None
    await store.end(opened.session.id, "test")
    assert await store.renew(token_hash("new"), token_hash("third"), mfa=True) is None


async def test_lists_come_newest_first_page_by_page(store: SqlSessions, database: Database) -> None:
    for number in range(5):
        await store.open(new(f"{number}", "id-bert" if number == 2 else "id-anna"))
    pages, after = [], None
    while lines := await store.lines("id-anna", after, 2):
        pages.append([line.id for line in lines])
        after = lines[-1].id
    assert pages == [["0190-4", "0190-3"], ["0190-1", "0190-0"]]
    disabled = update(users).where(users.c.id == "id-anna").values(disabled=True)
    await database.write(lambda connection: connection.execute(disabled).close())
    assert [line.id for line in await store.lines(None, None, 10)] == ["0190-2"]


async def test_active_sessions_are_counted_up_to_a_number(store: SqlSessions, database: Database) -> None:
    assert await store.active(50) == 0
    for name in ("a", "b", "c", "d"):
        await store.open(new(name))
    await store.end("0190-a", "asked to")
    await age(database, "b", expires_at=13 * 60 * MINUTE)
    assert (await store.active(50), await store.active(1)) == (2, 1)


async def test_rows_are_swept_long_after_their_end_and_never_before(store: SqlSessions, database: Database) -> None:
    for name in ("old", "young"):
        await store.open(new(name, None, kind=SessionKind.HOST, idle_ms=IDLE_MS_NEVER))
        await age(database, name, expires_at=12 * 60 * MINUTE)
    assert await store.sweep(10) == 0, "a token of a host that was revoked must not be forgotten while it is valid"
    await age(database, "old", expires_at=KEPT_MS + MINUTE)
    assert await store.sweep(10) == 1
    count = select(func.count()).select_from(table)
    assert await database.read(lambda connection: connection.execute(count).scalar_one()) == 1


async def test_many_nodes_at_once_lose_no_session_and_no_end(
    url: str, store: SqlSessions, open_database: Callable[..., Any]
) -> None:
    nodes = [SqlSessions(await open_database(url, 10_000)) for _ in range(3)]
    names = [uuid.uuid4().hex[:20] for _ in range(30)]
    await asyncio.gather(*(nodes[at % 3].open(new(name)) for at, name in enumerate(names)))
    await asyncio.gather(
        *(nodes[at % 3].end(f"0190-{name}", "test") for at, name in enumerate(names[:10])),
        *(node.touch([Use(token_hash(name), 0, 0) for name in names]) for node in nodes),
    )
    assert len(await store.lines(None, None, 100)) == 20


async def test_ending_all_and_writing_down_uses_at_once_do_not_lock_each_other_out(
    url: str, database: Database, store: SqlSessions, open_database: Callable[..., Any]
) -> None:
    nodes = [SqlSessions(await open_database(url, 20_000)) for _ in range(3)]
    for _ in range(3):
        names = [uuid.uuid4().hex[:20] for _ in range(150)]
        await asyncio.gather(*(nodes[at % 3].open(new(name, auth_epoch=9)) for at, name in enumerate(names)))
        older = update(table).values(last_seen_at=table.c.last_seen_at - MINUTE)
        await database.write(lambda connection: connection.execute(older).close())  # noqa: B023  # awaited here
        uses = [Use(token_hash(name), 0, 0) for name in names]
        await asyncio.gather(nodes[0].touch(uses), nodes[1].end_all("test"), nodes[2].touch(uses))
    assert await store.lines(None, None, 100) == []
