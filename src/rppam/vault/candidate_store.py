"""Candidates: versions of a secret that are kept before their target has them, as parts of transactions.

One is ``staged`` until the target is known to take it (``current``, and the one before is ``previous``) or not to
(``failed``). None is ever deleted by a rotation: what a target takes may turn out later.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, func, select, update

from rppam.db.engine import NowMs
from rppam.kernel.secret import Secret
from rppam.ledger.record import record
from rppam.vault.model import Entry, EntryState, VersionState
from rppam.vault.sealing import Keyring
from rppam.vault.store import entity_of, put_version
from rppam.vault.tables import vault_entries, vault_versions

_E: Final = vault_entries.c
_V: Final = vault_versions.c


def stage_version(connection: Connection, keyring: Keyring, entry: Entry, fields: Mapping[str, Secret]) -> int:
    """Keep a candidate; its number. The entry's row is locked."""
    return put_version(connection, keyring, entry, fields, "rotation", VersionState.STAGED)


def fail_version(connection: Connection, entry_id: str, number: int) -> None:
    """The target has not taken a candidate."""
    there = (_V.entry_id == entry_id) & (_V.version == number) & (_V.state == VersionState.STAGED.value)
    connection.execute(update(vault_versions).where(there).values(state=VersionState.FAILED.value))


def make_current(connection: Connection, entry: Entry, number: int) -> None:
    """The target takes this version: it counts from now on, and the entry can be had. The entry's row is locked."""
    mine = _V.entry_id == entry.id
    before = mine & (_V.state == VersionState.CURRENT.value) & (_V.version != number)
    connection.execute(update(vault_versions).where(before).values(state=VersionState.PREVIOUS.value))
    this = mine & (_V.version == number)
    connection.execute(update(vault_versions).where(this).values(state=VersionState.CURRENT.value))
    change = {"version": number, "changed_at": NowMs(), "state": EntryState.AVAILABLE.value}
    connection.execute(update(vault_entries).where(_E.id == entry.id).values(**change, revision=_E.revision + 1))
    record(connection, "secret.set", entity_of(entry), details={"version": number, "fields": [], "how": "rotated"})


def version_before(connection: Connection, entry_id: str) -> int | None:
    """The number of the version that was the current one last; ``None`` where there was none."""
    was = (_V.entry_id == entry_id) & (_V.state == VersionState.PREVIOUS.value)
    number: int | None = connection.execute(select(func.max(_V.version)).where(was)).scalar_one()
    return number


def state_of_version(connection: Connection, entry_id: str, number: int) -> VersionState | None:
    """What a version is; ``None`` where there is none."""
    found = connection.execute(
        select(_V.state).where(_V.entry_id == entry_id, _V.version == number)
    ).scalar_one_or_none()
    return None if found is None else VersionState(found)
