"""Approval policies, groups of users and contacts in SQL. Every change is an event itself.

With the revision that its author has seen, no change overwrites one of somebody else.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from rppam.access.accounts.store import present_row
from rppam.access.accounts.tables import users
from rppam.db.store import SqlStore, reads, writes
from rppam.ledger.model import Entity
from rppam.ledger.precondition import check_if_match
from rppam.ledger.record import record
from rppam.requests.errors import (
    ChangedMeanwhile,
    GroupTaken,
    GroupUnknown,
    PolicyInvalid,
    PolicyTaken,
    PolicyUnknown,
)
from rppam.requests.model import Contact, Group, Level, Policy, rules_of
from rppam.requests.tables import approval_policies, user_contacts, user_group_members, user_groups

_P, _G, _M, _C = approval_policies.c, user_groups.c, user_group_members.c, user_contacts.c
_MAKE_POLICIES: Final = ("approval-policy.create", "approval-policy.change")
_MAKE_GROUPS: Final = ("user-group.create", "user-group.change")
_MAKE_CONTACTS: Final = ("contact.change",)
_TAKEN: Final = "another policy has this name, or is for the same user, group or default"


class SqlPolicies(SqlStore):
    """See the module."""

    # ---- policies ----------------------------------------------------------------------------------------------------

    @reads
    def all(self, connection: Connection) -> list[Policy]:
        """Every policy by name."""
        return policies_in(connection)

    @reads
    def get(self, connection: Connection, ident: str) -> Policy:
        """One policy. Raises :class:`PolicyUnknown`."""
        return _policy(_policy_row(connection, ident))

    @writes
    def create(self, connection: Connection, policy: Policy) -> Policy:
        """Make a policy. Raises :class:`PolicyTaken`, :class:`PolicyInvalid` for a subject that does not exist."""
        _check_people(connection, policy)
        try:
            connection.execute(insert(approval_policies).values(**_policy_columns(policy), revision=1))
        except IntegrityError:
            raise PolicyTaken(_TAKEN) from None
        record(connection, "approval-policy.create", _policy_entity(policy), details=_facts(policy))
        return policy._replace(revision=1)

    @writes
    def change(
        self, connection: Connection, policy: Policy, seen: int | None, if_match: Collection[int] | None = None
    ) -> Policy:
        """Replace a policy. Raises as :meth:`create`, and :class:`ChangedMeanwhile`,
        :class:`~rppam.http.errors.PreconditionFailedError`."""
        before = _policy_row(connection, policy.id, lock=True)
        check_if_match(connection, if_match, before.revision, _policy_entity(_policy(before)), _MAKE_POLICIES)
        _check_seen(before.revision, seen)
        _check_people(connection, policy)
        changed = policy._replace(revision=before.revision + 1)
        try:
            values = _policy_columns(changed) | {"revision": changed.revision}
            connection.execute(update(approval_policies).where(_P.id == policy.id).values(**values))
        except IntegrityError:
            raise PolicyTaken(_TAKEN) from None
        record(connection, "approval-policy.change", _policy_entity(changed), details=_facts(changed))
        return changed

    @writes
    def remove(self, connection: Connection, ident: str, if_match: Collection[int] | None = None) -> None:
        """Delete a policy. Raises :class:`PolicyUnknown`, :class:`~rppam.http.errors.PreconditionFailedError`."""
        policy = _policy(_policy_row(connection, ident, lock=True))
        check_if_match(connection, if_match, policy.revision, _policy_entity(policy), _MAKE_POLICIES)
        connection.execute(delete(approval_policies).where(_P.id == ident))
        record(connection, "approval-policy.delete", _policy_entity(policy))

    # ---- groups ------------------------------------------------------------------------------------------------------

    @reads
    def groups(self, connection: Connection) -> list[Group]:
        """Every group by name."""
        return _groups(connection, connection.execute(select(user_groups).order_by(_G.name)).all())

    @reads
    def group(self, connection: Connection, ident: str) -> Group:
        """One group. Raises :class:`GroupUnknown`."""
        return _groups(connection, [_group_row(connection, ident)])[0]

    @writes
    def create_group(self, connection: Connection, group: Group) -> Group:
        """Make a group. Raises :class:`GroupTaken`, ``UserUnknown``."""
        try:
            connection.execute(insert(user_groups).values(id=group.id, name=group.name, revision=1))
        except IntegrityError:
            raise GroupTaken(f"a group named {group.name!r} exists already") from None
        _put_members(connection, group)
        record(connection, "user-group.create", _group_entity(group), details={"members": sorted(group.members)})
        return group._replace(revision=1)

    @writes
    def change_group(
        self, connection: Connection, group: Group, seen: int | None, if_match: Collection[int] | None = None
    ) -> Group:
        """Replace a group. Raises as :meth:`create_group`, and :class:`ChangedMeanwhile`,
        :class:`~rppam.http.errors.PreconditionFailedError`."""
        before = _group_row(connection, group.id, lock=True)
        check_if_match(connection, if_match, before.revision, _group_entity(group), _MAKE_GROUPS)
        _check_seen(before.revision, seen)
        changed = group._replace(revision=before.revision + 1)
        try:
            values = {"name": group.name, "revision": changed.revision}
            connection.execute(update(user_groups).where(_G.id == group.id).values(**values))
        except IntegrityError:
            raise GroupTaken(f"a group named {group.name!r} exists already") from None
        connection.execute(delete(user_group_members).where(_M.group_id == group.id))
        _put_members(connection, group)
        record(connection, "user-group.change", _group_entity(group), details={"members": sorted(group.members)})
        return changed

    @writes
    def remove_group(self, connection: Connection, ident: str, if_match: Collection[int] | None = None) -> None:
        """Delete a group that no policy needs. Raises :class:`GroupUnknown`, :class:`GroupTaken`,
        :class:`~rppam.http.errors.PreconditionFailedError`."""
        group = _groups(connection, [_group_row(connection, ident, lock=True)])[0]
        check_if_match(connection, if_match, group.revision, _group_entity(group), _MAKE_GROUPS)
        needed = [
            one.name
            for one in policies_in(connection)
            if one.rules.approver_group == ident or (one.level is Level.GROUP and one.subject == ident)
        ]
        if needed:
            raise GroupTaken(f"policies need it: {', '.join(needed)}")
        connection.execute(delete(user_group_members).where(_M.group_id == ident))
        connection.execute(delete(user_groups).where(_G.id == ident))
        record(connection, "user-group.delete", _group_entity(group))

    # ---- contacts ----------------------------------------------------------------------------------------------------

    @reads
    def contact(self, connection: Connection, user_id: str) -> Contact:
        """Manager and mail address of an account. Raises ``UserUnknown``."""
        present_row(connection, user_id)
        return _contact(connection, user_id)

    @writes
    def put_contact(
        self, connection: Connection, contact: Contact, seen: int | None, if_match: Collection[int] | None = None
    ) -> Contact:
        """Set both. Raises ``UserUnknown``, :class:`PolicyInvalid`, :class:`ChangedMeanwhile`,
        :class:`~rppam.http.errors.PreconditionFailedError`."""
        connection.execute(select(users.c.id).where(users.c.id == contact.user_id).with_for_update())
        row = present_row(connection, contact.user_id)
        target = Entity("user", contact.user_id, row.name)
        before = _contact(connection, contact.user_id)
        check_if_match(connection, if_match, before.revision, target, _MAKE_CONTACTS)
        if contact.manager_id:
            if contact.manager_id == contact.user_id:
                raise PolicyInvalid("managerId: nobody is their own manager")
            present_row(connection, contact.manager_id)
        _check_seen(before.revision, seen)
        connection.execute(delete(user_contacts).where(_C.user_id == contact.user_id))
        after = contact._replace(revision=before.revision + 1)
        connection.execute(insert(user_contacts).values(**after._asdict()))
        record(connection, "contact.change", target, details={"manager": contact.manager_id})
        return after


def policies_in(connection: Connection) -> list[Policy]:
    """All policies by name, in a transaction of another store."""
    return [_policy(row) for row in connection.execute(select(approval_policies).order_by(_P.name))]


def _check_seen(stands: int, seen: int | None) -> None:
    if seen is not None and seen != stands:
        raise ChangedMeanwhile(f"it has revision {stands}, and revision {seen} was sent")


def _check_people(connection: Connection, policy: Policy) -> None:
    if policy.level is Level.USER:
        present_row(connection, policy.subject)
    groups = {policy.subject} if policy.level is Level.GROUP else set()
    for group in groups | ({policy.rules.approver_group} - {""}):
        _group_row(connection, group)


def _policy_row(connection: Connection, ident: str, *, lock: bool = False) -> Row[Any]:
    wanted = select(approval_policies).where(_P.id == ident)
    row = connection.execute(wanted.with_for_update() if lock else wanted).one_or_none()
    if row is None:
        raise PolicyUnknown("no approval policy has this id")
    return row


def _policy(row: Row[Any]) -> Policy:
    rules = rules_of(json.loads(row.rules))
    return Policy(row.id, row.name, Level(row.level), row.subject, row.priority, rules, row.revision)


def _policy_columns(policy: Policy) -> dict[str, Any]:
    return {
        "id": policy.id,
        "name": policy.name,
        "level": policy.level.value,
        "subject": policy.subject,
        "priority": policy.priority,
        "rules": json.dumps(policy.rules._asdict()),
    }


def _policy_entity(policy: Policy) -> Entity:
    return Entity("approval-policy", policy.id, policy.name)


def _facts(policy: Policy) -> Mapping[str, Any]:
    rules = json.loads(json.dumps(policy.rules._asdict()))
    return {"level": policy.level.value, "subject": policy.subject, "priority": policy.priority, "rules": rules}


def _group_row(connection: Connection, ident: str, *, lock: bool = False) -> Row[Any]:
    wanted = select(user_groups).where(_G.id == ident)
    row = connection.execute(wanted.with_for_update() if lock else wanted).one_or_none()
    if row is None:
        raise GroupUnknown("no group of users has this id")
    return row


def _groups(connection: Connection, rows: Sequence[Row[Any]]) -> list[Group]:
    members: dict[str, list[str]] = {}
    wanted = select(user_group_members).where(_M.group_id.in_([row.id for row in rows])).order_by(_M.user_id)
    for one in connection.execute(wanted):
        members.setdefault(one.group_id, []).append(one.user_id)
    return [Group(row.id, row.name, tuple(members.get(row.id, ())), row.revision) for row in rows]


def _put_members(connection: Connection, group: Group) -> None:
    for member in sorted(set(group.members)):
        present_row(connection, member)
        connection.execute(insert(user_group_members).values(group_id=group.id, user_id=member))


def _group_entity(group: Group) -> Entity:
    return Entity("user-group", group.id, group.name)


def _contact(connection: Connection, user_id: str) -> Contact:
    row = connection.execute(select(user_contacts).where(_C.user_id == user_id)).one_or_none()
    return Contact(user_id, "", "", 0) if row is None else Contact(user_id, row.manager_id, row.email, row.revision)
