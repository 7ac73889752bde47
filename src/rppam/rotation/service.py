"""Rotation for people: its rules, its orders, and how it stands. Each call is one transaction with its record."""

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import Connection

from rppam.access.sessions.model import Identity
from rppam.ledger.precondition import check_if_match
from rppam.rotation.errors import RotationInvalid
from rppam.rotation.model import Cause, Rotation, Rules, checked_rules, why_not
from rppam.rotation.store import kind_in, open_rotation, put_rules, rotations_in, rules_in
from rppam.vault.errors import EntryChanged
from rppam.vault.model import Entry, Right
from rppam.vault.policy import check
from rppam.vault.service import Vault
from rppam.vault.store import entity_of, entry_in

SHOWN: Final = 20


class Standing(NamedTuple):
    """How it stands with one entry."""

    rules: Rules
    problem: str
    """Why it cannot be changed on a target; empty where it can."""
    newest: list[Rotation]


class Rotations:
    """See the module. Every call raises a ``DatabaseError`` when the database does not answer, and of an entry that the
    caller may not know of :class:`~rppam.vault.errors.EntryUnknown`."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def standing(self, caller: Identity, entry_id: str) -> Standing:
        """Rules and the newest changes of an entry. Raises :class:`~rppam.vault.errors.RightLacking`."""

        def work(connection: Connection) -> Standing:
            entry = self._known(connection, caller, entry_id, Right.MANAGE, Right.AUDIT)
            return self._standing(connection, entry)

        return await self._vault.database.read(work)

    async def put(
        self, caller: Identity, entry_id: str, rules: Rules, seen: int | None, if_match: Collection[int] | None = None
    ) -> Standing:
        """Set the rules. Raises :class:`RotationInvalid`, :class:`~rppam.vault.errors.EntryChanged`,
        :class:`~rppam.http.errors.PreconditionFailedError`."""
        checked_rules(rules)

        def work(connection: Connection) -> Standing:
            entry = self._known(connection, caller, entry_id, Right.MANAGE, lock=True)
            stands = rules_in(connection, entry_id).revision
            check_if_match(connection, if_match, stands, entity_of(entry), ("rotation.rules",))
            if seen is not None and seen != stands:
                raise EntryChanged(f"its rules stand at revision {stands} now")
            if rules.by_entry_id is not None:
                self._check_other(connection, caller, entry, rules.by_entry_id)
            put_rules(connection, entry, rules)
            return self._standing(connection, entry)

        return await self._vault.database.write(work)

    async def order(self, caller: Identity, entry_id: str, reason: str) -> Rotation:
        """Have the secret changed now. Raises :class:`~rppam.rotation.errors.NotRotatable`,
        :class:`~rppam.rotation.errors.RotationUnderWay`."""

        def work(connection: Connection) -> Rotation:
            entry = self._known(connection, caller, entry_id, Right.MANAGE, lock=True)
            ident = open_rotation(connection, entry, Cause.ORDER, reason)
            return next(one for one in rotations_in(connection, entry_id=entry_id, is_open=True) if one.id == ident)

        return await self._vault.database.write(work)

    async def all(self, caller: Identity, *, is_open: bool) -> list[Rotation]:
        """The newest first, of the entries whose history the caller may see."""

        def work(connection: Connection) -> list[Rotation]:
            access = self._vault.access(connection, caller)
            found = rotations_in(connection, entry_id=None, is_open=is_open)
            if Right.AUDIT in access.everywhere:
                return found
            wanted = {Right.MANAGE, Right.AUDIT}
            return [one for one in found if not access.on(entry_in(connection, one.entry_id)).isdisjoint(wanted)]

        return await self._vault.database.read(work)

    def _standing(self, connection: Connection, entry: Entry) -> Standing:
        kind, _ = kind_in(connection, entry)
        newest = rotations_in(connection, entry_id=entry.id, is_open=False)[:SHOWN]
        return Standing(rules_in(connection, entry.id), why_not(entry, kind), newest)

    def _check_other(self, connection: Connection, caller: Identity, entry: Entry, ident: str) -> None:
        """Who changes it is an account of the same target, and the caller may use its secret."""
        other = self._known(connection, caller, ident, Right.USE, Right.REVEAL)
        if other.id == entry.id:
            raise RotationInvalid("byEntryId: leave it out where the account changes its own secret")
        if other.resource_id is None or other.resource_id != entry.resource_id:
            raise RotationInvalid("byEntryId: expected the entry of an account on the same target")

    def _known(self, connection: Connection, caller: Identity, ident: str, *rights: Right, lock: bool = False) -> Entry:
        entry = entry_in(connection, ident, lock=lock)
        check(self._vault.access(connection, caller), entry, *rights)
        return entry
