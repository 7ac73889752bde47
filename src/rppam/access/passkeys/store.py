"""Passkeys and their questions in SQL. Every call raises a ``DatabaseError`` when the database does not answer."""

import uuid
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, delete, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from rppam.access.accounts.model import Account
from rppam.access.accounts.store import locked_row, present_row, raise_user
from rppam.access.accounts.tables import users
from rppam.access.passkeys.errors import PasskeyOver, PasskeyRefused, PasskeyTaken, PasskeyUnknown
from rppam.access.passkeys.tables import webauthn_challenges, webauthn_credentials
from rppam.db.engine import NowMs, rows_changed
from rppam.db.store import SqlStore, reads, writes
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity, Word
from rppam.ledger.record import record

_P: Final = webauthn_credentials.c
_Q: Final = webauthn_challenges.c
LIFE_MS: Final = 120_000


class Site(NamedTuple):
    """Where a browser asks from."""

    origin: str
    rp_id: str


class Question(NamedTuple):
    """What an authenticator has to sign."""

    id: str
    user_id: str
    challenge: bytes
    site: Site


class Passkey(NamedTuple):
    """A passkey as it is kept."""

    id: str
    user_id: str
    name: str
    rp_id: str
    public_key: bytes
    sign_count: int
    created_at: WallMs
    used_at: WallMs | None


class SqlPasskeys(SqlStore):
    """See the module."""

    @writes
    def ask(self, connection: Connection, user_id: str, purpose: str, challenge: bytes, site: Site) -> Question:
        """Keep a question for two minutes; those that are over are forgotten."""
        connection.execute(delete(webauthn_challenges).where(_Q.expires_at <= NowMs()))
        ident = str(uuid.uuid4())
        row = {"id": ident, "user_id": user_id, "purpose": purpose, "challenge": challenge, **site._asdict()}
        connection.execute(insert(webauthn_challenges).values(**row, expires_at=NowMs() + LIFE_MS))
        return Question(ident, user_id, challenge, site)

    @writes
    def take(self, connection: Connection, ident: str, user_id: str, purpose: str) -> Question:
        """A question that is answered now, and never again. Raises :class:`PasskeyOver`."""
        mine = (_Q.id == ident) & (_Q.user_id == user_id) & (_Q.purpose == purpose) & (_Q.expires_at > NowMs())
        taken = delete(webauthn_challenges).where(mine).returning(webauthn_challenges)
        row = connection.execute(taken).one_or_none()
        if row is None:
            raise PasskeyOver("no such question waits for an answer of this account")
        return Question(row.id, row.user_id, bytes(row.challenge), Site(row.origin, row.rp_id))

    @reads
    def of_user(self, connection: Connection, user_id: str) -> list[Passkey]:
        """Those of an account, the oldest first."""
        wanted = select(webauthn_credentials).where(_P.user_id == user_id).order_by(_P.created_at, _P.id)
        return [_passkey(row) for row in connection.execute(wanted)]

    @reads
    def find(self, connection: Connection, ident: str) -> Passkey | None:
        """One of them."""
        row = connection.execute(select(webauthn_credentials).where(_P.id == ident)).one_or_none()
        return None if row is None else _passkey(row)

    @writes
    def add(self, connection: Connection, passkey: Passkey) -> Passkey:
        """Raises :class:`PasskeyTaken`, ``UserUnknown``."""
        user = present_row(connection, passkey.user_id)
        row = passkey._asdict() | {"created_at": NowMs(), "used_at": None}
        try:
            with connection.begin_nested():
                connection.execute(insert(webauthn_credentials).values(**row))
        except IntegrityError:
            raise PasskeyTaken("this passkey was added before") from None
        facts = {"name": Word(passkey.name), "site": passkey.rp_id}
        record(connection, "passkey.add", Entity("user", user.id, user.name), details=facts)
        return _passkey(connection.execute(select(webauthn_credentials).where(_P.id == passkey.id)).one())

    @writes
    def used(self, connection: Connection, passkey: Passkey, sign_count: int) -> None:
        """It was used at this count. Raises :class:`PasskeyRefused` where somebody else used it meanwhile."""
        mine = (_P.id == passkey.id) & (_P.sign_count == passkey.sign_count)
        change = update(webauthn_credentials).where(mine).values(sign_count=sign_count, used_at=NowMs())
        if rows_changed(connection, change) != 1:
            raise PasskeyRefused("it was used at the same moment elsewhere, or taken away")

    @writes
    def remove(self, connection: Connection, user_id: str, ident: str) -> None:
        """Raises :class:`PasskeyUnknown`."""
        mine = (_P.id == ident) & (_P.user_id == user_id)
        row = connection.execute(delete(webauthn_credentials).where(mine).returning(_P.name)).one_or_none()
        if row is None:
            raise PasskeyUnknown("the account has no such passkey")
        user = present_row(connection, user_id)
        record(connection, "passkey.remove", Entity("user", user_id, user.name), details={"name": Word(row.name)})

    @writes
    def reset(self, connection: Connection, user_id: str) -> Account:
        """Take all of an account away, end its sessions, and forget what it was asked. Raises ``UserUnknown``."""
        user = locked_row(connection, user_id)
        gone = delete(webauthn_credentials).where(_P.user_id == user_id).returning(_P.name)
        names = [Word(name) for name in sorted(connection.execute(gone).scalars())]
        connection.execute(delete(webauthn_challenges).where(_Q.user_id == user_id))
        record(connection, "passkey.reset", Entity("user", user_id, user.name), details={"names": names})
        return raise_user(connection, user_id, ends_sessions=True)


def has_factor(connection: Connection, user_id: str) -> bool:
    """Whether an account has a second factor of any kind, an authenticator or a passkey: part of a transaction."""
    authenticator = exists().where(users.c.id == user_id, users.c.totp_secret.is_not(None))
    passkey = exists().where(_P.user_id == user_id)
    return bool(connection.execute(select(or_(authenticator, passkey))).scalar_one())


def _passkey(row: Row[Any]) -> Passkey:
    return Passkey(
        row.id,
        row.user_id,
        row.name,
        row.rp_id,
        bytes(row.public_key),
        row.sign_count,
        WallMs(row.created_at),
        None if row.used_at is None else WallMs(row.used_at),
    )
