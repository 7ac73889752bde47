"""The vault: entries and their secrets, seen, used and changed. Each call is one transaction with its record.

Decides the order: who may (a right on the folder or a grant, read in the same transaction), then whether somebody else
has the entry, then the secret. What shows or uses a secret is recorded and committed before the secret is answered;
where the commit is not known nobody gets it. Secrets leave as :class:`~rppam.kernel.secret.Secret` and lie in no cache.

A process that has a foundation of either kind makes one by :func:`rppam.vault.wiring.vault_of`.
"""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection

from rppam.access.sessions.model import Identity
from rppam.db.database import Database
from rppam.db.engine import now_ms
from rppam.kernel.errors import RppamError
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity, Outcome, Word
from rppam.ledger.record import record
from rppam.vault.candidate_store import version_before
from rppam.vault.checkout_store import (
    all_of,
    blocked,
    end_checkout,
    end_overdue_of,
    holder_in,
    holders_in,
    standing_in,
    taken,
)
from rppam.vault.errors import CheckedOut, EntryUnknown, FolderUnknown, RightLacking, WouldWiden
from rppam.vault.list_store import entries_page
from rppam.vault.model import (
    SIGN_IN,
    Checkout,
    Entry,
    EntryPolicy,
    EntryState,
    EntryType,
    Folder,
    Right,
    Search,
    Seen,
    Version,
    checked_reason,
)
from rppam.vault.one_time_code import shown_now
from rppam.vault.policy import Access, check, check_pointing, check_policy, check_reveal, holder_of, needs_checkout
from rppam.vault.ports import Grant, Grants, Tells, Uses
from rppam.vault.sealing import Keyring
from rppam.vault.store import (
    access_of,
    add_version,
    change_entry,
    check_entry,
    create_entry,
    create_folder,
    entity_of,
    entries_of_account,
    entry_in,
    folder_at,
    open_version,
    remove_entry,
    set_state,
    versions_in,
)
from rppam.vault.tables import vault_entries, vault_folders
from rppam.vault.widening_store import check_move, lock_folders

T = TypeVar("T")
_E: Final = vault_entries.c
_F: Final = vault_folders.c


class Shown(NamedTuple):
    """What somebody gets of a secret."""

    entry: Entry
    version: int
    fields: Mapping[str, Secret]
    checkout: Checkout | None
    """The own check-out that it belongs to."""
    seconds_left: int | None = None
    """Of a code: so long it holds."""
    request: str = ""
    """The request for access by whose grant it was got; empty where a right on the folder did."""


class Change(NamedTuple):
    """What an entry shall be; ``None`` leaves a thing as it is."""

    folder: str | None = None
    name: str | None = None
    account_id: str | None = None
    """Empty: of no account."""
    description: str | None = None
    policy: EntryPolicy | None = None
    fields: Mapping[str, Secret] | None = None
    """A new version."""
    tags: tuple[str, ...] | None = None
    owner_id: str | None = None
    """Empty: nobody."""
    generated: Mapping[str, Secret] | None = None
    """Fields of a new version, in place of those of the same names."""


