"""Entries, folders, rights and sealed versions in SQL, as parts of transactions. Values given here are checked already.

Who may is decided by the caller, in the same transaction.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError

from rppam.access.accounts.tables import users
from rppam.access.sessions.model import Identity
from rppam.db.engine import NowMs, rows_changed
from rppam.db.paging import begins_with
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity
from rppam.ledger.precondition import check_if_match
from rppam.ledger.record import record
from rppam.targets.tables import target_accounts
from rppam.vault.errors import (
    EntryChanged,
    EntryInvalid,
    EntryNameTaken,
    EntryUnknown,
    FolderInUse,
    FolderUnknown,
    VersionUnknown,
)
from rppam.vault.model import (
    Entry,
    EntryPolicy,
    EntryState,
    EntryType,
    Folder,
    FolderRight,
    RevealPolicy,
    Right,
    Subject,
    Version,
    VersionState,
)
from rppam.vault.policy import Access
from rppam.vault.ports import Grant
from rppam.vault.sealing import Keyring, open_field, seal_field
from rppam.vault.tables import checkouts, vault_entries, vault_fields, vault_folders, vault_rights, vault_versions
from rppam.vault.tag_store import OWNER_NAME, TAGS, check_owner, put_tags, read_tags

_E: Final = vault_entries.c
_F: Final = vault_folders.c
_V: Final = vault_versions.c
_X: Final = vault_fields.c
_R: Final = vault_rights.c
_N: Final = checkouts.alias("newest").c
_MAKE_FOLDERS: Final = ("folder.create", "folder.change", "folder.rights")
_MAKE_ENTRIES: Final = (
    *("secret.create", "secret.change", "secret.set", "secret.release"),
    *("rotation.begin", "rotation.done", "rotation.fail", "rotation.end"),
)


# ---- who may ---------------------------------------------------------------------------------------------------------


def access_of(connection: Connection, identity: Identity, grants: Sequence[Grant] = ()) -> Access:
    """What the caller has now."""
    found: dict[str, set[Right]] = {}
    for row in connection.execute(_RIGHTS, {"roles": sorted(identity.roles), "user": identity.user_id or ""}):
        if row.right_name in set(Right):
            found.setdefault(row.path, set()).add(Right(row.right_name))
    return Access(identity, {path: frozenset(rights) for path, rights in found.items()}, grants)


_BY_ROLE: Final = (_R.subject_kind == "role") & _R.subject_id.in_(bindparam("roles", expanding=True))
_BY_USER: Final = (_R.subject_kind == "user") & (_R.subject_id == bindparam("user"))
_RIGHTS: Final = select(_F.path, _R.right_name).join(vault_rights, _R.folder_id == _F.id).where(_BY_ROLE | _BY_USER)


def visible(access: Access) -> ColumnElement[bool]:
    """Of ``vault_entries`` joined with folders and accounts: those that somebody may know of."""
    if access.everywhere or "" in access.folders:
        return true()
    seen: list[ColumnElement[bool]] = []
    for path in access.folders:
        seen += [_F.path == path, begins_with(_F.path, f"{path}/")]
    for grant in access.grants:
        asked = [
            column == wanted
            for column, wanted in (
                (_E.id, grant.entry_id),
                (_E.account_id, grant.account_id),
                (target_accounts.c.resource_id, grant.resource_id),
            )
            if wanted is not None
        ]
        if asked and grant.rights:
            both: ColumnElement[bool] = true()
            for one in asked:
                both &= one
            seen.append(both)
    return or_(false(), *seen)


# ---- folders ---------------------------------------------------------------------------------------------------------


def folders_in(connection: Connection) -> list[Folder]:
    """All of them, by path."""
    return [_folder(row) for row in connection.execute(select(vault_folders).order_by(_F.path))]


def folder_in(connection: Connection, ident: str, *, lock: bool = False) -> Folder:
    """By its id. Raises :class:`FolderUnknown`."""
    wanted = select(vault_folders).where(_F.id == ident)
    row = connection.execute(wanted.with_for_update() if lock else wanted).one_or_none()
    if row is None:
        raise FolderUnknown("no folder has this id")
    return _folder(row)


def folder_at(connection: Connection, path: str) -> Folder | None:
    """By its path."""
    row = connection.execute(select(vault_folders).where(_F.path == path)).one_or_none()
    return None if row is None else _folder(row)


def create_folder(connection: Connection, path: str, description: str = "") -> Folder:
    """Raises :class:`EntryNameTaken`."""
    folder = Folder(str(uuid.uuid4()), path, description)
    try:
        with connection.begin_nested():
            connection.execute(insert(vault_folders).values(**folder._asdict()))
    except IntegrityError:
        raise EntryNameTaken(f"the folder {path!r} exists already") from None
    record(connection, "folder.create", _folder_entity(folder))
    return folder


def change_folder(
    connection: Connection, folder: Folder, expected: Collection[int] | None, if_match: Collection[int] | None = None
) -> Folder:
    """Give the folder of this id another path or description; those below it move along.

    Raises :class:`FolderUnknown`, :class:`EntryNameTaken`, :class:`EntryChanged`,
    :class:`~rppam.http.errors.PreconditionFailedError`.
    """
    before = folder_in(connection, folder.id, lock=True)
    check_if_match(connection, if_match, before.revision, _folder_entity(before), _MAKE_FOLDERS)
    check_revision(before.revision, expected)
    after = folder._replace(revision=before.revision + 1)
    below = connection.execute(select(vault_folders).where(begins_with(_F.path, f"{before.path}/"))).all()
    if after.path.startswith(f"{before.path}/"):
        raise EntryInvalid("path: a folder does not lie in itself")
    try:
        with connection.begin_nested():
            connection.execute(update(vault_folders).where(_F.id == folder.id).values(**after._asdict()))
            for row in below if after.path != before.path else ():
                moved = after.path + row.path.removeprefix(before.path)
                change = {"path": moved.removeprefix("/"), "revision": _F.revision + 1}
                connection.execute(update(vault_folders).where(_F.id == row.id).values(**change))
    except IntegrityError:
        raise EntryNameTaken(f"the folder {after.path!r} exists already") from None
    facts = {"path": after.path, "description": after.description}
    record(connection, "folder.change", _folder_entity(before), details=facts)
    return after


def remove_folder(connection: Connection, ident: str, if_match: Collection[int] | None = None) -> None:
    """Raises :class:`FolderUnknown`, :class:`FolderInUse`, :class:`~rppam.http.errors.PreconditionFailedError`."""
    folder = folder_in(connection, ident, lock=True)
    check_if_match(connection, if_match, folder.revision, _folder_entity(folder), _MAKE_FOLDERS)
    # Asked, and not left to the foreign key: that locks an entry behind its folder, and who moves one has it first.
    if_empty = delete(vault_folders).where(_F.id == ident, ~exists().where(_E.folder_id == ident))
    if rows_changed(connection, if_empty) != 1:
        raise FolderInUse(f"entries lie in {folder.path or 'the root'}")
    record(connection, "folder.delete", _folder_entity(folder))


def rights_in(connection: Connection, ident: str) -> list[FolderRight]:
    """Rights on a folder itself. Raises :class:`FolderUnknown`."""
    folder_in(connection, ident)
    joined = vault_rights.outerjoin(users, (_R.subject_kind == "user") & (_R.subject_id == users.c.id))
    wanted = select(vault_rights, users.c.name).select_from(joined).where(_R.folder_id == ident)
    found: dict[Subject, tuple[str, set[Right]]] = {}
    for row in connection.execute(wanted.order_by(_R.subject_kind, _R.subject_id, _R.right_name)):
        name = row.name or ""
        found.setdefault(Subject(row.subject_kind, row.subject_id), (name, set()))[1].add(Right(row.right_name))
    return [FolderRight(subject, frozenset(rights), name) for subject, (name, rights) in found.items()]


def put_rights(
    connection: Connection,
    ident: str,
    rights: Iterable[FolderRight],
    expected: Collection[int] | None,
    if_match: Collection[int] | None = None,
) -> None:
    """Replace all rights on a folder. Raises :class:`FolderUnknown`, :class:`EntryChanged`, :class:`EntryInvalid`,
    :class:`~rppam.http.errors.PreconditionFailedError`."""
    folder = folder_in(connection, ident, lock=True)
    check_if_match(connection, if_match, folder.revision, _folder_entity(folder), _MAKE_FOLDERS)
    check_revision(folder.revision, expected)
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for one in rights:
        _check_subject(connection, one.subject)
        for right in sorted(one.rights):
            key = (*one.subject, right.value)
            rows[key] = dict(zip(("subject_kind", "subject_id", "right_name"), key, strict=True)) | {"folder_id": ident}
    connection.execute(delete(vault_rights).where(_R.folder_id == ident))
    if rows:
        connection.execute(insert(vault_rights), list(rows.values()))
    connection.execute(update(vault_folders).where(_F.id == ident).values(revision=_F.revision + 1))
    facts = {"rights": [f"{kind} {subject}: {right}" for kind, subject, right in sorted(rows)]}
    record(connection, "folder.rights", _folder_entity(folder), details=facts)


def _check_subject(connection: Connection, subject: Subject) -> None:
    if subject.kind == "user":
        there = select(users.c.id).where(users.c.id == subject.id, users.c.deleted_at.is_(None))
        if connection.execute(there).first() is None:
            raise EntryInvalid("rights: no user has this id")


# ---- entries ---------------------------------------------------------------------------------------------------------


def entry_in(connection: Connection, ident: str, *, lock: bool = False) -> Entry:
    """Raises :class:`EntryUnknown`."""
    if lock:
        connection.execute(_LOCK, {"entry": ident})
    row = connection.execute(_ENTRY, {"entry": ident}).one_or_none()
    if row is None:
        raise EntryUnknown("no entry has this id")
    return entry_of(row)


def entries_of_account(connection: Connection, account_id: str) -> list[Entry]:
    """Those that a privileged account has, keys first."""
    rows = connection.execute(entries_wanted().where(_E.account_id == account_id).order_by(_E.type.desc(), _E.id))
    return [entry_of(row) for row in rows]


def create_entry(connection: Connection, entry: Entry) -> Entry:
    """An entry without a version. Raises :class:`EntryNameTaken`, :class:`EntryInvalid`."""
    _check_account(connection, entry.account_id)
    check_owner(connection, entry.owner_id)
    columns = _columns(entry) | {
        "id": entry.id,
        "state": EntryState.AVAILABLE.value,
        "version": 0,
        "generation": 0,
        "revision": 1,
        "created_at": NowMs(),
        "changed_at": NowMs(),
    }
    try:
        with connection.begin_nested():
            connection.execute(insert(vault_entries).values(**columns))
            put_tags(connection, entry.id, entry.tags)
    except IntegrityError:
        raise EntryNameTaken(f"{entry.folder or 'the root'} has an entry named {entry.name!r} already") from None
    made = entry_in(connection, entry.id)
    record(connection, "secret.create", entity_of(made), details=_facts(made))
    return made


def change_entry(connection: Connection, entry: Entry, expected: Collection[int] | None = None) -> Entry:
    """Make all but the secret as given. Raises as :func:`create_entry`, and :class:`EntryChanged`."""
    before = entry_in(connection, entry.id, lock=True)
    check_revision(before.revision, expected)
    _check_account(connection, entry.account_id)
    if entry.owner_id != before.owner_id:  # who has gone meanwhile may stay named
        check_owner(connection, entry.owner_id)
    old, new = _facts(before) | {"name": before.name}, _facts(entry) | {"name": entry.name}
    if not (facts := {name: value for name, value in new.items() if old[name] != value}):
        return before
    try:
        with connection.begin_nested():
            values = _columns(entry) | {"revision": before.revision + 1}
            connection.execute(update(vault_entries).where(_E.id == entry.id).values(**values))
            if "tags" in facts:
                put_tags(connection, entry.id, entry.tags)
    except IntegrityError:
        raise EntryNameTaken(f"{entry.folder or 'the root'} has an entry named {entry.name!r} already") from None
    record(connection, "secret.change", entity_of(before), details=facts)
    return entry_in(connection, entry.id)


def remove_entry(connection: Connection, entry: Entry) -> None:
    """Delete it with all versions and the keys that opened them."""
    connection.execute(delete(vault_entries).where(_E.id == entry.id))
    record(connection, "secret.delete", entity_of(entry))


def set_state(connection: Connection, ident: str, state: EntryState) -> None:
    """Say whether it can be had."""
    connection.execute(update(vault_entries).where(_E.id == ident).values(state=state.value, revision=_E.revision + 1))


# ---- versions --------------------------------------------------------------------------------------------------------


def add_version(
    connection: Connection, keyring: Keyring, entry: Entry, fields: Mapping[str, Secret], by: str, *, why: str = "set"
) -> Entry:
    """Make these fields the current version. The entry's row is locked by the caller, or new."""
    before = (_V.entry_id == entry.id) & (_V.state == VersionState.CURRENT.value)
    connection.execute(update(vault_versions).where(before).values(state=VersionState.PREVIOUS.value))
    number = put_version(connection, keyring, entry, fields, by, VersionState.CURRENT)
    change = {"version": number, "changed_at": NowMs(), "state": EntryState.AVAILABLE.value}
    raised = change | {"revision": _E.revision + (1 if entry.version else 0)}
    connection.execute(update(vault_entries).where(_E.id == entry.id).values(**raised))
    facts = {"version": number, "fields": sorted(fields), "how": why}
    record(connection, "secret.set", entity_of(entry), details=facts)
    return entry_in(connection, entry.id)


