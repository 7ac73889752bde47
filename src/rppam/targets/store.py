"""Resources and privileged accounts in SQL. Values given here are checked already.

Every call raises a ``DatabaseError`` when the database does not answer. A change of one is one transaction with its
record; ``expected`` names the revisions that it may replace, ``if_match`` those that its author has seen, ``None`` any.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from rppam.db.engine import NowMs
from rppam.db.paging import Keys, Where, found_page, has_text, page_of
from rppam.db.store import SqlStore, reads, writes
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity
from rppam.ledger.precondition import check_if_match
from rppam.ledger.record import record
from rppam.targets.errors import (
    HostKeyConflict,
    HostKeyUnknown,
    ResourceNameTaken,
    ResourceUnknown,
    TargetAccountUnknown,
    TargetChanged,
    TargetInUse,
)
from rppam.targets.model import (
    HostKey,
    HostKeyPolicy,
    Page,
    ReadKey,
    Resource,
    ResourceKind,
    Search,
    TargetAccount,
)
from rppam.targets.tables import account_tags, resource_host_keys, resource_tags, resources, target_accounts

_R: Final = resources.c
_A: Final = target_accounts.c
_K: Final = resource_host_keys.c
_MAKE_RESOURCES: Final = ("resource.create", "resource.change")
_MAKE_ACCOUNTS: Final = ("account.create", "account.change")
_IDS_MAX: Final = 500
"""Ids in one question."""


class SqlResources(SqlStore):
    """Resources, and the keys by which they are known."""

    @reads
    def get(self, connection: Connection, ident: str) -> Resource:
        """Raises :class:`ResourceUnknown`."""
        return resource_in(connection, ident)

    @reads
    def named(self, connection: Connection, name: str) -> Resource:
        """The resource of this name or id. Raises :class:`ResourceUnknown`."""
        return resource_named(connection, name)

    @reads
    def page(self, connection: Connection, search: Search) -> Page:
        """By name."""
        wanted = _matching(connection, search, resource_tags, _R.id, _R.name_key, (_R.address, _R.description))
        if search.kind is not None:
            wanted.append(_R.kind == search.kind.value)
        ids, total = _page(connection, _R.id, (_R.name_key,), wanted, search)
        found = {row.id: row for row in connection.execute(select(resources).where(_R.id.in_(ids)))}
        return Page(_resources(connection, [found[ident] for ident in ids if ident in found]), total)

    @writes
    def create(self, connection: Connection, resource: Resource) -> Resource:
        """Raises :class:`ResourceNameTaken`."""
        return create_resource(connection, resource)

    @writes
    def change(
        self,
        connection: Connection,
        resource: Resource,
        expected: Collection[int] | None = None,
        if_match: Collection[int] | None = None,
    ) -> Resource:
        """Make the resource of this id as given. Raises :class:`ResourceUnknown`, :class:`ResourceNameTaken`,
        :class:`TargetChanged`, :class:`~rppam.http.errors.PreconditionFailedError`."""
        return change_resource(connection, resource, expected, if_match)

    @writes
    def remove(self, connection: Connection, ident: str, if_match: Collection[int] | None = None) -> None:
        """Raises :class:`ResourceUnknown`, :class:`~rppam.http.errors.PreconditionFailedError`,
        :class:`TargetInUse`."""
        resource = resource_in(connection, ident, lock=True)
        check_if_match(connection, if_match, resource.revision, _entity(resource), _MAKE_RESOURCES)
        _delete(connection, resources, ident, f"the resource {resource.name}")
        record(connection, "resource.delete", _entity(resource))

    # ---- host keys --------------------------------------------------------------------------------------------------

    @reads
    def host_keys(self, connection: Connection, ident: str) -> tuple[HostKey, ...]:
        """Those that are pinned, the oldest first. Raises :class:`ResourceUnknown`."""
        resource_in(connection, ident)
        rows = connection.execute(select(resource_host_keys).where(_K.resource_id == ident).order_by(_K.pinned_at))
        return tuple(map(_host_key, rows))

    @reads
    def all_host_keys(self, connection: Connection, page: int, page_size: int) -> Page:
        """Those that are pinned of all resources, by the resource's id."""
        total = connection.execute(select(func.count()).select_from(resource_host_keys)).scalar_one()
        wanted = select(resource_host_keys).order_by(_K.resource_id, _K.fingerprint)
        rows = connection.execute(_paged(wanted, Search(page, page_size)))
        return Page(tuple(map(_host_key, rows)), total)

    @writes
    def pin(self, connection: Connection, ident: str, key: ReadKey, *, first: bool = False) -> HostKey:
        """Believe a key. ``first``: only where none of its type is pinned yet; who was first then.

        Raises :class:`ResourceUnknown`, :class:`HostKeyConflict`.
        """
        resource = resource_in(connection, ident, lock=True)
        known = (_K.resource_id == ident) & (_K.type == key.type)
        there = [_host_key(row) for row in connection.execute(select(resource_host_keys).where(known))]
        if first and there:
            return there[0]
        if any(one.fingerprint == key.fingerprint for one in there):
            raise HostKeyConflict(f"{resource.name} is known by {key.fingerprint} already")
        new = {"id": str(uuid.uuid4()), "resource_id": ident, **key._asdict(), "pinned_at": NowMs()}
        row = connection.execute(insert(resource_host_keys).values(**new).returning(resource_host_keys)).one()
        facts = {"type": key.type, "fingerprint": key.fingerprint, "first_contact": first}
        record(connection, "resource.pin", _entity(resource), details=facts)
        return _host_key(row)

    @writes
    def unpin(self, connection: Connection, ident: str, key_id: str) -> None:
        """Raises :class:`ResourceUnknown`, :class:`HostKeyUnknown`."""
        resource = resource_in(connection, ident, lock=True)
        which = (_K.id == key_id) & (_K.resource_id == ident)
        row = connection.execute(delete(resource_host_keys).where(which).returning(resource_host_keys)).one_or_none()
        if row is None:
            raise HostKeyUnknown(f"{resource.name} has no such key")
        facts = {"type": row.type, "fingerprint": row.fingerprint}
        record(connection, "resource.unpin", _entity(resource), details=facts)


