"""Accounts in SQL, by name and by id. Names given here are already normalised.

Every call raises a ``DatabaseError`` when the database does not answer. A change of an account by its id is one
transaction, which raises the account's revision and writes the log of changes; a deleted account is unknown to it.

Whatever could leave the cluster without an administrator, or with two names that look alike, is done one transaction at
a time in the whole cluster: two administrators who take each other's role at once cannot both succeed. SQLite has one
writer anyway; on PostgreSQL an advisory lock of the transaction does it.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from rppam.access.accounts.errors import LastAdmin, NameLooksTaken, NameTaken, UserChanged, UserUnknown
from rppam.access.accounts.model import (
    READINGS,
    Account,
    AccountRole,
    StoredAccount,
    UserChange,
    UserPage,
    UserQuery,
    name_skeletons,
)
from rppam.access.accounts.tables import backup_codes, pending_logins, user_roles, users
from rppam.access.sessions.model import StoredFacts, UserFacts
from rppam.cache.change_log import record_change, record_changes
from rppam.cache.model import CacheKey, Change, Kind
from rppam.db.engine import NowMs, insert_into, rows_changed
from rppam.db.store import SqlStore, reads, writes
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity, Outcome
from rppam.ledger.precondition import check_if_match
from rppam.ledger.record import record
from rppam.settings.store import begin_with

NO_SETTINGS: Final[Mapping[str, str]] = MappingProxyType({})
_ONE_AT_A_TIME: Final = 0x7270_7061_6D01
"""Number of the advisory lock; nothing else of ours takes one."""
_ROLES: Final = frozenset(AccountRole)
_MAKE_REVISIONS: Final = (
    *("user.create", "user.change", "user.disable", "user.enable", "user.password", "role.grant", "role.revoke"),
    *("mfa.enrol", "mfa.remove", "passkey.reset", "session.end-all"),
)
_RAISES: Final = {"revision": users.c.revision + 1}
_ENDS_SESSIONS: Final = _RAISES | {"auth_epoch": users.c.auth_epoch + 1, "totp_pending": None}
"""An enrolment that was begun ends with the sessions: they may have been ended because of the one who began it."""


class SqlAccounts(SqlStore):
    # ---- looking ----------------------------------------------------------------------------------------------------

    @reads
    def find(self, connection: Connection, name: str) -> StoredAccount | None:
        """The account of this name with its password hash, deleted or not."""
        return account_of_name(connection, name)

    @reads
    def get(self, connection: Connection, user_id: str) -> StoredAccount:
        """The account of this id with its password hash, deleted or not. Raises :class:`UserUnknown`."""
        found = _stored(connection, _OF_ID, user_id)
        if found is None:
            raise _unknown()
        return found

    @reads
    def is_empty(self, connection: Connection) -> bool:
        """Whether no account was ever made, disabled ones included."""
        return connection.execute(select(users.c.id).limit(1)).first() is None

    @reads
    def all(self, connection: Connection) -> tuple[Account, ...]:
        wanted = select(users).order_by(users.c.name)
        return _accounts(connection, connection.execute(wanted).all())

    @reads
    def page(self, connection: Connection, query: UserQuery) -> UserPage:
        wanted = _wanted(query)
        total = connection.execute(select(func.count()).select_from(users).where(*wanted)).scalar_one()
        page = select(users).where(*wanted).order_by(users.c.name).limit(query.page_size)
        rows = connection.execute(page.offset((query.page - 1) * query.page_size)).all()
        return UserPage(_accounts(connection, rows, few=True), total)

    # ---- changing ---------------------------------------------------------------------------------------------------

    @writes
    def create_first(
        self, connection: Connection, stored: StoredAccount, settings: Mapping[str, str] = NO_SETTINGS
    ) -> bool:
        """Make this account if none exists at all, with the ``settings`` of the new cluster; whether it was this call
        that made it. Atomic between nodes."""
        row = _row_of(stored)
        # "None exists" and the name's uniqueness together: of two nodes at once, the later one waits for the
        # earlier one's row and then inserts nothing.
        wanted = select(*(literal(value).label(name) for name, value in row.items()))
        nobody = wanted.where(~select(users.c.id).exists())
        made = insert_into(connection, users).from_select(list(row), nobody).on_conflict_do_nothing()
        if rows_changed(connection, made) != 1:
            return False
        _give_roles(connection, stored.account.id, stored.account.roles)
        _record_creation(connection, stored.account)
        begin_with(connection, settings)
        return True

    @writes
    def create(self, connection: Connection, stored: StoredAccount) -> Account:
        """Make an account. Raises :class:`NameTaken` (a deleted account keeps its name) or :class:`NameLooksTaken`."""
        account = stored.account
        _alone(connection)
        like = connection.execute(select(users.c.name, users.c.deleted_at).where(_looks_like(account.name))).all()
        for row in like:
            if row.name == account.name:
                was = "exists already" if row.deleted_at is None else "existed and was deleted"
                raise NameTaken(f"an account named {account.name!r} {was}; names are not used twice")
        if like:
            raise NameLooksTaken(f"{account.name!r} looks like {like[0].name!r}, which is another account")
        connection.execute(insert(users).values(**_row_of(stored) | {"revision": 0}))
        _give_roles(connection, account.id, account.roles)
        _record_creation(connection, account)
        return raise_user(connection, account.id)

    @writes
    def change(
        self, connection: Connection, user_id: str, change: UserChange, expected: Sequence[int] | None = None
    ) -> tuple[Account, UserChange]:
        """Make ``change``; disabling ends all sessions. The account, and what of it was different before: where nothing
        was, the account keeps its revision. ``expected``: revisions that it may replace; ``None``: any.

        Raises :class:`UserUnknown`, :class:`LastAdmin`, :class:`UserChanged`."""
        _alone(connection)
        before = account_in(connection, locked_row(connection, user_id))
        _check_if_match(connection, before, expected)
        made = _difference(before, change)
        if made == UserChange():
            return before, made
        columns = {
            name: value
            for name, value in (
                ("display_name", made.display_name),
                ("disabled", made.disabled),
                ("allowed_from", None if made.allowed_from is None else " ".join(made.allowed_from)),
            )
            if value is not None
        }
        if columns:
            connection.execute(update(users).where(users.c.id == user_id).values(**columns))
        if made.roles is not None:
            connection.execute(delete(user_roles).where(user_roles.c.user_id == user_id))
            _give_roles(connection, user_id, made.roles)
        _check_admins(connection, before)
        _record_change(connection, before, made)
        return raise_user(connection, user_id, ends_sessions=bool(made.disabled)), made

    @writes
    def delete(self, connection: Connection, user_id: str, expected: Sequence[int] | None = None) -> Account:
        """Delete the account and end its sessions. Raises :class:`UserUnknown`, :class:`LastAdmin`,
        :class:`UserChanged`."""
        _alone(connection)
        before = account_in(connection, locked_row(connection, user_id))
        _check_if_match(connection, before, expected)
        gone = {"deleted_at": NowMs(), "totp_secret": None, "totp_pending": None}
        connection.execute(update(users).where(users.c.id == user_id).values(**gone))
        _check_admins(connection, before)
        for table in (backup_codes, pending_logins):
            connection.execute(delete(table).where(table.c.user_id == user_id))
        record(connection, "user.delete", _entity(before))
        return raise_user(connection, user_id, ends_sessions=True)

    @writes
    def replace_hash(self, connection: Connection, account_id: str, old: Secret, new: Secret) -> bool:
        """Store a better hash of the *same* password, unless the password was changed meanwhile."""
        unchanged = (users.c.id == account_id) & (users.c.password_hash == old.reveal())
        change = update(users).where(unchanged).values(password_hash=new.reveal())
        return rows_changed(connection, change) == 1

    @writes
    def set_password(
        self, connection: Connection, user_id: str, new: Secret, changed_at: WallMs, *, instead_of: Secret | None = None
    ) -> Account | None:
        """Store the hash of a new password and end all sessions. Raises :class:`UserUnknown`.

        ``instead_of``: only while this is the hash that is stored; ``None`` is returned when it is not any more.
        """
        row = locked_row(connection, user_id)
        if instead_of is not None and row.password_hash != instead_of.reveal():
            return None
        changed = {"password_hash": new.reveal(), "password_changed_at": int(changed_at)}
        connection.execute(update(users).where(users.c.id == user_id).values(**changed))
        own = {"by_owner": instead_of is not None}
        record(connection, "user.password", Entity("user", user_id, row.name), details=own)
        return raise_user(connection, user_id, ends_sessions=True)

    @writes
    def record_refusal(self, connection: Connection, account: Account | None, why: str) -> None:
        """Record that a log-in was refused; ``None``: no account has the name, which may be a password."""
        target = Entity("user") if account is None else _entity(account)
        record(connection, "login.fail", target, outcome=Outcome.FAILURE, reason=why)


# ---- parts of transactions, also of other slices ---------------------------------------------------------------------


def account_of_name(connection: Connection, name: str) -> StoredAccount | None:
    """As :meth:`SqlAccounts.find`."""
    return _stored(connection, _OF_NAME, name)


def present_row(connection: Connection, user_id: str) -> Row[Any]:
    """The account's row. Raises :class:`UserUnknown`, also for a deleted one."""
    row = connection.execute(select(users).where(users.c.id == user_id)).one_or_none()
    if row is None or row.deleted_at is not None:
        raise _unknown()
    return row


