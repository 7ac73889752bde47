"""Accounts as administrators see and change them (:class:`rppam.access.accounts.user_ports.UserStore`).

Whatever could leave the cluster without an administrator, or with two names that look alike, is done one transaction at
a time in the whole cluster: two administrators who take each other's role at once cannot both succeed. SQLite has one
writer anyway; on PostgreSQL an advisory lock of the transaction does it.
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, literal, or_, select, update

from rppam.access.accounts.changes import UserChange, UserPage, UserQuery, Written
from rppam.access.accounts.errors import LastAdmin, NameLooksTaken, NameTaken, UserUnknown
from rppam.access.accounts.facts_store import raise_user, user_copy
from rppam.access.accounts.model import READINGS, Account, AccountRole, StoredAccount, name_skeletons
from rppam.access.accounts.store import account_of, give_roles, row_of
from rppam.access.accounts.tables import backup_codes, pending_logins, user_roles, users
from rppam.db.database import Database
from rppam.db.engine import NowMs
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity
from rppam.ledger.record import record

_ONE_AT_A_TIME: Final = 0x7270_7061_6D01
"""Number of the advisory lock; nothing else of ours takes one."""


class SqlUsers:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, query: UserQuery) -> UserPage:
        """See :meth:`rppam.access.accounts.user_ports.UserStore.page`."""

        def work(connection: Connection) -> UserPage:
            wanted = _wanted(query)
            total = connection.execute(select(func.count()).select_from(users).where(*wanted)).scalar_one()
            rows = connection.execute(
                select(users)
                .where(*wanted)
                .order_by(users.c.name)
                .limit(query.page_size)
                .offset((query.page - 1) * query.page_size)
            ).all()
            held: dict[str, set[str]] = {row.id: set() for row in rows}
            for one in connection.execute(select(user_roles).where(user_roles.c.user_id.in_(held))):
                held[one.user_id].add(one.role)
            return UserPage(tuple(account_of(row, held[row.id]) for row in rows), total)

        return await self._database.read(work)

    async def get(self, user_id: str) -> StoredAccount:
        """See :meth:`rppam.access.accounts.user_ports.UserStore.get`."""

        def work(connection: Connection) -> StoredAccount:
            row = connection.execute(select(users).where(users.c.id == user_id)).one_or_none()
            if row is None:
                raise _unknown()
            return StoredAccount(account_of(row, _roles(connection, user_id)), Secret(row.password_hash))

        return await self._database.read(work)

    async def create(self, stored: StoredAccount) -> Written:
        """See :meth:`rppam.access.accounts.user_ports.UserStore.create`."""
        account = stored.account

        def work(connection: Connection) -> Written:
            _alone(connection)
            like = connection.execute(select(users.c.name, users.c.deleted_at).where(_looks_like(account.name))).all()
            for row in like:
                if row.name == account.name:
                    was = "exists already" if row.deleted_at is None else "existed and was deleted"
                    raise NameTaken(f"an account named {account.name!r} {was}; names are not used twice")
            if like:
                raise NameLooksTaken(f"{account.name!r} looks like {like[0].name!r}, which is another account")
            connection.execute(insert(users).values(**row_of(stored) | {"revision": 0}))
            give_roles(connection, account.id, account.roles)
            roles = sorted(role.value for role in account.roles)
            record(connection, "user.create", _entity(account), details={"roles": roles})
            return written(connection, account.id)

        return await self._database.write(work)

    async def change(self, user_id: str, change: UserChange) -> Written:
        """See :meth:`rppam.access.accounts.user_ports.UserStore.change`."""

        def work(connection: Connection) -> Written:
            _alone(connection)
            row = locked_row(connection, user_id)
            before = account_in(connection, row)
            made = _difference(before, change)
            if made == UserChange():
                copy = user_copy(connection, user_id)
                assert copy is not None  # its row is locked
                return Written(before, copy)
            administered = _administers(connection, row)
            columns: dict[str, object] = {}
            if made.display_name is not None:
                columns["display_name"] = made.display_name
            if made.disabled is not None:
                columns["disabled"] = made.disabled
            if columns:
                connection.execute(update(users).where(users.c.id == user_id).values(**columns))
            if made.roles is not None:
                connection.execute(delete(user_roles).where(user_roles.c.user_id == user_id))
                give_roles(connection, user_id, made.roles)
            if administered:
                _check_admins(connection, row.name)
            _record_change(connection, before, made)
            return written(connection, user_id, ends_sessions=bool(made.disabled))._replace(made=made)

        return await self._database.write(work)

    async def delete(self, user_id: str) -> Written:
        """See :meth:`rppam.access.accounts.user_ports.UserStore.delete`."""

        def work(connection: Connection) -> Written:
            _alone(connection)
            row = locked_row(connection, user_id)
            administered = _administers(connection, row)
            connection.execute(
                update(users)
                .where(users.c.id == user_id)
                .values(deleted_at=NowMs(), totp_secret=None, totp_pending=None)
            )
            if administered:
                _check_admins(connection, row.name)
            for table in (backup_codes, pending_logins):
                connection.execute(delete(table).where(table.c.user_id == user_id))
            record(connection, "user.delete", Entity("user", user_id, row.name))
            return written(connection, user_id, ends_sessions=True)

        return await self._database.write(work)

    async def set_password(
        self, user_id: str, new: Secret, changed_at: WallMs, *, instead_of: Secret | None = None
    ) -> Written | None:
        """See :meth:`rppam.access.accounts.user_ports.UserStore.set_password`."""

        def work(connection: Connection) -> Written | None:
            row = locked_row(connection, user_id)
            if instead_of is not None and row.password_hash != instead_of.reveal():
                return None
            connection.execute(
                update(users)
                .where(users.c.id == user_id)
                .values(password_hash=new.reveal(), password_changed_at=int(changed_at))
            )
            own = {"by_owner": instead_of is not None}
            record(connection, "user.password", Entity("user", user_id, row.name), details=own)
            return written(connection, user_id, ends_sessions=True)

        return await self._database.write(work)


def _entity(account: Account) -> Entity:
    return Entity("user", account.id, account.name)


def _record_change(connection: Connection, before: Account, made: UserChange) -> None:
    target = _entity(before)
    if made.display_name is not None:
        record(connection, "user.change", target)
    if made.disabled is not None:
        record(connection, "user.disable" if made.disabled else "user.enable", target)
    if made.roles is not None:
        for role in sorted(made.roles - before.roles):
            record(connection, "role.grant", target, details={"role": role.value})
        for role in sorted(before.roles - made.roles):
            record(connection, "role.revoke", target, details={"role": role.value})


def _difference(before: Account, change: UserChange) -> UserChange:
    """What of ``change`` is not so already."""
    return UserChange(
        change.display_name if change.display_name != before.display_name else None,
        change.disabled if change.disabled != before.disabled else None,
        change.roles if change.roles != before.roles else None,
    )


def _wanted(query: UserQuery) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if not query.deleted:
        wanted.append(users.c.deleted_at.is_(None))
    if query.search:
        wanted.append(
            or_(
                users.c.name.contains(query.search.casefold(), autoescape=True),
                users.c.display_name.icontains(query.search, autoescape=True),
            )
        )
    if query.role is not None:
        wanted.append(users.c.id.in_(select(user_roles.c.user_id).where(user_roles.c.role == query.role.value)))
    return wanted


def _alone(connection: Connection) -> None:
    """Let no other transaction that calls this begin its work before this one has ended."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(literal(_ONE_AT_A_TIME))))


