"""How the vault seals: master key > key encryption key (KEK) > data key of a version (DEK) > field.

Each layer is AES-256-GCM and bound to its place: a KEK to tenant, id and version; a DEK to tenant, entry and its id; a
field to tenant, entry, version and its name. What was copied to another row does not open there. Wrapped keys are read
in the transaction that uses them, so whatever is half rotated is readable at every moment.

Decides nothing about who may. What it does not promise: to hide how long a secret is.
"""

import secrets
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from rppam.crypto.sealed import KEY_BYTES, SealRefused, framed, seal, unseal
from rppam.db.engine import NowMs, rows_changed
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.vault.errors import MasterKeyDiffers, SecretBroken, VaultKeyError, VaultKeyGone
from rppam.vault.keys import Master, MasterKeys
from rppam.vault.tables import vault_deks, vault_keks

TENANT: Final = "default"
BATCH: Final = 500
_K: Final = vault_keks.c
_D: Final = vault_deks.c


# Asked at each act with the vault, so they are put together once.
_NEWEST: Final = select(vault_keks).where(_K.tenant == TENANT).order_by(_K.version.desc()).limit(1)
_DEK: Final = (
    select(_D.wrapped.label("dek"), _D.kek_id, vault_keks)
    .select_from(vault_deks.outerjoin(vault_keks, _D.kek_id == _K.id))
    .where(_D.id == bindparam("dek_id"))
)