def locked_row(connection: Connection, user_id: str) -> Row[Any]:
    """As :func:`present_row`, locked until the transaction ends."""
    connection.execute(select(users.c.id).where(users.c.id == user_id).with_for_update())
    return present_row(connection, user_id)


def account_in(connection: Connection, row: Row[Any]) -> Account:
    # Roles are read after the row: they may be newer than its revision, never older.
    held = connection.execute(select(user_roles.c.role).where(user_roles.c.user_id == row.id)).scalars()
    return _account(row, held)


def raise_user(connection: Connection, user_id: str, *, ends_sessions: bool = False) -> Account:
    """End a change of the account: it has a new revision, which stands in the log of changes. The account as it is now.

    Every transaction that changes an account calls this, and the account is published after the commit.
    ``ends_sessions`` raises ``auth_epoch`` as well. The account must exist.
    """
    change = update(users).where(users.c.id == user_id).values(_ENDS_SESSIONS if ends_sessions else _RAISES)
    row = connection.execute(change.returning(users)).one()
    record_change(connection, CacheKey(Kind.USER, user_id), row.revision)
    return account_in(connection, row)


def raise_everybody(connection: Connection) -> tuple[StoredFacts, ...]:
    """End all sessions of every account that is not deleted, and all that begin under what was read before; the new
    facts. As :func:`raise_user` for each, in as many statements for ten thousand accounts as for one."""
    change = update(users).where(users.c.deleted_at.is_(None)).values(_ENDS_SESSIONS).returning(users)
    rows = connection.execute(change).all()
    record_changes(connection, [Change(CacheKey(Kind.USER, row.id), row.revision) for row in rows])
    return tuple(facts_of(account) for account in _accounts(connection, rows))


