"""Which entries somebody sees, a page at a time, as a part of a transaction.

In the order of folders and, within each, of names. What lies before the page is counted folder by folder and not read;
see :mod:`rppam.db.paging`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from rppam.db.paging import FEW, has_text, ids_from
from rppam.vault.model import Entry, Search
from rppam.vault.policy import Access
from rppam.vault.store import entries_wanted, entry_of, joined, visible
from rppam.vault.tables import vault_entries, vault_folders
from rppam.vault.tag_store import tagged

_E: Final = vault_entries.c
_F: Final = vault_folders.c


def entries_page(connection: Connection, access: Access, search: Search) -> tuple[list[Entry], int]:
    """The entries of a page, and how many there are in all."""
    folders = {row.id: row.path for row in connection.execute(select(vault_folders).order_by(_F.path))}
    where = _asked(connection, search, folders)
    if access.grants and not access.everywhere:
        # Grants are few, and name entries in any folder.
        below = [] if search.folder is None else [_E.folder_id.in_(_below(folders, search.folder))]
        return _joined_page(connection, and_(visible(access), *where, *below), search.page_size, search.offset)
    seen = [ident for ident in _below(folders, search.folder) if access.on_folder(folders[ident])]
    is_asked = bool(where)
    if len(seen) < len(folders):
        where.append(_E.folder_id.in_(seen))
    if search.text:
        few = list(connection.scalars(select(_E.id).where(*where).limit(FEW + 1)))
        if len(few) <= FEW:
            return _joined_page(connection, _E.id.in_(few), search.page_size, search.offset)
    counts = _counts(connection, where) if is_asked else _counts_of(connection, seen)
    ids = _ids(connection, where, [(ident, counts.get(ident, 0)) for ident in seen], search)
    rows = {row.id: row for row in connection.execute(entries_wanted().where(_E.id.in_(ids)))}
    return [entry_of(rows[ident]) for ident in ids if ident in rows], sum(counts.values())


def _joined_page(connection: Connection, where: ColumnElement[bool], size: int, offset: int) -> tuple[list[Entry], int]:
    """By folder and name, and how many there are in all."""
    total = connection.execute(select(func.count()).select_from(joined()).where(where)).scalar_one()
    wanted = entries_wanted().where(where).order_by(_F.path, _E.name).limit(size).offset(offset)
    return [entry_of(row) for row in connection.execute(wanted)], total


def _asked(connection: Connection, search: Search, folders: Mapping[str, str]) -> list[ColumnElement[bool]]:
    """What is asked for, but for the folder."""
    where: list[ColumnElement[bool]] = []
    if search.text:
        named = [ident for ident, path in folders.items() if search.text.lower() in path.lower()]
        texts = (has_text(connection, column, search.text) for column in (_E.name, _E.description))
        where.append(or_(*texts, _E.folder_id.in_(named)) if named else or_(*texts))
    if search.account_id is not None:
        where.append(_E.account_id == search.account_id)
    if search.type is not None:
        where.append(_E.type == search.type.value)
    if search.owner_id is not None:
        where.append(_E.owner_id == search.owner_id)
    return where + tagged(search.tags)


def _below(folders: Mapping[str, str], path: str | None) -> list[str]:
    """The ids of a folder and those in it, in their order."""
    if not path:
        return list(folders)
    return [ident for ident, found in folders.items() if found == path or found.startswith(f"{path}/")]


def _counts(connection: Connection, where: Sequence[ColumnElement[bool]]) -> dict[str, int]:
    """How many entries lie in each folder, of those that are asked for."""
    counted = select(_E.folder_id, func.count()).where(*where).group_by(_E.folder_id)
    return {row[0]: row[1] for row in connection.execute(counted)}


def _counts_of(connection: Connection, folders: Sequence[str]) -> dict[str, int]:
    """How many entries lie in each of these: counted one by one, from the index alone."""
    inside = select(func.count()).select_from(vault_entries).where(_E.folder_id == _F.id).scalar_subquery()
    return {row[0]: row[1] for row in connection.execute(select(_F.id, inside).where(_F.id.in_(folders)))}


def _ids(
    connection: Connection,
    where: Sequence[ColumnElement[bool]],
    counts: Sequence[tuple[str, int]],
    search: Search,
) -> list[str]:
    """The ids of a page, of folders that have so many entries each."""
    skip, left = search.offset, search.page_size
    found: list[str] = []
    whole: list[str] = []

    def flush() -> None:
        if whole:
            wanted = select(_E.id).select_from(vault_entries.join(vault_folders, _E.folder_id == _F.id))
            found.extend(connection.scalars(wanted.where(*where, _E.folder_id.in_(whole)).order_by(_F.path, _E.name)))
            whole.clear()

    for ident, count in counts:
        if count <= skip:
            skip -= count
            continue
        take = min(left, count - skip)
        if take == count:
            whole.append(ident)
        else:
            flush()
            inside = [*where, _E.folder_id == ident]
            found += ids_from(connection, _E.id, [_E.name], inside, count, skip, take)
        skip, left = 0, left - take
        if not left:
            break
    flush()
    return found
