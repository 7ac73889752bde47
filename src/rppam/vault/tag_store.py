"""Tags of entries and who looks after each, as parts of transactions. Neither gives anybody a right."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from rppam.access.accounts.tables import users
from rppam.vault.errors import EntryInvalid
from rppam.vault.tables import vault_entries, vault_entry_tags

_E: Final = vault_entries.c
_T: Final = vault_entry_tags.c
_U: Final = users.c
TAGS: Final = (
    select(func.aggregate_strings(_T.tag, " "))
    .where(_T.entry_id == _E.id)
    .correlate(vault_entries)
    .scalar_subquery()
    .label("tags")
)
"""Of a row of ``vault_entries``, with a blank between them, which none has in it."""
OWNER_NAME: Final = (
    select(_U.name)
    .where(_U.id == _E.owner_id, _U.deleted_at.is_(None))
    .correlate(vault_entries)
    .scalar_subquery()
    .label("owner_name")
)
"""Of a row of ``vault_entries``; nothing for an account that is not there any more."""


def read_tags(text: str | None) -> tuple[str, ...]:
    """The tags in a value of :data:`TAGS`."""
    return tuple(sorted((text or "").split()))


def put_tags(connection: Connection, entry_id: str, tags: Iterable[str]) -> None:
    """Give an entry these tags, in place of those that it has."""
    connection.execute(delete(vault_entry_tags).where(_T.entry_id == entry_id))
    rows = [{"entry_id": entry_id, "tag": tag} for tag in tags]
    if rows:
        connection.execute(insert(vault_entry_tags), rows)


def tagged(tags: Iterable[str]) -> list[ColumnElement[bool]]:
    """Of ``vault_entries``: those that have all of these."""
    return [_E.id.in_(select(_T.entry_id).where(_T.tag == tag)) for tag in tags]


def check_owner(connection: Connection, owner_id: str | None) -> None:
    """Raises :class:`EntryInvalid`."""
    there = select(_U.id).where(_U.id == owner_id, _U.deleted_at.is_(None))
    if owner_id is not None and connection.execute(there).first() is None:
        raise EntryInvalid("ownerId: no user has this id")