def put_version(
    connection: Connection, keyring: Keyring, entry: Entry, fields: Mapping[str, Secret], by: str, state: VersionState
) -> int:
    """Seal these fields as a version of this state; its number, above every one that there is."""
    dek_id, dek = keyring.new_dek(connection, entry.id)
    last = connection.execute(select(func.max(_V.version)).where(_V.entry_id == entry.id)).scalar_one()
    number = int(last or 0) + 1
    row = {"entry_id": entry.id, "version": number, "dek_id": dek_id, "state": state.value}
    connection.execute(insert(vault_versions).values(**row, made_at=NowMs(), made_by=by[:256]))
    rows = [
        {
            "entry_id": entry.id,
            "version": number,
            "field": name,
            "sealed": seal_field(dek, value, entry.id, number, name),
        }
        for name, value in fields.items()
    ]
    if rows:
        connection.execute(insert(vault_fields), rows)
    return number


_VERSION: Final = (
    select(_V.dek_id, _X.field, _X.sealed)
    .select_from(vault_versions.outerjoin(vault_fields, (_X.entry_id == _V.entry_id) & (_X.version == _V.version)))
    .where(_V.entry_id == bindparam("entry"), _V.version == bindparam("version"))
)


def open_version(connection: Connection, keyring: Keyring, entry: Entry, number: int) -> dict[str, Secret]:
    """The fields of a version. Raises :class:`VersionUnknown`, what a key raises."""
    rows = connection.execute(_VERSION, {"entry": entry.id, "version": number}).all()
    if not rows:
        raise VersionUnknown(f"there is no version {number}")
    dek = keyring.open_dek(connection, entry.id, rows[0].dek_id)
    return {
        row.field: open_field(dek, row.sealed, entry.id, number, row.field) for row in rows if row.field is not None
    }


