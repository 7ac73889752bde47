"""Who may approve, and who still may: parts of transactions of requests.

The accounts looked at are locked for sharing until the transaction ends, so a role that is taken away, or an account
that is disabled, comes wholly before a decision or wholly after it.
"""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, select

from rppam.access.accounts.model import AccountRole
from rppam.access.accounts.tables import user_roles, users
from rppam.requests.errors import NobodyApproves
from rppam.requests.machine import MINUTE_MS, Approver, Standing, Terms
from rppam.requests.model import Mode, Rules
from rppam.requests.tables import request_approvers, user_contacts, user_group_members

_ROLE, _ADMIN, _MANAGER, _GROUP = "role", "admin", "manager", "group:"
_APPROVING: Final = (AccountRole.APPROVER.value, AccountRole.ADMIN.value)
REVIEWING: Final = frozenset({AccountRole.APPROVER, AccountRole.ADMIN, AccountRole.SECURITY_ADMIN})
"""The roles that close the review of an emergency, whoever has approved what."""


class Chosen(NamedTuple):
    """Somebody who may decide about a request, and what entitles them."""

    user: str
    since: int
    entitled_by: str

    @property
    def approver(self) -> Approver:
        """As the machine knows them."""
        return Approver(self.user, self.since)


def chosen_approvers(connection: Connection, requester: str, rules: Rules, terms: Terms, now: int) -> list[Chosen]:
    """Who may decide about a request made now. Raises :class:`NobodyApproves` where that are too few."""
    if terms.needed == 0:
        return []
    barred = {requester, *(approver for asker, approver in rules.excluded if asker == requester)}
    entitled_by = _MANAGER if rules.mode is Mode.MANAGER else _ROLE
    if rules.approver_group:
        entitled_by = _GROUP + rules.approver_group
    first = [one for one in _entitled(connection, entitled_by, requester) if one not in barred]
    found = [Chosen(one, 0, entitled_by) for one in first]
    if rules.stand_in_minutes:
        # Where too few could ever decide, those who stand in for them need not wait for it.
        since = now + rules.stand_in_minutes * MINUTE_MS if len(first) >= terms.needed else 0
        others = _entitled(connection, _ADMIN, requester)
        found += [Chosen(one, since, _ADMIN) for one in others if one not in barred and one not in first]
    if len(found) < terms.needed:
        whom = "the manager of the account" if entitled_by == _MANAGER else "enabled approvers beside the requester"
        raise NobodyApproves(f"the policy needs {terms.needed} approvals, and there are {len(found)}: {whom}")
    return found


def standings(connection: Connection, request_id: str, requester: str, asked: Collection[str]) -> dict[str, Standing]:
    """What these people are now, locked until the transaction ends."""
    enabled = set(enabled_among(connection, asked))
    wanted = select(request_approvers.c.user_id, request_approvers.c.entitled_by).where(
        request_approvers.c.request_id == request_id, request_approvers.c.user_id.in_(asked)
    )
    by = {row.user_id: row.entitled_by for row in connection.execute(wanted)}
    held = {way: set(_entitled(connection, way, requester, by)) for way in set(by.values())}
    return {one: Standing(one in enabled, one in by and one in held[by[one]]) for one in asked}


def enabled_among(connection: Connection, asked: Collection[str]) -> list[str]:
    """Those of ``asked`` whose accounts are enabled, locked until the transaction ends."""
    wanted = select(users.c.id).where(users.c.id.in_(sorted(asked)), *_ENABLED).order_by(users.c.id)
    return list(connection.execute(wanted.with_for_update(read=True)).scalars())


def reviewers(connection: Connection) -> list[str]:
    """Enabled accounts that may review an emergency, unless it is their own."""
    of_role = _ids(user_roles.c.user_id, user_roles.c.role.in_(sorted(REVIEWING)))
    wanted = select(users.c.id).where(users.c.id.in_(of_role), *_ENABLED).order_by(users.c.id)
    return list(connection.execute(wanted).scalars())


def groups_of(connection: Connection, user_id: str) -> set[str]:
    """The groups that somebody is in."""
    return set(
        connection.execute(
            select(user_group_members.c.group_id).where(user_group_members.c.user_id == user_id)
        ).scalars()
    )


_ENABLED: Final = (users.c.disabled.is_(False), users.c.deleted_at.is_(None))


def _entitled(connection: Connection, way: str, requester: str, among: Iterable[str] | None = None) -> list[str]:
    """Enabled accounts that may approve in this way, by id."""
    wanted = select(users.c.id).where(*_ENABLED, _way(way, requester)).order_by(users.c.id)
    if among is not None:
        wanted = wanted.where(users.c.id.in_(sorted(among)))
    return list(connection.execute(wanted).scalars())


def _way(way: str, requester: str) -> ColumnElement[bool]:
    if way == _MANAGER:
        return users.c.id == (
            select(user_contacts.c.manager_id).where(user_contacts.c.user_id == requester).scalar_subquery()
        )
    if way.startswith(_GROUP):
        return users.c.id.in_(_ids(user_group_members.c.user_id, user_group_members.c.group_id == way[len(_GROUP) :]))
    roles = (AccountRole.ADMIN.value,) if way == _ADMIN else _APPROVING
    return users.c.id.in_(_ids(user_roles.c.user_id, user_roles.c.role.in_(roles)))


def _ids(column: ColumnElement[str], condition: ColumnElement[bool]) -> Select[str]:
    return select(column).where(and_(condition))
