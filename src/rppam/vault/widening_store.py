"""Whether a move lets somebody use or see a secret who may not now: read from the rights on folders, before it is made.

Who manages a folder moves what lies in it, and sees none of it. So a move that gives anybody more is made by those who
have as much themselves, or by an administrator. Moves come one after another, as two that are harmless alone may not be
so together. What it does not judge: grants, which name an entry or an account and
which somebody has approved.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from sqlalchemy import Connection, select

from rppam.access.accounts.tables import user_roles
from rppam.vault.model import Entry, Folder, Right, Subject, ancestors
from rppam.vault.policy import HAVING, Access, Held, check_gain, gained
from rppam.vault.store import entries_wanted, entry_of, folders_in
from rppam.vault.tables import vault_entries, vault_folders, vault_rights

_R: Final = vault_rights.c
_F: Final = vault_folders.c
_NONE: Final[frozenset[Right]] = frozenset()
Rights: TypeAlias = Mapping[str, Held]
"""By the path of the folder that they are on."""


def lock_folders(connection: Connection) -> None:
    """Have this transaction's move come wholly before or after every other one. What was read before is read again."""
    # Not so strongly that entries could not be made in them meanwhile.
    connection.execute(select(_F.id).order_by(_F.id).with_for_update(key_share=True)).close()


def check_move(connection: Connection, access: Access, entry: Entry, path: str) -> None:
    """Raise :class:`~rppam.vault.errors.WouldWiden` where the entry may not be moved to ``path`` by the caller."""
    rights = _rights(connection)
    check_gain(access, entry, gained(_on(rights, entry.folder), _on(rights, path), _roles(connection)))


def check_folder_move(connection: Connection, access: Access, folder: Folder, path: str) -> None:
    """As :func:`check_move`, for a folder with all below it. Its rights go along, and hold at ``path`` for what lies
    below that already."""
    before, roles = _rights(connection), _roles(connection)
    after = {_moved(old, folder.path, path): held for old, held in before.items()}
    for one in folders_in(connection):
        place = _moved(one.path, folder.path, path)
        if path not in ancestors(place):
            continue
        gain = gained(_on(before, one.path), _on(after, place), roles)
        if gain:
            inside = entries_wanted().where(vault_entries.c.folder_id == one.id)
            for row in connection.execute(inside):
                check_gain(access, entry_of(row), gain)


def _moved(path: str, old: str, new: str) -> str:
    """Where a path is once ``old`` is ``new``."""
    if path != old and not path.startswith(f"{old}/"):
        return path
    return (new + path.removeprefix(old)).removeprefix("/")


def _rights(connection: Connection) -> Rights:
    joined = vault_rights.join(vault_folders, _R.folder_id == _F.id)
    wanted = select(_F.path, _R.subject_kind, _R.subject_id, _R.right_name).select_from(joined)
    found: dict[str, dict[Subject, frozenset[Right]]] = {}
    for row in connection.execute(wanted.where(_R.right_name.in_([one.value for one in HAVING]))):
        held, subject = found.setdefault(row.path, {}), Subject(row.subject_kind, row.subject_id)
        held[subject] = held.get(subject, _NONE) | {Right(row.right_name)}
    return found


def _on(rights: Rights, path: str) -> Held:
    """On a folder, with those on folders above."""
    found: dict[Subject, frozenset[Right]] = {}
    for above in ancestors(path):
        for subject, held in rights.get(above, {}).items():
            found[subject] = found.get(subject, _NONE) | held
    return found


def _roles(connection: Connection) -> Mapping[str, frozenset[str]]:
    """Of the users who have rights of their own, by id."""
    named = select(_R.subject_id).where(_R.subject_kind == "user")
    wanted = select(user_roles.c.user_id, user_roles.c.role).where(user_roles.c.user_id.in_(named))
    found: dict[str, frozenset[str]] = {}
    for row in connection.execute(wanted):
        found[row.user_id] = found.get(row.user_id, frozenset()) | {row.role}
    return found
