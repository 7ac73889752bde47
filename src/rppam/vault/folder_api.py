"""Folders, rights and keys of the vault over REST."""

from collections.abc import Iterable
from typing import Final

from fastapi import APIRouter, Request, Response

from rppam.access.accounts.model import AccountRole
from rppam.access.rbac.policy import Caller
from rppam.foundation import Foundation
from rppam.http.answers import BODY, HAD, NO_DATABASE
from rppam.http.revisions import Expected, tagged, unchanged
from rppam.http.routes import SIGNED_IN, declare, for_roles
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.kernel.instant import WallMs
from rppam.vault.errors import EntryInvalid
from rppam.vault.folder_service import Folders
from rppam.vault.key_service import VaultKeys
from rppam.vault.model import DESCRIPTION_CHARS_MAX, Folder, FolderRight, Right, Subject, checked_line, checked_path
from rppam.vault.schemas import (
    VAULT,
    FolderId,
    FolderList,
    FolderPut,
    FolderShape,
    KekShape,
    KeyShape,
    NewFolder,
    RightList,
    RightShape,
    Rotated,
    folder_shape,
)

FOLDERS: Final = f"{VAULT}/folders"
ONE: Final = f"{FOLDERS}/{{folderId}}"
KEYS: Final = f"{VAULT}/keys"
folders = APIRouter(tags=["vault"])
_UNKNOWN: Final = {403: "The caller does not manage it", 404: "No folder that the caller may know of", 503: NO_DATABASE}
_CHANGED: Final = "The path is taken, or somebody else has changed it since `revision` (RPPAM-8404)"


@folders.get(FOLDERS, summary="Folders of the vault", response_model=FolderList)
@declare(SIGNED_IN, {503: NO_DATABASE})
async def list_folders(caller: Caller, services: Here) -> FolderList:
    """Those that the caller has a right on, and which."""
    found = await services.get(Folders).all(caller)
    return FolderList(items=[folder_shape(folder, rights) for folder, rights in found])


@folders.post(FOLDERS, summary="Make a folder", status_code=201, response_model=FolderShape)
@declare(SIGNED_IN, {**BODY, 403: "The caller manages nothing there", 409: "The path is taken", 503: NO_DATABASE})
async def make_folder(body: NewFolder, caller: Caller, services: Here, response: Response) -> FolderShape:
    """Rights on the folders above hold for it, too."""
    description = checked_line(body.description, "description", DESCRIPTION_CHARS_MAX)
    made = await services.get(Folders).create(caller, checked_path(body.path), description)
    return _answer(made, await services.get(Folders).held(caller, made.path), response)


@folders.get(ONE, summary="One folder", response_model=FolderShape)
@declare(SIGNED_IN, {404: _UNKNOWN[404], 503: NO_DATABASE})
async def show_folder(folder_id: FolderId, caller: Caller, services: Here, response: Response) -> FolderShape:
    """And the rights that the caller has on it. The ETag is the revision, which those are no part of."""
    return _answer(*await services.get(Folders).one(caller, folder_id), response)


@folders.put(ONE, summary="Change a folder", response_model=FolderShape)
@declare(SIGNED_IN, {**BODY, **_UNKNOWN, 409: _CHANGED})
async def change_folder(
    folder_id: FolderId, body: FolderPut, caller: Caller, expected: Expected, services: Here, response: Response
) -> FolderShape:
    """Another path moves all that lies in it along."""
    path = None if body.path is None else checked_path(body.path)
    description = (
        None if body.description is None else checked_line(body.description, "description", DESCRIPTION_CHARS_MAX)
    )
    seen = None if body.revision is None else {body.revision}
    changed = await services.get(Folders).change(caller, folder_id, path, description, seen, expected)
    return _answer(changed, await services.get(Folders).held(caller, changed.path), response)


@folders.delete(ONE, summary="Delete a folder", status_code=204)
@declare(SIGNED_IN, {**_UNKNOWN, 409: "Entries lie in it"})
async def delete_folder(folder_id: FolderId, caller: Caller, expected: Expected, services: Here) -> None:
    """An empty one."""
    await services.get(Folders).remove(caller, folder_id, expected)


@folders.get(f"{ONE}/rights", summary="Rights on a folder", response_model=RightList)
@declare(SIGNED_IN, {**_UNKNOWN, **HAD})
async def list_rights(
    folder_id: FolderId, request: Request, caller: Caller, services: Here, response: Response
) -> RightList | Response:
    """On the folder itself; those on folders above hold as well. The ETag is the revision of the folder."""
    folder, rights = await services.get(Folders).rights(caller, folder_id)
    return unchanged(request, folder.revision) or _right_list(folder, rights, response)


@folders.put(f"{ONE}/rights", summary="Set the rights on a folder", response_model=RightList)
@declare(SIGNED_IN, {**BODY, **_UNKNOWN, 409: _CHANGED})
async def set_rights(
    folder_id: FolderId, body: RightList, caller: Caller, expected: Expected, services: Here, response: Response
) -> RightList:
    """In place of all that are there; by `pam_admin`. They hold at once."""
    wanted = [FolderRight(_subject(one, place), frozenset(one.rights)) for place, one in enumerate(body.items)]
    seen = None if body.revision is None else {body.revision}
    folder, rights = await services.get(Folders).put_rights(caller, folder_id, wanted, seen, expected)
    return _right_list(folder, rights, response)


@folders.get(KEYS, summary="Keys of the vault", response_model=KeyShape)
@declare(for_roles(AccountRole.SECURITY_ADMIN), {503: NO_DATABASE})
async def show_keys(services: Here) -> KeyShape:
    """Of the node that answers: whether its master key is the right one, and how far a rotation is."""
    status = await services.get(VaultKeys).status()
    keks = [
        KekShape(
            version=row.version,
            master=row.master,
            state=row.state,
            created_at=iso_utc(WallMs(row.created_at)),
            data_keys=row.deks,
        )
        for row in status.standing.keks
    ]
    node = services.get(Foundation).node
    return KeyShape(node=node, fingerprint=status.fingerprint, problem=status.problem, keks=keks)


@folders.post(f"{KEYS}/rotate", summary="Rotate the key of the vault", response_model=Rotated)
@declare(for_roles(AccountRole.SECURITY_ADMIN), {503: f"{NO_DATABASE}, or this node lacks the master key (RPPAM-842x)"})
async def rotate_keys(services: Here) -> Rotated:
    """What is sealed from now on is sealed with a new one; the leader follows with all that is there."""
    return Rotated(version=await services.get(VaultKeys).rotate())


def _answer(folder: Folder, rights: frozenset[Right], response: Response) -> FolderShape:
    tagged(response, folder.revision)
    return folder_shape(folder, rights)


def _right_list(folder: Folder, rights: Iterable[FolderRight], response: Response) -> RightList:
    tagged(response, folder.revision)
    return RightList(items=[_right_shape(one) for one in rights], revision=folder.revision)


def _subject(one: RightShape, place: int) -> Subject:
    if (one.user_id is None) is (one.role is None):
        raise EntryInvalid(f"items[{place}]: expected userId or role")
    if one.user_id is not None:
        return Subject("user", one.user_id)
    if one.role not in set(AccountRole):
        raise EntryInvalid(f"items[{place}].role: expected one of {', '.join(AccountRole)}")
    return Subject("role", str(one.role))


def _right_shape(one: FolderRight) -> RightShape:
    rights = sorted(one.rights)
    if one.subject.kind == "user":
        return RightShape(user_id=one.subject.id, user_name=one.name or None, rights=rights)
    return RightShape(role=one.subject.id, rights=rights)