class SqlTargetAccounts(SqlStore):
    """Privileged accounts on resources."""

    @reads
    def get(self, connection: Connection, ident: str) -> TargetAccount:
        """Raises :class:`TargetAccountUnknown`."""
        return account_in(connection, ident)

    @reads
    def named(self, connection: Connection, resource_id: str, name: str) -> TargetAccount:
        """Raises :class:`TargetAccountUnknown`."""
        return account_named(connection, resource_id, name)

    @reads
    def page(self, connection: Connection, search: Search) -> Page:
        """By name, then by resource."""
        wanted = _matching(connection, search, account_tags, _A.id, _A.resource_key, (_A.name, _A.description))
        if search.resource_id is not None:
            wanted.append(_A.resource_id == search.resource_id)
        ids, total = _page(connection, _A.id, (_A.name, _A.resource_key), wanted, search)
        found = {row.id: row for row in connection.execute(_accounts_wanted().where(_A.id.in_(ids)))}
        return Page(_accounts(connection, [found[ident] for ident in ids if ident in found]), total)

    @writes
    def create(self, connection: Connection, account: TargetAccount) -> TargetAccount:
        """Raises :class:`ResourceUnknown`, :class:`ResourceNameTaken`."""
        return create_account(connection, account)

    @writes
    def change(
        self,
        connection: Connection,
        account: TargetAccount,
        expected: Collection[int] | None = None,
        if_match: Collection[int] | None = None,
    ) -> TargetAccount:
        """Make the account of this id as given, on the resource that it is on. Raises :class:`TargetAccountUnknown`,
        :class:`ResourceNameTaken`, :class:`TargetChanged`, :class:`~rppam.http.errors.PreconditionFailedError`."""
        return change_account(connection, account, expected, if_match)

    @writes
    def remove(self, connection: Connection, ident: str, if_match: Collection[int] | None = None) -> None:
        """Raises :class:`TargetAccountUnknown`, :class:`~rppam.http.errors.PreconditionFailedError`,
        :class:`TargetInUse`."""
        account = account_in(connection, ident, lock=True)
        check_if_match(connection, if_match, account.revision, _account_entity(account), _MAKE_ACCOUNTS)
        _delete(connection, target_accounts, ident, f"the account {account.name} on {account.resource_name}")
        record(connection, "account.delete", _account_entity(account))


# ---- parts of transactions, also of imports and other slices ---------------------------------------------------------


def resource_in(connection: Connection, ident: str, *, lock: bool = False) -> Resource:
    """Raises :class:`ResourceUnknown`."""
    wanted = select(resources).where(_R.id == ident)
    rows = connection.execute(wanted.with_for_update() if lock else wanted).all()
    if not rows:
        raise ResourceUnknown("no resource has this id")
    return _resources(connection, rows)[0]


def resource_named(connection: Connection, name: str) -> Resource:
    """The resource of this name or id. Raises :class:`ResourceUnknown`."""
    rows = connection.execute(select(resources).where(or_(_R.name_key == name.lower(), _R.id == name))).all()
    if not rows:
        raise ResourceUnknown("no resource has this name or id")
    return _resources(connection, rows)[0]