def versions_in(connection: Connection, entry_id: str) -> list[Version]:
    """All of an entry, the newest first."""
    names: dict[int, list[str]] = {}
    for row in connection.execute(select(_X.version, _X.field).where(_X.entry_id == entry_id).order_by(_X.field)):
        names.setdefault(row.version, []).append(row.field)
    rows = connection.execute(select(vault_versions).where(_V.entry_id == entry_id).order_by(_V.version.desc()))
    return [
        Version(
            row.version, VersionState(row.state), tuple(names.get(row.version, ())), WallMs(row.made_at), row.made_by
        )
        for row in rows
    ]


# ---- rows and values -------------------------------------------------------------------------------------------------


def check_revision(stands: int, expected: Collection[int] | None) -> None:
    """Raises :class:`EntryChanged`."""
    if expected is not None and stands not in expected:
        raise EntryChanged(f"it stands at revision {stands} now")


def check_entry(connection: Connection, entry: Entry, if_match: Collection[int] | None) -> None:
    """Whether somebody who has seen these revisions of a locked entry may change it.

    Raises :class:`~rppam.http.errors.PreconditionFailedError`.
    """
    # The end of a check-out changes an entry that has to be rotated then.
    ends = ("checkout.end",) if entry.policy.rotate_after_use else ()
    check_if_match(connection, if_match, entry.revision, entity_of(entry), (*_MAKE_ENTRIES, *ends))


