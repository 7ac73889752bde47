"""Folders of the vault and the rights on them. Each call is one transaction with its record.

Raises a ``DatabaseError`` when the database does not answer.
"""

from collections.abc import Collection, Iterable
from typing import Final

from sqlalchemy import Connection

from rppam.access.accounts.model import AccountRole
from rppam.access.sessions.model import Identity
from rppam.ledger.model import Entity
from rppam.vault.errors import FolderUnknown, RightLacking, WouldWiden
from rppam.vault.model import Folder, FolderRight, Right
from rppam.vault.service import Vault
from rppam.vault.store import (
    change_folder,
    create_folder,
    folder_in,
    folders_in,
    put_rights,
    remove_folder,
    rights_in,
)
from rppam.vault.widening_store import check_folder_move, lock_folders

_GIVES: Final = frozenset({AccountRole.ADMIN})


class Folders:
    """See the module."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def all(self, caller: Identity) -> list[tuple[Folder, frozenset[Right]]]:
        """Those that the caller has rights on, and which."""

        def work(connection: Connection) -> list[tuple[Folder, frozenset[Right]]]:
            access = self._vault.access(connection, caller)
            found = [(folder, access.on_folder(folder.path)) for folder in folders_in(connection)]
            return [(folder, rights) for folder, rights in found if rights]

        return await self._vault.database.read(work)

    async def held(self, caller: Identity, path: str) -> frozenset[Right]:
        """What the caller has on a folder."""
        return await self._vault.database.read(
            lambda connection: self._vault.access(connection, caller).on_folder(path)
        )

    async def create(self, caller: Identity, path: str, description: str) -> Folder:
        """Raises :class:`RightLacking`, :class:`~rppam.vault.errors.EntryNameTaken`."""

        def work(connection: Connection) -> Folder:
            if Right.MANAGE not in self._vault.access(connection, caller).on_folder(path):
                raise RightLacking("you may not make folders here")
            return create_folder(connection, path, description)

        return await self._vault.database.write(work)

    async def change(
        self,
        caller: Identity,
        ident: str,
        path: str | None,
        description: str | None,
        expected: Collection[int] | None,
        if_match: Collection[int] | None = None,
    ) -> Folder:
        """Raises :class:`FolderUnknown`, :class:`RightLacking`, :class:`~rppam.vault.errors.EntryNameTaken`,
        :class:`~rppam.vault.errors.EntryChanged`, :class:`~rppam.vault.errors.WouldWiden`,
        :class:`~rppam.http.errors.PreconditionFailedError`."""

        def work(connection: Connection) -> Folder:
            folder = self._managed(connection, caller, ident)
            if path not in {None, folder.path}:
                lock_folders(connection)
                folder = self._managed(connection, caller, ident)
            access = self._vault.access(connection, caller)
            after = folder._replace(
                path=folder.path if path is None else path,
                description=folder.description if description is None else description,
            )
            if Right.MANAGE not in access.on_folder(after.path):
                raise RightLacking("you may not move folders there")
            if after.path != folder.path:
                check_folder_move(connection, access, folder, after.path)
            return change_folder(connection, after, expected, if_match)

        return await self._vault.tried("folder.change", Entity("folder", ident), work, WouldWiden, RightLacking)

    async def one(self, caller: Identity, ident: str) -> tuple[Folder, frozenset[Right]]:
        """One that the caller has rights on, and which. Raises :class:`FolderUnknown`."""

        def work(connection: Connection) -> tuple[Folder, frozenset[Right]]:
            folder = folder_in(connection, ident)
            held = self._vault.access(connection, caller).on_folder(folder.path)
            if not held:
                raise FolderUnknown("no folder has this id")
            return folder, held

        return await self._vault.database.read(work)

    async def remove(self, caller: Identity, ident: str, if_match: Collection[int] | None = None) -> None:
        """Raises :class:`FolderUnknown`, :class:`RightLacking`, :class:`~rppam.vault.errors.FolderInUse`,
        :class:`~rppam.http.errors.PreconditionFailedError`."""

        def work(connection: Connection) -> None:
            self._managed(connection, caller, ident)
            remove_folder(connection, ident, if_match)

        await self._vault.database.write(work)

    async def rights(self, caller: Identity, ident: str) -> tuple[Folder, list[FolderRight]]:
        """Rights on a folder itself. Raises :class:`FolderUnknown`, :class:`RightLacking`."""

        def work(connection: Connection) -> tuple[Folder, list[FolderRight]]:
            folder = self._managed(connection, caller, ident, Right.AUDIT)
            return folder, rights_in(connection, ident)

        return await self._vault.database.read(work)

    async def put_rights(
        self,
        caller: Identity,
        ident: str,
        rights: Iterable[FolderRight],
        expected: Collection[int] | None,
        if_match: Collection[int] | None = None,
    ) -> tuple[Folder, list[FolderRight]]:
        """Replace them. Who manages a folder gives no right that the own role would not: only an administrator lets
        somebody see secrets. Raises as :meth:`rights`, :class:`~rppam.vault.errors.EntryChanged`,
        :class:`~rppam.http.errors.PreconditionFailedError`."""
        wanted = list(rights)

        def work(connection: Connection) -> tuple[Folder, list[FolderRight]]:
            self._managed(connection, caller, ident)
            if not caller.roles.intersection(_GIVES):
                raise RightLacking("only an administrator gives rights on folders")
            put_rights(connection, ident, wanted, expected, if_match)
            return folder_in(connection, ident), rights_in(connection, ident)

        return await self._vault.database.write(work)

    def _managed(self, connection: Connection, caller: Identity, ident: str, *also: Right) -> Folder:
        folder = folder_in(connection, ident)
        held = self._vault.access(connection, caller).on_folder(folder.path)
        if not held:
            raise FolderUnknown("no folder has this id")
        if held.isdisjoint({Right.MANAGE, *also}):
            raise RightLacking("you do not manage this folder")
        return folder