def create_resource(connection: Connection, resource: Resource) -> Resource:
    """Raises :class:`ResourceNameTaken`."""
    columns = _columns(resource) | {"id": resource.id, "revision": 1, "created_at": NowMs()}
    try:
        with connection.begin_nested():
            connection.execute(insert(resources).values(**columns))
    except IntegrityError:
        raise _taken(resource) from None
    _put_tags(connection, resource_tags, resource.id, resource.tags)
    record(connection, "resource.create", _entity(resource), details=_facts(resource))
    return resource_in(connection, resource.id)


def change_resource(
    connection: Connection,
    resource: Resource,
    expected: Collection[int] | None,
    if_match: Collection[int] | None = None,
) -> Resource:
    """See :meth:`SqlResources.change`."""
    before = resource_in(connection, resource.id, lock=True)
    check_if_match(connection, if_match, before.revision, _entity(before), _MAKE_RESOURCES)
    _check_revision(before.revision, expected)
    facts = _difference(_facts(before) | {"name": before.name}, _facts(resource) | {"name": resource.name})
    if not facts:
        return before
    raised = _columns(resource) | {"revision": before.revision + 1}
    try:
        with connection.begin_nested():
            connection.execute(update(resources).where(_R.id == resource.id).values(**raised))
    except IntegrityError:
        raise _taken(resource) from None
    if before.tags != resource.tags:
        _put_tags(connection, resource_tags, resource.id, resource.tags)
    record(connection, "resource.change", _entity(before), details=facts)
    return resource_in(connection, resource.id)


def account_in(connection: Connection, ident: str, *, lock: bool = False) -> TargetAccount:
    """Raises :class:`TargetAccountUnknown`."""
    if lock:
        connection.execute(select(_A.id).where(_A.id == ident).with_for_update())
    rows = connection.execute(_accounts_wanted().where(_A.id == ident)).all()
    if not rows:
        raise TargetAccountUnknown("no privileged account has this id")
    return _accounts(connection, rows)[0]


def account_named(connection: Connection, resource_id: str, name: str) -> TargetAccount:
    """Raises :class:`TargetAccountUnknown`."""
    which = (_A.resource_id == resource_id) & (_A.name == name)
    rows = connection.execute(_accounts_wanted().where(which)).all()
    if not rows:
        raise TargetAccountUnknown("this resource has no account of this name")
    return _accounts(connection, rows)[0]


def create_account(connection: Connection, account: TargetAccount) -> TargetAccount:
    """Raises :class:`ResourceUnknown`, :class:`ResourceNameTaken`."""
    resource = resource_in(connection, account.resource_id)
    columns = {"id": account.id, "resource_id": resource.id, "revision": 1, "created_at": NowMs()}
    try:
        with connection.begin_nested():
            connection.execute(insert(target_accounts).values(**columns, **_account_columns(account)))
    except IntegrityError:
        raise _account_taken(account, resource.name) from None
    _put_tags(connection, account_tags, account.id, account.tags)
    made = account_in(connection, account.id)
    record(connection, "account.create", _account_entity(made), details=_account_facts(made))
    return made


def change_account(
    connection: Connection,
    account: TargetAccount,
    expected: Collection[int] | None,
    if_match: Collection[int] | None = None,
) -> TargetAccount:
    """See :meth:`SqlTargetAccounts.change`."""
    before = account_in(connection, account.id, lock=True)
    check_if_match(connection, if_match, before.revision, _account_entity(before), _MAKE_ACCOUNTS)
    _check_revision(before.revision, expected)
    facts = _difference(
        _account_facts(before) | {"name": before.name}, _account_facts(account) | {"name": account.name}
    )
    if not facts:
        return before
    raised = _account_columns(account) | {"revision": before.revision + 1}
    try:
        with connection.begin_nested():
            connection.execute(update(target_accounts).where(_A.id == account.id).values(**raised))
    except IntegrityError:
        raise _account_taken(account, before.resource_name) from None
    if before.tags != account.tags:
        _put_tags(connection, account_tags, account.id, account.tags)
    record(connection, "account.change", _account_entity(before), details=facts)
    return account_in(connection, account.id)


# ---- rows and values -------------------------------------------------------------------------------------------------


def _matching(
    connection: Connection,
    search: Search,
    tags: Table,
    ident: ColumnElement[str],
    key: ColumnElement[str],
    texts: Sequence[ColumnElement[str]],
) -> list[ColumnElement[bool]]:
    """``key`` is in lower case."""
    wanted: list[ColumnElement[bool]] = []
    if search.text:
        others = (has_text(connection, text, search.text) for text in texts)
        wanted.append(or_(has_text(connection, key, search.text, is_lower=True), *others))
    owner = next(column for column in tags.c if column.name != "tag")
    return wanted + [ident.in_(select(owner).where(tags.c.tag == tag)) for tag in search.tags]