def entity_of(entry: Entry) -> Entity:
    """An entry in the ledger."""
    return Entity("secret", entry.id, f"{entry.folder}/{entry.name}")


def _folder_entity(folder: Folder) -> Entity:
    return Entity("folder", folder.id, folder.path)


def _check_account(connection: Connection, account_id: str | None) -> None:
    if account_id is None:
        return
    there = select(target_accounts.c.id).where(target_accounts.c.id == account_id)
    if connection.execute(there).first() is None:
        raise EntryInvalid("accountId: no privileged account has this id")


def joined() -> Any:
    """Entries with the folder and the account of each."""
    folders = vault_entries.join(vault_folders, _E.folder_id == _F.id)
    return folders.outerjoin(target_accounts, _E.account_id == target_accounts.c.id)


def _state_now() -> ColumnElement[str]:
    newest = (_N.entry_id == _E.id) & (_N.generation == _E.generation)
    over = exists().where(newest, _N.ended_at.is_(None), _N.expires_at <= NowMs()).correlate(vault_entries)
    return case((_E.rotate_after_use & over, EntryState.PENDING_ROTATION.value), else_=_E.state).label("state_now")


STATE_NOW: Final = _state_now()
"""Whether an entry can be had at this moment: its newest check-out may be over, and nobody has ended it yet."""
_OF: Final = (_F.path, target_accounts.c.resource_id, STATE_NOW, TAGS, OWNER_NAME)
_ENTRIES: Final = select(vault_entries, *_OF).select_from(joined())
# Asked at each act with the vault, so they are put together once: that costs more than the database takes for them.
_ENTRY: Final = _ENTRIES.where(_E.id == bindparam("entry"))
_LOCK: Final = select(_E.id).where(_E.id == bindparam("entry")).with_for_update()