def facts_in(connection: Connection, user_id: str) -> StoredFacts | None:
    """The account's facts as they stand, with their revision."""
    stored = _stored(connection, _OF_ID, user_id)
    return None if stored is None else facts_of(stored.account)


def facts_of(account: Account) -> StoredFacts:
    facts = UserFacts(
        account.id, account.name, account.roles, account.disabled, account.auth_epoch, account.has_mfa
    )  # fmt: skip
    return StoredFacts(facts, account.revision)


# ---- rows and values -------------------------------------------------------------------------------------------------


_WITH_ROLES: Final = select(users, user_roles.c.role).outerjoin_from(users, user_roles)
# Made once: putting a statement together costs as much as running it.
_OF_NAME: Final = _WITH_ROLES.where(users.c.name == bindparam("wanted"))
_OF_ID: Final = _WITH_ROLES.where(users.c.id == bindparam("wanted"))


def _stored(connection: Connection, which: Select[Any], wanted: str) -> StoredAccount | None:
    rows = connection.execute(which, {"wanted": wanted}).all()
    if not rows:
        return None
    return StoredAccount(_account(rows[0], {row.role for row in rows}), Secret(rows[0].password_hash))


def _accounts(connection: Connection, rows: Sequence[Row[Any]], *, few: bool = False) -> tuple[Account, ...]:
    """The accounts of rows of ``users``; ``few``: no more than a database takes ids in a question."""
    wanted = select(user_roles)
    if few:
        wanted = wanted.where(user_roles.c.user_id.in_([row.id for row in rows]))
    held: dict[str, set[str]] = {}
    for one in connection.execute(wanted):
        held.setdefault(one.user_id, set()).add(one.role)
    return tuple(_account(row, held.get(row.id, ())) for row in rows)


