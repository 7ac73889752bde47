"""The public keys that users log in to the gateway with, in SQL. A change is recorded in its transaction."""

import uuid
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, delete, func, select

from rppam.access.accounts.model import Account
from rppam.access.accounts.store import locked_row, raise_user
from rppam.db.engine import insert_into, now_ms
from rppam.db.store import SqlStore, reads, writes
from rppam.gateway.errors import UserKeyInvalid, UserKeyUnknown
from rppam.gateway.tables import user_ssh_keys
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity
from rppam.ledger.record import record

_K: Final = user_ssh_keys.c
KEYS_MAX: Final = 32
COMMENT_CHARS: Final = 100


class UserKey(NamedTuple):
    """A public key of a user."""

    id: str
    user_id: str
    type: str
    key: str
    """Base64."""
    fingerprint: str
    comment: str
    added_at: WallMs


class SqlUserKeys(SqlStore):
    """See the module."""

    @reads
    def of(self, connection: Connection, user_id: str) -> list[UserKey]:
        """Those of a user, the oldest first."""
        wanted = select(user_ssh_keys).where(_K.user_id == user_id).order_by(_K.added_at, _K.id)
        return [_key(row) for row in connection.execute(wanted)]

    @reads
    def knows(self, connection: Connection, user_id: str, type_: str, key: str) -> bool:
        """Whether it is one of the user's."""
        mine = (_K.user_id == user_id) & (_K.type == type_) & (_K.key == key)
        return connection.execute(select(_K.id).where(mine)).first() is not None

    @writes
    def add(self, connection: Connection, new: UserKey, name: str) -> UserKey:
        """Add a key of the user ``name``. Raises :class:`UserKeyInvalid`."""
        mine = _K.user_id == new.user_id
        if connection.execute(select(func.count()).select_from(user_ssh_keys).where(mine)).scalar_one() >= KEYS_MAX:
            raise UserKeyInvalid(f"the account has {KEYS_MAX} keys already")
        new = new._replace(id=str(uuid.uuid4()), added_at=WallMs(now_ms(connection)))
        made = connection.execute(
            insert_into(connection, user_ssh_keys).values(**new._asdict()).on_conflict_do_nothing()
        )
        if not made.rowcount:
            raise UserKeyInvalid(f"the account has the key {new.fingerprint} already")
        facts = {"fingerprint": new.fingerprint, "type": new.type}
        record(connection, "userkey.add", Entity("user", new.user_id, name), details=facts)
        return new

    @writes
    def remove(self, connection: Connection, user_id: str, ident: str, name: str) -> None:
        """Take a key away. Raises :class:`UserKeyUnknown`."""
        gone = connection.execute(
            delete(user_ssh_keys).where((_K.user_id == user_id) & (_K.id == ident)).returning(_K.fingerprint)
        ).one_or_none()
        if gone is None:
            raise UserKeyUnknown("the account has no key of this id")
        record(connection, "userkey.remove", Entity("user", user_id, name), details={"fingerprint": gone.fingerprint})

    @writes
    def reset(self, connection: Connection, user_id: str) -> Account:
        """Take all of an account away, and end its log-ins. Raises ``UserUnknown``."""
        user = locked_row(connection, user_id)
        gone = delete(user_ssh_keys).where(_K.user_id == user_id).returning(_K.fingerprint)
        facts = {"fingerprints": sorted(connection.execute(gone).scalars())}
        record(connection, "userkey.reset", Entity("user", user_id, user.name), details=facts)
        return raise_user(connection, user_id, ends_sessions=True)


def _key(row: Row[Any]) -> UserKey:
    return UserKey(row.id, row.user_id, row.type, row.key, row.fingerprint, row.comment, WallMs(row.added_at))
