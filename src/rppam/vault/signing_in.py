"""How long somebody may still have sessions signed in with the secrets of an account.

It is told from the rights and grants of this moment: a grant that somebody takes away ends sooner. A check-out is not
looked at, nor who else has the secret.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection

from rppam.access.sessions.model import Identity
from rppam.db.engine import now_ms
from rppam.vault.model import FOR_FILES, FOR_SHELLS, Entry, EntryType, Right
from rppam.vault.policy import Access
from rppam.vault.service import Vault
from rppam.vault.store import entries_of_account

_KINDS: Final = (FOR_SHELLS, FOR_FILES)


async def left_ms(vault: Vault, caller: Identity, account_id: str, types: Collection[EntryType]) -> int | None:
    """How long it is until the caller may do less with the account, by its entries of these types, than now; ``None``:
    no grant ends that."""

    def work(connection: Connection) -> int | None:
        access, now = vault.access(connection, caller), now_ms(connection)
        entries = [one for one in entries_of_account(connection, account_id) if one.version and one.type in types]
        ends = [end for rights in _KINDS if (end := _end(access, entries, rights)) is not None]
        return min(ends) - now if ends else None

    return await vault.database.read(work)


def _end(access: Access, entries: list[Entry], rights: frozenset[Right]) -> int | None:
    """When the last grant with one of ``rights`` ends; ``None``: there is none, or a folder gives such a right."""
    if any(access.on_folder(entry.folder) & rights for entry in entries):
        return None
    found = [grant.until for entry in entries for right in rights if (grant := access.grant_for(entry, right))]
    return max(found, default=None)