class Keyring:
    """See the module. Every call is a part of a transaction; those that seal need one that writes.

    All raise a :class:`~rppam.vault.errors.VaultKeyError` for what is wrong with a key.
    """

    def __init__(self, masters: MasterKeys) -> None:
        self._masters = masters
        self._keks: dict[tuple[str, str], bytes] = {}
        """KEKs that were unwrapped, by id and by the fingerprint of what wraps them."""

    @property
    def fingerprint(self) -> str:
        """Of this node's master key."""
        return self._masters().own.fingerprint

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of all master keys that this node has, its own first."""
        masters = self._masters()
        return tuple(one.fingerprint for one in (masters.own, *masters.coming, *masters.gone))

    @property
    def lacking(self) -> str:
        """Why this node has nothing of the master key's next source; empty where it has, or where none comes."""
        return self._masters().lacking

    def needed(self, connection: Connection) -> str:
        """The fingerprint of the master key that the key which seals now is wrapped with; empty where there is none."""
        return needed_in(connection)

    def new_dek(self, connection: Connection, entry_id: str) -> tuple[str, bytes]:
        """A data key for one version of an entry: its id and the key."""
        kek, key = self._active(connection)
        ident, dek = str(uuid.uuid4()), secrets.token_bytes(KEY_BYTES)
        wrapped = seal(key, dek, _dek_place(entry_id, ident))
        connection.execute(
            insert(vault_deks).values(id=ident, entry_id=entry_id, kek_id=kek, wrapped=wrapped, created_at=NowMs())
        )
        return ident, dek

    def open_dek(self, connection: Connection, entry_id: str, ident: str) -> bytes:
        """The data key of this id."""
        row = connection.execute(_DEK, {"dek_id": ident}).one_or_none()
        if row is None:
            raise VaultKeyGone("the data key of this entry is gone")
        if row.id is None:
            raise VaultKeyGone(f"the key {row.kek_id} that this entry's data key is wrapped with is gone")
        try:
            return unseal(self._unwrapped(row), row.dek, _dek_place(entry_id, ident))
        except SealRefused:
            raise SecretBroken("the data key of this entry does not open at its place") from None

    # ---- key encryption keys ----------------------------------------------------------------------------------------

    def check(self, connection: Connection) -> None:
        """Raise unless this node can open the key that seals now; nothing where there is none yet."""
        row = connection.execute(_NEWEST).one_or_none()
        if row is None:
            self._masters()
        else:
            self._unwrapped(row)

    def rotate(self, connection: Connection) -> int:
        """Make a new KEK that seals from now on; its version. Data keys are wrapped anew batch by batch."""
        before = connection.execute(_NEWEST.with_for_update()).one_or_none()
        if before is not None:
            self._unwrapped(before)  # only a node that can open what is there
        version = 1 if before is None else int(before.version) + 1
        # While the master key changes, nodes that have not got the new one go on: the leader wraps all keys at once.
        master = None if before is None else self._masters().find(before.master)
        with suppress(IntegrityError), connection.begin_nested():  # somebody else rotates at this moment
            self._make(connection, version, master)
        return version

    def rewrap(self, connection: Connection, after: str, count: int = BATCH) -> str:
        """Wrap up to ``count`` data keys anew that are wrapped with an older KEK, those behind the id ``after``; the
        last one's id, empty at the end. May be broken off and repeated at any moment."""
        newest = connection.execute(_NEWEST).one_or_none()
        if newest is None:
            return ""
        stale = (
            select(_D.id, _D.entry_id, _D.wrapped.label("dek"), _D.kek_id.label("old_kek"))
            .where(_D.kek_id != newest.id, _D.id > after)
            .order_by(_D.id)
            .limit(count)
        )
        rows: Sequence[Any] = connection.execute(stale).all()
        for row in rows:
            self._rewrap_one(connection, row, newest)
        return str(rows[-1].id) if rows else ""

    def retire(self, connection: Connection) -> None:
        """Forget the KEKs that wrap nothing any more."""
        newest = connection.execute(_NEWEST).one_or_none()
        if newest is None:
            return
        older = (_K.tenant == TENANT) & (_K.version < newest.version) & (_K.state != "retired")
        # Locked first: a transaction that seals with one holds it until its data key is to be seen here.
        there = connection.execute(select(_K.id, _K.version).where(older).with_for_update()).all()
        for kek in there:
            if connection.execute(select(_D.id).where(_D.kek_id == kek.id).limit(1)).first() is None:
                connection.execute(update(vault_keks).where(_K.id == kek.id).values(state="retired", wrapped=b""))
                record(connection, "vault.kek-retire", Entity("vault-key", str(kek.version)))

    def is_behind(self, connection: Connection) -> bool:
        """Whether something is wrapped with a key that goes."""
        newest = connection.execute(_NEWEST).one_or_none()
        if newest is None:
            return False
        going = [one.fingerprint for one in self._masters().gone]
        keks = select(_K.id).where(
            _K.state != "retired", or_(_K.version < newest.version, _K.master.in_(going)), _K.tenant == TENANT
        )
        deks = select(_D.id).where(_D.kek_id != newest.id)
        return any(connection.execute(one.limit(1)).first() is not None for one in (keks, deks))

    def rewrap_keks(self, connection: Connection) -> int:
        """Wrap KEKs with this node's master key that are wrapped with one that goes; how many."""
        masters = self._masters()
        going = [one.fingerprint for one in masters.gone]
        if not going:
            return 0
        wanted = select(vault_keks).where(_K.master.in_(going), _K.state != "retired")
        done = 0
        for row in connection.execute(wanted).all():
            wrapped = masters.own.wrap(self._unwrapped(row), _kek_place(row.id, row.version))
            mine = (_K.id == row.id) & (_K.master == row.master)
            change = update(vault_keks).where(mine).values(master=masters.own.fingerprint, wrapped=wrapped)
            done += rows_changed(connection, change)
        if done:
            facts = {"keks": done, "fingerprint": masters.own.fingerprint}
            record(connection, "vault.mek-change", Entity("vault-key", masters.own.fingerprint), details=facts)
        return done

    def _rewrap_one(self, connection: Connection, row: Any, newest: Row[Any]) -> None:
        old = connection.execute(select(vault_keks).where(_K.id == row.old_kek)).one_or_none()
        if old is None:
            return  # its entry says so when it is read
        try:
            dek = unseal(self._unwrapped(old), row.dek, _dek_place(row.entry_id, row.id))
        except (SealRefused, VaultKeyError):
            return
        wrapped = seal(self._unwrapped(newest), dek, _dek_place(row.entry_id, row.id))
        mine = (_D.id == row.id) & (_D.kek_id == row.old_kek)
        connection.execute(update(vault_deks).where(mine).values(kek_id=newest.id, wrapped=wrapped))

    def _active(self, connection: Connection) -> tuple[str, bytes]:
        held = _NEWEST.with_for_update(read=True)
        row = connection.execute(held).one_or_none()
        if row is None:
            with suppress(IntegrityError), connection.begin_nested():  # another node was faster; what it made is read
                self._make(connection, 1)
            row = connection.execute(held).one()
        return row.id, self._unwrapped(row)

    def _make(self, connection: Connection, version: int, master: Master | None = None) -> int:
        master = self._masters().own if master is None else master
        ident, key = str(uuid.uuid4()), secrets.token_bytes(KEY_BYTES)
        connection.execute(
            insert(vault_keks).values(
                id=ident,
                tenant=TENANT,
                version=version,
                master=master.fingerprint,
                wrapped=master.wrap(key, _kek_place(ident, version)),
                state="active",
                created_at=NowMs(),
            )
        )
        facts = {"fingerprint": master.fingerprint}
        record(connection, "vault.kek-create", Entity("vault-key", str(version)), details=facts)
        self._keks[ident, master.fingerprint] = key
        return version

    def _unwrapped(self, row: Row[Any]) -> bytes:
        """The KEK of a row of ``vault_keks``."""
        masters = self._masters()
        master = masters.find(row.master)
        if master is None:
            raise MasterKeyDiffers(
                f"the vault's key {row.version} is wrapped with the master key {row.master}, and this node has "
                f"{masters.own.fingerprint}"
            )
        known = self._keks.get((row.id, row.master))
        if known is not None:
            return known
        if row.state == "retired":
            raise VaultKeyGone(f"the vault's key {row.version} was retired")
        try:
            key = master.unwrap(row.wrapped, _kek_place(row.id, row.version))
        except SealRefused:
            raise SecretBroken(f"the vault's key {row.version} does not open: it was changed") from None
        self._keks[row.id, row.master] = key
        return key