def entries_wanted() -> Select[Any]:
    """Entries with their folder and account."""
    return _ENTRIES


def entry_of(row: Row[Any]) -> Entry:
    """The entry in a row of :func:`entries_wanted`."""
    return Entry(
        id=row.id,
        folder_id=row.folder_id,
        folder=row.path,
        name=row.name,
        type=EntryType(row.type),
        account_id=row.account_id,
        resource_id=row.resource_id,
        description=row.description,
        policy=EntryPolicy(row.exclusive, row.rotate_after_use, row.kill_on_checkin, RevealPolicy(row.reveal)),
        state=EntryState(row.state_now),
        version=row.version,
        generation=row.generation,
        revision=row.revision,
        created_at=WallMs(row.created_at),
        changed_at=WallMs(row.changed_at),
        tags=read_tags(row.tags),
        owner_id=row.owner_id,
        owner_name=row.owner_name,
    )


def _columns(entry: Entry) -> dict[str, Any]:
    return {
        "folder_id": entry.folder_id,
        "name": entry.name,
        "type": entry.type.value,
        "account_id": entry.account_id,
        "description": entry.description,
        "owner_id": entry.owner_id,
        **entry.policy._asdict(),
        "reveal": entry.policy.reveal.value,
    }


def _facts(entry: Entry) -> dict[str, Any]:
    ids = {"account_id": entry.account_id or "", "owner_id": entry.owner_id or ""}
    facts = _columns(entry) | ids | {"folder": entry.folder, "tags": list(entry.tags)}
    del facts["name"]
    return facts


def _folder(row: Row[Any]) -> Folder:
    return Folder(row.id, row.path, row.description, row.revision)