def _account(row: Row[Any], held: Iterable[str]) -> Account:
    return Account(
        id=row.id,
        name=row.name,
        display_name=row.display_name,
        # A role that this release does not know grants nothing here.
        roles=frozenset(AccountRole(role) for role in _ROLES.intersection(held)),
        disabled=row.disabled or row.deleted_at is not None,
        created_at=WallMs(row.created_at),
        password_changed_at=WallMs(row.password_changed_at),
        auth_epoch=row.auth_epoch,
        revision=row.revision,
        has_mfa=row.totp_secret is not None,
        deleted_at=None if row.deleted_at is None else WallMs(row.deleted_at),
        allowed_from=tuple(row.allowed_from.split()),
    )


def _row_of(stored: StoredAccount) -> dict[str, object]:
    account = stored.account
    return {
        "id": account.id,
        "name": account.name,
        "display_name": account.display_name,
        "password_hash": stored.password_hash.reveal(),
        "disabled": account.disabled,
        "created_at": int(account.created_at),
        "password_changed_at": int(account.password_changed_at),
    }


def _give_roles(connection: Connection, account_id: str, roles: frozenset[AccountRole]) -> None:
    """Write the roles of an account that has none."""
    rows = [{"user_id": account_id, "role": role.value} for role in sorted(roles)]
    if rows:
        connection.execute(insert(user_roles), rows)


def _check_if_match(connection: Connection, account: Account, expected: Sequence[int] | None) -> None:
    check_if_match(connection, expected, account.revision, _entity(account), _MAKE_REVISIONS, UserChanged)


def _entity(account: Account) -> Entity:
    return Entity("user", account.id, account.name)


def _record_creation(connection: Connection, account: Account) -> None:
    roles = sorted(role.value for role in account.roles)
    record(connection, "user.create", _entity(account), details={"roles": roles})


def _record_change(connection: Connection, before: Account, made: UserChange) -> None:
    target = _entity(before)
    if made.display_name is not None:
        record(connection, "user.change", target)
    if made.allowed_from is not None:
        facts = {"allowedFrom": list(made.allowed_from), "before": list(before.allowed_from)}
        record(connection, "user.change", target, details=facts)
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
        change.allowed_from if change.allowed_from != before.allowed_from else None,
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


def _check_admins(connection: Connection, before: Account) -> None:
    """Raises :class:`LastAdmin` when the change of an account has left nobody who could administer.

    ``before``: the account before it; only one that could administer then matters.
    """
    if before.disabled or AccountRole.ADMIN not in before.roles:
        return
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
        raise LastAdmin(f"{before.name} is the last enabled account with the role {AccountRole.ADMIN}")


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
