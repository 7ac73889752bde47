"""Moves at one instant on both databases: of two that are harmless alone, no secret comes to be seen by who may not."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rppam.access.accounts.model import AccountRole
from rppam.access.sessions.model import Identity, SessionKind
from rppam.db.database import Database
from rppam.db.errors import DatabaseBusy
from rppam.kernel.secret import Secret
from rppam.vault.errors import FolderInUse, FolderUnknown, WouldWiden
from rppam.vault.folder_service import Folders
from rppam.vault.model import Entry, EntryType, FolderRight, Right, Subject
from rppam.vault.service import Change, Vault
from tests.vault.test_sealing import new_master, ring

pytestmark = pytest.mark.server
ROUNDS = 25
ADMIN = Identity("ada", "id-ada", frozenset({AccountRole.ADMIN}), "s", SessionKind.LOGIN, mfa=True)
MANAGER = Identity("ursula", "id-ursula", frozenset({AccountRole.USER}), "s", SessionKind.LOGIN, mfa=True)
MANAGES, SEES = frozenset({Right.MANAGE}), frozenset({Right.MANAGE, Right.REVEAL})


class Office:
    """Two nodes with one vault."""

    def __init__(self, databases: list[Database]) -> None:
        master = new_master()
        self.vaults = [Vault(one, ring(master), lambda: None) for one in databases]
        self.folders = [Folders(one) for one in self.vaults]

    async def folder(self, path: str, rights: frozenset[Right]) -> str:
        made = await self.folders[0].create(ADMIN, path, "")
        given = [FolderRight(Subject("role", AccountRole.USER), rights)]
        await self.folders[0].put_rights(ADMIN, made.id, given, None)
        return made.id

    async def secret(self, path: str, name: str = "root") -> str:
        new = Entry("", "", path, name, EntryType.PASSWORD, None, None)
        return (await self.vaults[0].create(ADMIN, new, {"password": Secret("x")})).id

    async def is_seen(self, ident: str) -> bool:
        """Whether who manages could see it."""
        entry = (await self.vaults[0].get(ADMIN, ident)).entry
        access = await self.vaults[0].database.read(lambda connection: self.vaults[0].access(connection, MANAGER))
        return Right.REVEAL in access.on(entry)


@pytest.fixture
async def office(url: str, open_database: Callable[..., Any]) -> Office:
    return Office([await open_database(url, 20_000) for _ in range(2)])


async def race(*moves: Awaitable[object]) -> None:
    """All at once. What is refused would let somebody see more, or goes to where nothing is any more."""
    found = await asyncio.gather(*moves, return_exceptions=True)
    failed = [one for one in found if isinstance(one, BaseException)]
    assert all(isinstance(one, WouldWiden | FolderUnknown | DatabaseBusy) for one in failed), failed


async def test_an_entry_moves_into_a_folder_that_moves_to_where_it_is_seen(office: Office) -> None:
    await office.folder("seen", SEES)
    for number in range(ROUNDS):
        await office.folder(f"a{number}", MANAGES)
        way = await office.folder(f"way{number}", MANAGES)
        ident = await office.secret(f"a{number}")
        await race(
            office.vaults[0].change(MANAGER, ident, Change(folder=f"way{number}")),
            office.folders[1].change(MANAGER, way, f"seen/way{number}", None, None),
        )
        assert not await office.is_seen(ident), number


async def test_a_folder_moves_below_one_that_moves_above_it(office: Office) -> None:
    await office.folder("top", MANAGES)
    for number in range(ROUNDS):
        mine, theirs = await office.folder(f"m{number}", SEES), await office.folder(f"t{number}", MANAGES)
        ident = await office.secret(f"t{number}")
        await race(
            office.folders[0].change(MANAGER, mine, f"top/x{number}", None, None),
            office.folders[1].change(MANAGER, theirs, f"top/x{number}/y", None, None),
        )
        assert not await office.is_seen(ident), number


async def test_a_folder_is_removed_while_its_entry_moves_and_neither_waits_for_the_other(office: Office) -> None:
    await office.folder("to", MANAGES)
    for number in range(ROUNDS):
        ident = await office.folder(f"f{number}", MANAGES)
        secrets = [await office.secret(f"f{number}", f"root{one}") for one in range(3)]
        moves = [office.vaults[0].change(ADMIN, one, Change(folder="to", name=f"{one}")) for one in secrets]
        removals = [office.folders[1].remove(ADMIN, ident) for _ in range(3)]
        found = await asyncio.gather(*moves, *removals, return_exceptions=True)
        failed = [one for one in found if isinstance(one, BaseException)]
        assert all(isinstance(one, FolderInUse | FolderUnknown) for one in failed), failed