def locked_row(connection: Connection, user_id: str) -> Row[Any]:
    """The account's row, locked until the transaction ends. Raises :class:`UserUnknown`, also for a deleted one."""
    connection.execute(select(users.c.id).where(users.c.id == user_id).with_for_update())
    return present_row(connection, user_id)


def present_row(connection: Connection, user_id: str) -> Row[Any]:
    """The account's row. Raises :class:`UserUnknown`, also for a deleted one."""
    row = connection.execute(select(users).where(users.c.id == user_id)).one_or_none()
    if row is None or row.deleted_at is not None:
        raise _unknown()
    return row


def _roles(connection: Connection, user_id: str) -> set[str]:
    return set(connection.execute(select(user_roles.c.role).where(user_roles.c.user_id == user_id)).scalars())


def _administers(connection: Connection, row: Row[Any]) -> bool:
    return not row.disabled and AccountRole.ADMIN.value in _roles(connection, row.id)


def _check_admins(connection: Connection, name: str) -> None:
    """Raises :class:`LastAdmin` when nobody is left who could administer; ``name`` is whom it is about."""
    admins = (
        select(users.c.id)
        .join(user_roles, user_roles.c.user_id == users.c.id)
        .where(
            user_roles.c.role == AccountRole.ADMIN.value,
            users.c.disabled.is_(False),
            users.c.deleted_at.is_(None),
        )
    )
    if connection.execute(admins.limit(1)).first() is None:
        raise LastAdmin(f"{name} is the last enabled account with the role {AccountRole.ADMIN}")


def written(connection: Connection, user_id: str, *, ends_sessions: bool = False) -> Written:
    """The end of a change: the new revision is told, and the account is as it stands now."""
    copy = raise_user(connection, user_id, ends_sessions=ends_sessions)
    row = connection.execute(select(users).where(users.c.id == user_id)).one()
    return Written(account_in(connection, row), copy)


def account_in(connection: Connection, row: Row[Any]) -> Account:
    """The account of a row of ``users``."""
    return account_of(row, _roles(connection, row.id))


def _looks_like(name: str) -> ColumnElement[bool]:
    """:func:`rppam.access.accounts.model.name_skeletons` in SQL."""
    alike: list[ColumnElement[bool]] = []
    for reading, skeleton in zip(READINGS, name_skeletons(name), strict=True):
        seen: ColumnElement[str] = users.c.name
        for one, meant in reading:
            seen = func.replace(seen, one, meant)
        alike.append(seen == skeleton)
    return or_(*alike)


def _unknown() -> UserUnknown:
    # The id is the caller's own text: it is not repeated.
    return UserUnknown("no account has this id")