def needed_in(connection: Connection) -> str:
    """See :meth:`Keyring.needed`."""
    row = connection.execute(_NEWEST).one_or_none()
    return "" if row is None else str(row.master)


class Standing:
    """How far the keys are, for people."""

    def __init__(self, connection: Connection) -> None:
        # Counted key by key, from the index alone: a join would carry each of a hundred thousand rows.
        deks = select(func.count()).select_from(vault_deks).where(_D.kek_id == _K.id).scalar_subquery().label("deks")
        wanted = select(_K.version, _K.master, _K.state, _K.created_at, deks).where(_K.tenant == TENANT)
        wanted = wanted.order_by(_K.version.desc())
        self.keks: Final = tuple(connection.execute(wanted).all())


def seal_field(dek: bytes, text: Secret, entry_id: str, version: int, field: str) -> bytes:
    """One field, sealed for its place."""
    return seal(dek, text.reveal().encode(), _field_place(entry_id, version, field))


def open_field(dek: bytes, sealed: bytes, entry_id: str, version: int, field: str) -> Secret:
    """What :func:`seal_field` was given. Raises :class:`SecretBroken`."""
    try:
        return Secret(unseal(dek, sealed, _field_place(entry_id, version, field)).decode())
    except (SealRefused, UnicodeDecodeError):
        raise SecretBroken(f"the field {field} of version {version} does not open at its place") from None


def _kek_place(ident: str, version: int) -> bytes:
    return framed(b"rppam vault kek 1", TENANT.encode(), ident.encode(), str(version).encode())


def _dek_place(entry_id: str, ident: str) -> bytes:
    return framed(b"rppam vault dek 1", TENANT.encode(), entry_id.encode(), ident.encode())


def _field_place(entry_id: str, version: int, field: str) -> bytes:
    words = (TENANT, entry_id, str(version), field)
    return framed(b"rppam vault secret 1", *(word.encode() for word in words))