class Vault:
    """See the module. Every call raises a ``DatabaseError`` when the database does not answer, and a
    :class:`~rppam.vault.errors.VaultKeyError` where this node's keys do not open what is there."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        grants: Callable[[], Grants | None],
        uses: Callable[[], Uses | None] = lambda: None,
        tells: Callable[[], Tells | None] = lambda: None,
        *,
        reason_pattern: str = "",
    ) -> None:
        """``grants``, ``uses``, ``tells``: who offers them in this process; ``None``: nobody."""
        self.database, self.keyring = database, keyring
        self._grants, self._uses, self._tells, self._reason_pattern = grants, uses, tells, reason_pattern

    def access(self, connection: Connection, caller: Identity) -> Access:
        """What the caller has now, for a transaction of this process."""
        grants = self._grants() if caller.user_id else None
        standing = () if grants is None or caller.user_id is None else grants.standing(connection, caller.user_id)
        return access_of(connection, caller, standing)

    def lock_grant(self, connection: Connection, access: Access, ident: str, *rights: Right) -> None:
        """Lock the grant that an entry is going to be needed by, before the entry itself: see ``Grants.lock``."""
        grants = self._grants()
        if access.grants and grants is not None:
            needed = access.needed_grant(entry_in(connection, ident), *rights)
            if needed is not None:
                grants.lock(connection, needed.id)

    def used(self, connection: Connection, grant: Grant | None) -> None:
        """What follows is possible by ``grant``. Raises where that has ended meanwhile."""
        grants = self._grants()
        if grant is not None and grants is not None:
            grants.used(connection, grant.id)

    def reason(self, text: str) -> str:
        """The reason in its one form. Raises :class:`~rppam.vault.errors.ReasonNeeded`."""
        return checked_reason(text, self._reason_pattern)

    # ---- secrets ----------------------------------------------------------------------------------------------------

    async def may_reveal(self, caller: Identity, ident: str) -> None:
        """Raise what :meth:`reveal` would raise about rights: before a second factor is asked for, or used up."""
        await self.database.read(lambda connection: self._revealable(connection, caller, ident))

    async def reveal(self, caller: Identity, ident: str, reason: str, version: int | None = None) -> Shown:
        """The secret, for its eyes: recorded with the reason. The second factor is the caller's affair. Of a
        ``totp-seed`` it is the code of this moment.

        Raises :class:`EntryUnknown`, :class:`RightLacking`, :class:`~rppam.vault.errors.CheckedOut`,
        :class:`EntryBlocked`, :class:`~rppam.vault.errors.ReasonNeeded`, :class:`~rppam.vault.errors.VersionUnknown`.
        """
        why = self.reason(reason)

        def work(connection: Connection) -> Shown:
            access, entry, checkout = self._revealable(connection, caller, ident)
            if version is not None and version != entry.version:
                check(access, entry, Right.MANAGE, Right.AUDIT)
            return self._opened(connection, access, entry, checkout, "secret.reveal", why, Right.REVEAL, version)

        return await self.tried("secret.reveal", Entity("secret", ident), work)

    async def use(self, caller: Identity, account_id: str, purpose: str) -> tuple[Entry, Mapping[str, Secret]]:
        """The secret of a privileged account, to sign a session in with and not to be shown; recorded.

        Of several entries keys come first. Raises as :meth:`reveal`; :class:`EntryUnknown` also where the account has
        none that the caller may use.
        """
        found = await self.candidates(caller, account_id, purpose)
        return found[0].entry, found[0].fields

    async def candidates(
        self,
        caller: Identity,
        account_id: str,
        purpose: str,
        types: Collection[EntryType] = frozenset(EntryType),
        *,
        before: bool = False,
    ) -> Sequence[Shown]:
        """As :meth:`use`, every entry of the account that the caller may use, in the order in which to try them.

        ``types``: of these alone; what is for something else is not opened. ``before``: not the present secrets, but
        those before.
        """

        def work(connection: Connection) -> list[Shown]:
            access = self.access(connection, caller)
            found, refused = [], EntryUnknown("this account has no entry in the vault")
            problem: RppamError = refused
            for entry in entries_of_account(connection, account_id):
                if entry.type not in types:
                    continue
                try:
                    check(access, entry, *sorted(SIGN_IN))
                    checkout = self._free(connection, access, entry)
                except EntryUnknown:
                    continue
                except RppamError as error:
                    problem = error if problem is refused else problem
                    continue
                number = version_before(connection, entry.id) if before else entry.version
                if number is not None:
                    opened = self._opened(connection, access, entry, checkout, "secret.use", purpose, Right.USE, number)
                    found.append(opened)
            if not found:
                raise problem
            return found

        return await self.database.write(work)

    # ---- entries ----------------------------------------------------------------------------------------------------

    async def page(self, caller: Identity, search: Search) -> tuple[list[Seen], int]:
        """Entries that the caller may know of, by folder and name, and how many there are in all."""

        def work(connection: Connection) -> tuple[list[Seen], int]:
            access = self.access(connection, caller)
            found, total = entries_page(connection, access, search)
            held = holders_in(connection, [one.id for one in found])
            return [Seen(one, held.get(one.id), access.on(one)) for one in found], total

        return await self.database.read(work)

    async def get(self, caller: Identity, ident: str) -> Seen:
        """An entry, and who holds it. Raises :class:`EntryUnknown`."""

        def work(connection: Connection) -> Seen:
            entry, access = entry_in(connection, ident), self.access(connection, caller)
            check(access, entry, Right.LIST)
            return Seen(entry, holder_in(connection, ident), access.on(entry))

        return await self.database.read(work)

    async def seen(self, caller: Identity, entry: Entry) -> Seen:
        """An entry that the caller has just changed, as they see it; nothing of it is read again."""

        def work(connection: Connection) -> Seen:
            return Seen(entry, holder_in(connection, entry.id), self.access(connection, caller).on(entry))

        return await self.database.read(work)

    async def create(self, caller: Identity, new: Entry, fields: Mapping[str, Secret]) -> Entry:
        """Make an entry in the folder of its path, which an administrator may make so.

        Raises :class:`~rppam.vault.errors.EntryNameTaken`, :class:`~rppam.vault.errors.EntryInvalid`,
        :class:`RightLacking`, :class:`FolderUnknown`.
        """

        def work(connection: Connection) -> Entry:
            access = self.access(connection, caller)
            folder = _folder_for(connection, access, new.folder)
            made = create_entry(connection, new._replace(id=str(uuid.uuid4()), folder_id=folder.id))
            return add_version(connection, self.keyring, made, fields, caller.subject) if fields else made

        return await self.database.write(work)

    async def change(
        self,
        caller: Identity,
        ident: str,
        change: Change,
        expected: Collection[int] | None = None,
        if_match: Collection[int] | None = None,
    ) -> Entry:
        """Change an entry, or its secret, or both. Raises as :meth:`create`, :class:`EntryUnknown`,
        :class:`~rppam.vault.errors.EntryChanged`, :class:`~rppam.vault.errors.WouldWiden`,
        :class:`~rppam.http.errors.PreconditionFailedError`."""

        def work(connection: Connection) -> Entry:
            entry = self._known(connection, caller, ident, Right.MANAGE, lock=True)
            check_entry(connection, entry, if_match)
            if change.folder not in {None, entry.folder}:
                lock_folders(connection)
                entry = self._known(connection, caller, ident, Right.MANAGE)
            access = self.access(connection, caller)
            after = entry._replace(
                name=entry.name if change.name is None else change.name,
                account_id=entry.account_id if change.account_id is None else change.account_id or None,
                description=entry.description if change.description is None else change.description,
                policy=entry.policy if change.policy is None else change.policy,
                tags=entry.tags if change.tags is None else change.tags,
                owner_id=entry.owner_id if change.owner_id is None else change.owner_id or None,
            )
            check_pointing(access, entry, after.account_id)
            check_policy(access, entry, after.policy)
            if change.folder is not None and change.folder != entry.folder:
                folder = _folder_for(connection, access, change.folder)
                check_move(connection, access, entry, folder.path)
                after = after._replace(folder=folder.path, folder_id=folder.id)
            changed = change_entry(connection, after, expected)
            fields = change.fields
            if change.generated is not None:
                there = open_version(connection, self.keyring, changed, changed.version) if changed.version else {}
                fields = {**(there if fields is None else fields), **change.generated}
            if fields is None:
                return changed
            end_overdue_of(connection, ident)
            return add_version(connection, self.keyring, changed, fields, caller.subject)

        return await self.tried("secret.change", Entity("secret", ident), work, WouldWiden, RightLacking)

    async def remove(self, caller: Identity, ident: str, if_match: Collection[int] | None = None) -> None:
        """Delete an entry with all its versions; who has it checked out has it no more.

        Raises :class:`EntryUnknown`, :class:`RightLacking`, :class:`~rppam.http.errors.PreconditionFailedError`.
        """

        def work(connection: Connection) -> None:
            entry = self._known(connection, caller, ident, Right.MANAGE, lock=True)
            check_entry(connection, entry, if_match)
            end_overdue_of(connection, ident)
            for held in all_of(connection, ident):
                end_checkout(connection, held, entry, "deleted", caller.subject)
                self._end_uses(connection, entry, held, caller.subject)
            remove_entry(connection, entry)

        await self.database.write(work)

    async def versions(self, caller: Identity, ident: str) -> list[Version]:
        """All versions of an entry without their secrets. Raises :class:`EntryUnknown`, :class:`RightLacking`."""

        def work(connection: Connection) -> list[Version]:
            self._known(connection, caller, ident, Right.MANAGE, Right.AUDIT, Right.REVEAL)
            return versions_in(connection, ident)

        return await self.database.read(work)

    async def restore(
        self, caller: Identity, ident: str, number: int, if_match: Collection[int] | None = None
    ) -> Entry:
        """Make what a version holds the current one again, as a new version; the caller does not see it.

        Raises :class:`EntryUnknown`, :class:`RightLacking`, :class:`~rppam.vault.errors.VersionUnknown`,
        :class:`~rppam.http.errors.PreconditionFailedError`.
        """

        def work(connection: Connection) -> Entry:
            entry = self._known(connection, caller, ident, Right.MANAGE, lock=True)
            check_entry(connection, entry, if_match)
            fields = open_version(connection, self.keyring, entry, number)
            end_overdue_of(connection, ident)
            why = f"restored from version {number}"
            return add_version(connection, self.keyring, entry, fields, caller.subject, why=why)

        return await self.database.write(work)

    async def release(self, caller: Identity, ident: str) -> Entry:
        """Let an entry be had again that waits for a change. Raises :class:`EntryUnknown`, :class:`RightLacking`."""

        def work(connection: Connection) -> Entry:
            entry = self._known(connection, caller, ident, Right.MANAGE, lock=True)
            if entry.state is EntryState.PENDING_ROTATION:
                end_overdue_of(connection, ident)
                set_state(connection, ident, EntryState.AVAILABLE)
                record(connection, "secret.release", entity_of(entry))
            return entry_in(connection, ident)

        return await self.database.write(work)

    # ---- parts ------------------------------------------------------------------------------------------------------

    def _known(self, connection: Connection, caller: Identity, ident: str, *rights: Right, lock: bool = False) -> Entry:
        entry = entry_in(connection, ident, lock=lock)
        check(self.access(connection, caller), entry, *rights)
        return entry

    def _revealable(
        self, connection: Connection, caller: Identity, ident: str
    ) -> tuple[Access, Entry, Checkout | None]:
        entry = entry_in(connection, ident)
        access = self.access(connection, caller)
        check_reveal(access, entry)
        checkout = self._free(connection, access, entry)
        if checkout is None and needs_checkout(access, entry):
            raise RightLacking("the entry is exclusive: check it out first (POST /api/v1/vault/checkouts)")
        return access, entry, checkout

    def _free(self, connection: Connection, access: Access, entry: Entry) -> Checkout | None:
        """The own check-out. Raises where somebody else has the entry, or nobody may have it."""
        standing = standing_in(connection, entry.id, holder_of(access.identity))
        if standing.own is None and entry.policy.exclusive and standing.exclusive is not None:
            raise taken(connection, entry, None)
        if standing.state is EntryState.PENDING_ROTATION:
            raise blocked(entry)
        return standing.own

    def _opened(
        self,
        connection: Connection,
        access: Access,
        entry: Entry,
        checkout: Checkout | None,
        action: str,
        why: str,
        right: Right,
        version: int | None,
    ) -> Shown:
        number = entry.version if version is None else version
        fields: Mapping[str, Secret] = open_version(connection, self.keyring, entry, number) if number else {}
        left: int | None = None
        if right is Right.REVEAL and entry.type is EntryType.TOTP_SEED:
            fields, left = shown_now(fields, WallMs(now_ms(connection)))
        grant = access.needed_grant(entry, *(SIGN_IN if right is Right.USE else (right,)))
        self.used(connection, grant)
        facts = {
            "version": number,
            "fields": sorted(fields),
            "checkout": "" if checkout is None else checkout.id,
            "grant": "" if grant is None else grant.id,
        }
        record(connection, action, entity_of(entry), reason=why, details=facts)
        return Shown(entry, number, fields, checkout, left, "" if grant is None else grant.request_id)

    async def tried(self, action: str, target: Entity, work: Callable[[Connection], T], *of: type[RppamError]) -> T:
        """As ``write``; that somebody was refused is recorded as well, where they may know of it. ``of``: by which
        errors; none: by any."""
        try:
            return await self.database.write(work)
        except (EntryUnknown, FolderUnknown):
            raise
        except RppamError as error:
            if of and not isinstance(error, of):
                raise
            said = f"{error.row.code}: {error}"
            facts: dict[str, Any] = {}
            if isinstance(error, CheckedOut):  # who that is, no signed text says
                said, facts = f"{error.row.code}: somebody else has it", {"holder": Word(error.held_by)}
            refused = partial(record, action=action, target=target, outcome=Outcome.FAILURE, reason=said, details=facts)
            await self.database.write(refused)
            raise

    def tell_forced(self, connection: Connection, entry: Entry, checkout: Checkout, by: str, reason: str) -> None:
        """Have the holder of a check-out hear who has ended it, as part of the transaction that does."""
        tells = self._tells()
        if tells is not None:
            tells.forced(connection, entry, checkout, by, reason)

    def _end_uses(self, connection: Connection, entry: Entry, held: Checkout, by: str) -> None:
        """End the sessions of a check-out whose entry goes: nobody could tell afterwards that they were of it."""
        uses = self._uses()
        if uses is not None and entry.policy.kill_on_checkin and entry.account_id is not None:
            uses.end(connection, entry.account_id, held, "deleted", by)


def _folder_for(connection: Connection, access: Access, path: str) -> Folder:
    if Right.MANAGE not in access.on_folder(path):
        if not access.on_folder(path):
            raise FolderUnknown("no folder has this path")
        raise RightLacking("you may not put entries into this folder")
    return folder_at(connection, path) or create_folder(connection, path)
