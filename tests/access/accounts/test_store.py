"""Accounts in both databases."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import text

from rppam.access.accounts.errors import AccountUnknown, InvalidCredentials, NameTaken, UserUnknown
from rppam.access.accounts.model import Account, AccountRole, StoredAccount
from rppam.access.accounts.passwords import HashParameters, Passwords
from rppam.access.accounts.service import Accounts
from rppam.access.accounts.store import SqlAccounts
from rppam.db.database import Database
from rppam.db.errors import DatabaseValueRefused
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock

pytestmark = pytest.mark.integration

CHEAP = HashParameters(memory_kib=64, passes=1)


def stored(name: str, *, number: int = 1, roles: tuple[AccountRole, ...] = (AccountRole.USER,)) -> StoredAccount:
    account = Account(f"id-{number}", name, "Jörg Ω", frozenset(roles), False, WallMs(1_795_478_400_123), WallMs(2))
    return StoredAccount(account, Secret(f"hash-{number}"))


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    passwords = Passwords(CHEAP)
    yield passwords
    passwords.close()


async def test_what_is_stored_comes_back(database: Database) -> None:
    accounts = SqlAccounts(database)
    assert await accounts.is_empty()
    assert await accounts.find("anna") is None
    anna = stored("anna", roles=(AccountRole.APPROVER, AccountRole.ADMIN))
    await accounts.create(anna)
    assert await accounts.find("anna") == anna
    assert not await accounts.is_empty()
    bert = stored("bert", number=2, roles=())
    await accounts.create(bert)
    assert await accounts.all() == (anna.account, bert.account)


async def test_a_name_is_taken_once(database: Database) -> None:
    accounts = SqlAccounts(database)
    await accounts.create(stored("anna"))
    with pytest.raises(NameTaken, match="'anna' exists already"):
        await accounts.create(stored("anna", number=2))
    assert len(await accounts.all()) == 1


async def test_a_password_changed_meanwhile_wins_over_a_rehash(database: Database) -> None:
    accounts = SqlAccounts(database)
    await accounts.create(stored("anna"))
    assert await accounts.set_password("id-1", Secret("hash-new"), WallMs(77))
    assert not await accounts.replace_hash("id-1", Secret("hash-1"), Secret("hash-better"))
    assert await accounts.replace_hash("id-1", Secret("hash-new"), Secret("hash-better"))
    found = await accounts.find("anna")
    assert found is not None
    assert found.password_hash == Secret("hash-better")
    assert found.account.password_changed_at == 77
    with pytest.raises(UserUnknown):
        await accounts.set_password("id-9", Secret("x"), WallMs(78))


async def test_a_role_of_a_newer_release_grants_nothing(database: Database) -> None:
    accounts = SqlAccounts(database)
    await accounts.create(stored("anna"))
    await database.write(
        lambda connection: connection.execute(text("INSERT INTO user_roles VALUES ('id-1', 'pam_emperor')"))
    )
    found = await accounts.find("anna")
    assert found is not None
    assert found.account.roles == {AccountRole.USER}


async def test_a_role_needs_its_account(database: Database) -> None:
    with pytest.raises(DatabaseValueRefused):
        await database.write(
            lambda connection: connection.execute(text("INSERT INTO user_roles VALUES ('nobody', 'pam_admin')"))
        )


async def test_a_value_that_the_database_cannot_hold_is_not_taken_for_its_loss(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    number = text("SELECT CAST('no number' AS INTEGER)") if "postgresql" in repr(database) else None
    with pytest.raises(DatabaseValueRefused, match="cannot hold a value"):
        await database.write(
            lambda connection: connection.execute(
                text("INSERT INTO user_roles VALUES ('nobody', 'pam_admin')") if number is None else number
            )
        )
    assert database.reason == ""
    assert "Lost the database" not in caplog.text


async def test_of_nodes_that_start_at_once_exactly_one_makes_the_administrator(
    url: str, open_database: Callable[..., Any], passwords: Passwords
) -> None:
    clock = SystemClock()
    nodes = [Accounts(SqlAccounts(await open_database(url)), passwords, clock) for _ in range(5)]
    made = await asyncio.gather(*(node.ensure_first_admin() for node in nodes))
    [first] = [admin for admin in made if admin is not None]
    account = await nodes[3].login("Admin", first.password, "127.0.0.1")
    assert account.roles == {AccountRole.ADMIN}
    assert len(await nodes[0].all()) == 1
    assert await nodes[4].ensure_first_admin() is None


async def test_create_first_is_atomic_between_nodes(url: str, open_database: Callable[..., Any]) -> None:
    stores = [SqlAccounts(await open_database(url)) for _ in range(5)]
    made = await asyncio.gather(
        *(store.create_first(stored("admin", number=number)) for number, store in enumerate(stores))
    )
    assert sorted(made) == [False] * 4 + [True]
    [account] = await stores[0].all()
    assert account.id == f"id-{made.index(True)}"
    assert not await stores[0].create_first(stored("somebody-else", number=9))


async def test_a_reset_password_replaces_the_old_one(database: Database, passwords: Passwords) -> None:
    accounts = Accounts(SqlAccounts(database), passwords, SystemClock())
    first = await accounts.ensure_first_admin()
    assert first is not None
    new = await accounts.reset_password("ADMIN")
    with pytest.raises(InvalidCredentials):
        await accounts.login("admin", first.password, "127.0.0.1")
    assert (await accounts.login("admin", new, "127.0.0.1")).name == "admin"
    with pytest.raises(AccountUnknown, match="'nobody'"):
        await accounts.reset_password("nobody")
