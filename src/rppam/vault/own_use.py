"""What a node opens of the vault in its own name: to end on a target what nobody may go on with.

Nobody's rights and no check-out are asked for, as only the node uses what is opened. Each use is recorded.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from rppam.kernel.secret import Secret
from rppam.ledger.record import record
from rppam.vault.candidate_store import version_before
from rppam.vault.errors import EntryUnknown
from rppam.vault.model import EntryType
from rppam.vault.service import Vault
from rppam.vault.store import entity_of, entries_of_account, open_version

_TYPES: Final = frozenset({EntryType.PASSWORD, EntryType.SSH_KEY})


async def used_by_node(
    vault: Vault, account_id: str, purpose: str, *, before: bool = False
) -> list[Mapping[str, Secret]]:
    """The secrets that sign in to a privileged account, in the order in which to try them; recorded.

    ``before``: not the present ones, but those before. Raises :class:`EntryUnknown` where there is none.
    """

    def work(connection: Connection) -> list[Mapping[str, Secret]]:
        found: list[Mapping[str, Secret]] = []
        for entry in entries_of_account(connection, account_id):
            number = version_before(connection, entry.id) if before else entry.version
            if entry.type in _TYPES and number:
                fields = open_version(connection, vault.keyring, entry, number)
                facts = {"version": number, "fields": sorted(fields), "checkout": "", "grant": ""}
                record(connection, "secret.use", entity_of(entry), reason=purpose, details=facts)
                found.append(fields)
        if not found:
            raise EntryUnknown("this account has no entry in the vault")
        return found

    return await vault.database.write(work)
