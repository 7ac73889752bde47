"""Accounts in SQL (:class:`rppam.access.accounts.ports.AccountStore`)."""

from functools import partial

from sqlalchemy import Connection, Row, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from rppam.access.accounts.errors import NameTaken
from rppam.access.accounts.facts_store import raise_user
from rppam.access.accounts.model import Account, AccountRole, StoredAccount
from rppam.access.accounts.tables import user_roles, users
from rppam.db.database import Database
from rppam.db.engine import rows_changed
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity, Outcome
from rppam.ledger.record import record

_ROLES = frozenset(AccountRole)


class SqlAccounts:
    """The accounts of the cluster's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, name: str) -> StoredAccount | None:
        """The account of this name with its hash, or ``None``."""

        def work(connection: Connection) -> StoredAccount | None:
            row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
            if row is None:
                return None
            roles = connection.execute(select(user_roles.c.role).where(user_roles.c.user_id == row.id)).scalars()
            return StoredAccount(account_of(row, set(roles)), Secret(row.password_hash))

        return await self._database.read(work)

    async def is_empty(self) -> bool:
        """Whether no account was ever made."""
        return await self._database.read(
            lambda connection: connection.execute(select(users.c.id).limit(1)).first() is None
        )

    async def create_first(self, stored: StoredAccount) -> bool:
        """Make this account if none exists at all; whether it was this call that made it."""

        def work(connection: Connection) -> bool:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            row = row_of(stored)
            # "None exists" and the name's uniqueness together: of two nodes at once, the later one waits for the
            # earlier one's row and then inserts nothing.
            wanted = select(*(literal(value).label(name) for name, value in row.items()))
            nobody = wanted.where(~select(users.c.id).exists())
            made = dialect.insert(users).from_select(list(row), nobody).on_conflict_do_nothing()
            if rows_changed(connection, made) != 1:
                return False
            give_roles(connection, stored.account.id, stored.account.roles)
            _record_creation(connection, stored.account)
            return True

        return await self._database.write(work)

    async def create(self, stored: StoredAccount) -> None:
        """Make an account. Raises :class:`NameTaken`."""

        def work(connection: Connection) -> None:
            try:
                connection.execute(insert(users).values(**row_of(stored)))
            except IntegrityError:
                raise NameTaken(f"an account named {stored.account.name!r} exists already") from None
            give_roles(connection, stored.account.id, stored.account.roles)
            _record_creation(connection, stored.account)

        await self._database.write(work)

    async def replace_hash(self, account_id: str, old: Secret, new: Secret) -> bool:
        """Store a better hash of the same password, unless the password was changed meanwhile."""
        unchanged = (users.c.id == account_id) & (users.c.password_hash == old.reveal())
        change = update(users).where(unchanged).values(password_hash=new.reveal())
        return await self._database.write(lambda connection: rows_changed(connection, change) == 1)

    async def set_password(self, name: str, new: Secret, changed_at: WallMs) -> bool:
        """Store the hash of a new password and end all sessions; false when no account has this name."""
        change = (
            update(users)
            .where((users.c.name == name) & users.c.deleted_at.is_(None))
            .values(password_hash=new.reveal(), password_changed_at=int(changed_at))
        )

        def work(connection: Connection) -> bool:
            user_id = connection.execute(change.returning(users.c.id)).scalar_one_or_none()
            if user_id is None:
                return False
            record(connection, "user.password", Entity("user", user_id, name), details={"by_owner": False})
            raise_user(connection, user_id, ends_sessions=True)
            return True

        return await self._database.write(work)

    async def record_refusal(self, account: Account | None, why: str) -> None:
        """Record that a log-in was refused; ``None``: no account has the name, which may be a password."""
        target = Entity("user") if account is None else Entity("user", account.id, account.name)
        refused = partial(record, action="login.fail", target=target, outcome=Outcome.FAILURE, reason=why)
        await self._database.write(refused)

    async def all(self) -> tuple[Account, ...]:
        """Every account, by name."""

        def work(connection: Connection) -> tuple[Account, ...]:
            roles: dict[str, set[str]] = {}
            for user_id, role in connection.execute(select(user_roles.c.user_id, user_roles.c.role)):
                roles.setdefault(user_id, set()).add(role)
            rows = connection.execute(select(users).order_by(users.c.name))
            return tuple(account_of(row, roles.get(row.id, set())) for row in rows)

        return await self._database.read(work)


def _record_creation(connection: Connection, account: Account) -> None:
    roles = sorted(role.value for role in account.roles)
    record(connection, "user.create", Entity("user", account.id, account.name), details={"roles": roles})


def row_of(stored: StoredAccount) -> dict[str, object]:
    """The columns of a new account."""
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


def give_roles(connection: Connection, account_id: str, roles: frozenset[AccountRole]) -> None:
    """Write the roles of an account that has none."""
    rows = [{"user_id": account_id, "role": role.value} for role in sorted(roles)]
    if rows:
        connection.execute(insert(user_roles), rows)


def account_of(row: Row[object], roles: set[str]) -> Account:
    """What a row of ``users`` says."""
    return Account(
        id=row.id,
        name=row.name,
        display_name=row.display_name,
        # A role that this release does not know grants nothing here.
        roles=frozenset(AccountRole(role) for role in roles & _ROLES),
        disabled=row.disabled or row.deleted_at is not None,
        created_at=WallMs(row.created_at),
        password_changed_at=WallMs(row.password_changed_at),
        auth_epoch=row.auth_epoch,
        revision=row.revision,
        has_mfa=row.totp_secret is not None,
        deleted_at=None if row.deleted_at is None else WallMs(row.deleted_at),
    )
