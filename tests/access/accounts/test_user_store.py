"""Administration of accounts in both databases: one transaction a change, and never without an administrator."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rppam.access.accounts.errors import AccountUnknown, LastAdmin, NameLooksTaken, NameTaken, UserUnknown
from rppam.access.accounts.model import Account, AccountRole, StoredAccount, UserChange, UserQuery
from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.service import Accounts
from rppam.access.accounts.store import SqlAccounts, facts_of
from rppam.access.sessions.store import SqlSessions
from rppam.cache.change_log import Mark, SqlChangeLog
from rppam.cache.model import CacheKey, Change, Kind
from rppam.db.database import Database
from rppam.kernel.errors import RppamError
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from tests.support.shelf import CHEAP

pytestmark = pytest.mark.integration

ADMIN, USER, AUDITOR = AccountRole.ADMIN, AccountRole.USER, AccountRole.AUDITOR


def stored(name: str, *roles: AccountRole, display_name: str = "Jörg Ω") -> StoredAccount:
    account = Account(f"id-{name}", name, display_name, frozenset(roles or (USER,)), False, WallMs(1), WallMs(2))
    return StoredAccount(account, Secret(f"hash-of-{name}"))


async def reset_on_the_host(users: SqlAccounts, name: str) -> None:
    passwords = Passwords(CHEAP)
    try:
        await Accounts(users, passwords, SystemClock()).reset_password(name)
    finally:
        passwords.close()


async def told(database: Database) -> list[Change]:
    return (await SqlChangeLog(database).since(Mark()))[0]


async def test_each_change_raises_the_revision_once_and_is_told_once(database: Database) -> None:
    users, facts = SqlAccounts(database), SqlSessions(database).facts
    await users.create(stored("root", ADMIN))
    anna = await users.create(stored("anna", USER, AUDITOR))
    assert (anna.revision, anna.auth_epoch) == (1, 1)
    promoted, _ = await users.change("id-anna", UserChange(roles=frozenset({ADMIN}), display_name="Anna"))
    assert (promoted.revision, promoted.auth_epoch) == (2, 1), "a role change ends no session"
    assert (promoted.roles, promoted.display_name) == (frozenset({ADMIN}), "Anna")
    disabled, made = await users.change("id-anna", UserChange(disabled=True))
    assert (disabled.revision, disabled.auth_epoch, disabled.disabled) == (3, 2, True)
    assert made == UserChange(disabled=True)
    again = await users.change("id-anna", UserChange(disabled=True))
    assert again == (disabled, UserChange()), "there is nothing left to do"
    same = UserChange("Anna", disabled=True, roles=frozenset({ADMIN}))
    assert await users.change("id-anna", same) == await users.change("id-anna", UserChange()) == again
    enabled, _ = await users.change("id-anna", UserChange(disabled=False))
    assert (enabled.revision, enabled.auth_epoch, enabled.disabled) == (4, 2, False)
    password = await users.set_password("id-anna", Secret("another"), WallMs(7))
    assert password is not None
    assert (password.revision, password.auth_epoch) == (5, 3)
    assert (await users.get("id-anna")).password_hash == Secret("another")
    gone = await users.delete("id-anna")
    assert (gone.revision, gone.auth_epoch, gone.disabled) == (6, 4, True)
    lines = [change for change in await told(database) if change.key.ident == "id-anna"]
    assert lines == [Change(CacheKey(Kind.USER, "id-anna"), revision) for revision in range(1, 7)]
    loaded = await facts("id-anna")
    assert loaded == facts_of(gone)
    seen, _ = loaded
    assert (seen.name, seen.roles) == ("anna", frozenset({ADMIN}))
    assert (seen.disabled, seen.auth_epoch, seen.has_mfa) == (True, 4, False)
    assert await facts("id-nobody") is None


async def test_a_refused_change_changes_nothing_and_tells_nothing(database: Database) -> None:
    users = SqlAccounts(database)
    await users.create(stored("root", ADMIN))
    before, lines = await users.get("id-root"), await told(database)
    for refused in (
        users.change("id-root", UserChange(disabled=True)),
        users.change("id-root", UserChange(display_name="x", roles=frozenset({AUDITOR}))),
        users.delete("id-root"),
    ):
        with pytest.raises(LastAdmin, match="root is the last enabled account with the role pam_admin"):
            await refused
    assert await users.get("id-root") == before
    assert await told(database) == lines


async def test_a_disabled_or_deleted_administrator_is_none(database: Database) -> None:
    users = SqlAccounts(database)
    for name in ("root", "second", "third"):
        await users.create(stored(name, ADMIN))
    await users.change("id-second", UserChange(disabled=True))
    await users.delete("id-third")
    with pytest.raises(LastAdmin):
        await users.delete("id-root")
    await users.change("id-root", UserChange(display_name="still here", roles=frozenset({ADMIN, USER})))
    await users.change("id-second", UserChange(roles=frozenset()))
    await users.change("id-second", UserChange(disabled=False, roles=frozenset({ADMIN})))
    await users.delete("id-root")


async def test_administrators_who_remove_each_other_at_once_leave_one(
    url: str, open_database: Callable[..., Any]
) -> None:
    nodes = [SqlAccounts(await open_database(url)) for _ in range(4)]
    names = [f"boss-{number}" for number in range(8)]
    for name in names:
        await nodes[0].create(stored(name, ADMIN))
    ways = (
        lambda node, name: node.delete(f"id-{name}"),
        lambda node, name: node.change(f"id-{name}", UserChange(disabled=True)),
        lambda node, name: node.change(f"id-{name}", UserChange(roles=frozenset({USER}))),
    )
    done = await asyncio.gather(
        *(ways[place % 3](nodes[place % 4], name) for place, name in enumerate(names)), return_exceptions=True
    )
    assert [type(one) for one in done if isinstance(one, BaseException)] == [LastAdmin]
    left = (await nodes[0].page(UserQuery(role=ADMIN))).users
    assert len([account for account in left if not account.disabled]) == 1


async def test_names_that_are_or_look_taken_are_refused(database: Database) -> None:
    users = SqlAccounts(database)
    await users.create(stored("root", ADMIN))
    await users.create(stored("modern10", USER))
    with pytest.raises(NameTaken, match="exists already"):
        await users.create(stored("root"))
    for like in ("r00t", "ro0t", "modernlo", "modem1o", "m0dem10"):
        with pytest.raises(NameLooksTaken, match=f"'{like}' looks like '(root|modern10)'"):
            await users.create(stored(like))
    await users.delete("id-modern10")
    with pytest.raises(NameTaken, match="existed and was deleted"):
        await users.create(stored("modern10"))
    with pytest.raises(NameLooksTaken):
        await users.create(stored("modem10"))
    await users.create(stored("rooot"))
    await users.create(stored("admin"))
    with pytest.raises(NameLooksTaken):
        await users.create(stored("adm1n"))
    await users.create(stored("karl"))
    await users.create(stored("kari"))


async def test_of_names_that_look_alike_made_at_once_one_is_taken(url: str, open_database: Callable[..., Any]) -> None:
    nodes = [SqlAccounts(await open_database(url)) for _ in range(4)]
    names = ["modern", "modem", "m0dern", "m0dem"]
    done = await asyncio.gather(
        *(node.create(stored(name)) for node, name in zip(nodes, names, strict=True)), return_exceptions=True
    )
    assert [type(one) for one in done if isinstance(one, BaseException)] == [NameLooksTaken] * 3


async def test_a_page_is_by_name_and_knows_the_total(database: Database) -> None:
    users = SqlAccounts(database)
    for number in range(7):
        await users.create(stored(f"user-{number + 2}", display_name=f"Zoë 100% {number}"))
    await users.create(stored("root", ADMIN, AUDITOR, display_name="Über_Boss"))
    await users.delete("id-user-4")
    first = await users.page(UserQuery(page=1, page_size=3))
    assert ([account.name for account in first.users], first.total) == (["root", "user-2", "user-3"], 7)
    assert first.users[0].roles == {ADMIN, AUDITOR}
    last = await users.page(UserQuery(page=3, page_size=3))
    assert ([account.name for account in last.users], last.total) == (["user-8"], 7)
    beyond = await users.page(UserQuery(page=9, page_size=3))
    assert (beyond.users, beyond.total) == ((), 7)
    everybody = await users.page(UserQuery(deleted=True))
    assert [account.name for account in everybody.users if account.deleted_at is not None] == ["user-4"]
    assert [account.name for account in (await users.page(UserQuery(search="ROO"))).users] == ["root"]
    assert [account.name for account in (await users.page(UserQuery(search="_boss"))).users] == ["root"]
    assert (await users.page(UserQuery(search="100% 6"))).total == 1
    assert (await users.page(UserQuery(search="1_0"))).total == 0, "a pattern's signs are plain text"
    assert (await users.page(UserQuery(search="' OR 1=1 --"))).total == 0
    assert [account.name for account in (await users.page(UserQuery(role=AUDITOR))).users] == ["root"]


async def test_what_is_deleted_is_shown_and_not_changed(database: Database) -> None:
    users = SqlAccounts(database)
    await users.create(stored("anna"))
    await users.delete("id-anna")
    assert (await users.get("id-anna")).account.deleted_at is not None
    for refused in (
        users.change("id-anna", UserChange(disabled=False)),
        users.delete("id-anna"),
        users.set_password("id-anna", Secret("x"), WallMs(1)),
        users.change("id-nobody", UserChange()),
        users.get("id-nobody"),
    ):
        with pytest.raises(UserUnknown):
            await refused
    with pytest.raises(AccountUnknown):
        await reset_on_the_host(users, "anna")


async def test_of_two_password_changes_from_one_password_one_wins(url: str, open_database: Callable[..., Any]) -> None:
    nodes = [SqlAccounts(await open_database(url)) for _ in range(2)]
    await nodes[0].create(stored("anna"))
    old = Secret("hash-of-anna")
    done = await asyncio.gather(
        *(node.set_password("id-anna", Secret(f"new-{n}"), WallMs(n), instead_of=old) for n, node in enumerate(nodes))
    )
    assert sum(one is None for one in done) == 1


async def test_a_password_reset_on_the_host_ends_sessions_and_is_told(database: Database) -> None:
    users = SqlAccounts(database)
    await users.create(stored("anna"))
    await reset_on_the_host(users, "anna")
    account = (await users.get("id-anna")).account
    assert (account.revision, account.auth_epoch) == (2, 2)
    assert (await told(database))[-1] == Change(CacheKey(Kind.USER, "id-anna"), 2)


async def test_roles_changed_at_once_leave_one_of_the_wishes(url: str, open_database: Callable[..., Any]) -> None:
    nodes = [SqlAccounts(await open_database(url)) for _ in range(4)]
    await nodes[0].create(stored("anna"))
    wishes = [frozenset(some) for some in ((), (USER,), (AUDITOR, USER), (ADMIN, AUDITOR, USER))]
    done = await asyncio.gather(
        *(node.change("id-anna", UserChange(roles=wish)) for node, wish in zip(nodes, wishes, strict=True)),
        return_exceptions=True,
    )
    # The one that makes an administrator may be followed only by one that keeps it: that is the last one.
    assert all(not isinstance(one, BaseException) or isinstance(one, RppamError) for one in done)
    stands = (await nodes[0].get("id-anna")).account
    newest, _ = max((one for one in done if not isinstance(one, BaseException)), key=lambda one: one[0].revision)
    assert stands == newest