def _page(
    connection: Connection, ident: ColumnElement[str], keys: Keys, wanted: Where, search: Search
) -> tuple[list[str], int]:
    find = found_page if search.text else page_of
    return find(connection, ident, keys, wanted, (search.page - 1) * search.page_size, search.page_size)


def _paged(wanted: Select[Any], search: Search) -> Select[Any]:
    return wanted.limit(search.page_size).offset((search.page - 1) * search.page_size)


def _check_revision(stands: int, expected: Collection[int] | None) -> None:
    if expected is not None and stands not in expected:
        raise TargetChanged(f"it stands at revision {stands} now")


def _delete(connection: Connection, table: Table, ident: str, what: str) -> None:
    try:
        with connection.begin_nested():
            connection.execute(delete(table).where(table.c.id == ident))
    except IntegrityError:
        raise TargetInUse(f"something still belongs to {what}") from None


def _put_tags(connection: Connection, table: Table, ident: str, tags: Iterable[str]) -> None:
    owner = next(column for column in table.c if column.name != "tag")
    connection.execute(delete(table).where(owner == ident))
    rows = [{owner.name: ident, "tag": tag} for tag in tags]
    if rows:
        connection.execute(insert(table), rows)


def _tags_of(connection: Connection, table: Table, idents: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    owner = next(column for column in table.c if column.name != "tag")
    found: dict[str, list[str]] = {}
    for start in range(0, len(idents), _IDS_MAX):
        some = idents[start : start + _IDS_MAX]
        wanted = select(owner.label("owner"), table.c.tag).where(owner.in_(some)).order_by(table.c.tag)
        for row in connection.execute(wanted):
            found.setdefault(row.owner, []).append(row.tag)
    return {ident: tuple(tags) for ident, tags in found.items()}


def _resources(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[Resource, ...]:
    tags = _tags_of(connection, resource_tags, [row.id for row in rows])
    return tuple(
        Resource(
            id=row.id,
            name=row.name,
            kind=ResourceKind(row.kind) if row.kind in set(ResourceKind) else ResourceKind.OTHER,
            address=row.address,
            port=row.port,
            description=row.description,
            tags=tags.get(row.id, ()),
            host_key_policy=HostKeyPolicy(row.host_key_policy),
            legacy_algorithms=row.legacy_algorithms,
            revision=row.revision,
            created_at=WallMs(row.created_at),
        )
        for row in rows
    )


def _accounts_wanted() -> Select[Any]:
    joined = target_accounts.join(resources, _A.resource_id == _R.id)
    return select(target_accounts, _R.name.label("resource_name")).select_from(joined)


def _accounts(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[TargetAccount, ...]:
    tags = _tags_of(connection, account_tags, [row.id for row in rows])
    return tuple(
        TargetAccount(
            id=row.id,
            resource_id=row.resource_id,
            resource_name=row.resource_name,
            name=row.name,
            description=row.description,
            tags=tags.get(row.id, ()),
            revision=row.revision,
            created_at=WallMs(row.created_at),
        )
        for row in rows
    )


def _host_key(row: Row[Any]) -> HostKey:
    return HostKey(row.id, row.resource_id, row.type, row.key, row.fingerprint, WallMs(row.pinned_at))


def _columns(resource: Resource) -> dict[str, Any]:
    return {
        "name": resource.name,
        "name_key": resource.name.lower(),
        "kind": resource.kind.value,
        "address": resource.address,
        "port": resource.port,
        "description": resource.description,
        "host_key_policy": resource.host_key_policy.value,
        "legacy_algorithms": resource.legacy_algorithms,
    }


def _account_columns(account: TargetAccount) -> dict[str, Any]:
    return {"name": account.name, "description": account.description}


def _facts(resource: Resource) -> dict[str, Any]:
    columns = _columns(resource)
    del columns["name"], columns["name_key"]
    return columns | {"tags": list(resource.tags)}


def _account_facts(account: TargetAccount) -> dict[str, Any]:
    return {"resource": account.resource_id, "description": account.description, "tags": list(account.tags)}


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What is different afterwards."""
    return {name: value for name, value in after.items() if before[name] != value}


def _entity(resource: Resource) -> Entity:
    return Entity("resource", resource.id, resource.name)


def _account_entity(account: TargetAccount) -> Entity:
    return Entity("account", account.id, f"{account.name}@{account.resource_name}")


def _taken(resource: Resource) -> ResourceNameTaken:
    return ResourceNameTaken(f"a resource named {resource.name!r} exists already")


def _account_taken(account: TargetAccount, resource: str) -> ResourceNameTaken:
    return ResourceNameTaken(f"{resource} has an account named {account.name!r} already")
