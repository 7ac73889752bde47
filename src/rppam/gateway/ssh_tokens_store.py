"""Tokens by which a user logs in at the gateway once, to one target, in SQL: of each its hash.

A token is redeemed by one ``UPDATE`` that only the first of several can make, and recorded in that transaction. What
raises the account's ``auth_epoch`` (another password, a reset) ends its tokens with its log-ins. What it does not look
at: who is locked or disabled.
"""

import hashlib
import secrets
import uuid
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, true, update

from rppam.access.accounts.model import Account
from rppam.db.engine import NowMs, now_ms
from rppam.db.store import SqlStore, reads, writes
from rppam.gateway.browser_logins_store import IS_BROWSER
from rppam.gateway.errors import TokenUnknown, TooManyTokens
from rppam.gateway.tables import ssh_tokens
from rppam.kernel.actor import Actor
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity
from rppam.ledger.record import record

_T: Final = ssh_tokens.c
PREFIX: Final = "rppam-once-"
"""What each begins with, so that it is known from a password, and by those who search for leaked secrets."""
RANDOM_BYTES: Final = 32
UNUSED_MAX: Final = 20
MINUTES_MAX: Final = 60
KEPT_MS: Final = 24 * 3_600_000
"""So long a row stays after its token has expired."""


class SshToken(NamedTuple):
    """A token that can still be used; what it is, nobody knows any more."""

    id: str
    target: str
    account: str
    """Empty: whatever account of the target its user may have."""
    made_at: WallMs
    expires_at: WallMs


class Redeemed(NamedTuple):
    """What a token stood for."""

    account: str
    """The account on the target that it was made for; empty for any."""
    mfa: bool
    """Who made it had shown a second factor."""


class SqlSshTokens(SqlStore):
    """See the module."""

    @writes
    def make(
        self, connection: Connection, user: Account, target: str, account: str, minutes: int, *, mfa: bool
    ) -> tuple[SshToken, Secret]:
        """A new one, and what to type, which is shown once. Raises :class:`TooManyTokens`."""
        now = now_ms(connection)
        connection.execute(delete(ssh_tokens).where(_T.expires_at < now - KEPT_MS))
        unused = select(func.count()).select_from(ssh_tokens).where(_usable(user))
        if connection.execute(unused).scalar_one() >= UNUSED_MAX:
            raise TooManyTokens(f"the account has {UNUSED_MAX} unused tokens")
        secret = Secret(PREFIX + secrets.token_urlsafe(RANDOM_BYTES))
        made = SshToken(str(uuid.uuid4()), target, account, WallMs(now), WallMs(now + minutes * 60_000))
        connection.execute(
            insert(ssh_tokens).values(
                **made._asdict(),
                hash=hash_of(secret),
                user_id=user.id,
                auth_epoch=user.auth_epoch,
                mfa=mfa,
                used_from="",
            )
        )
        facts = {"token": made.id, "target": target, "account": account, "minutes": minutes}
        record(connection, "sshtoken.make", Entity("user", user.id, user.name), details=facts)
        return made, secret

    @reads
    def of(self, connection: Connection, user: Account) -> list[SshToken]:
        """Those that the user can still use, the oldest first."""
        wanted = select(ssh_tokens).where(_usable(user)).order_by(_T.made_at, _T.id)
        return [_token(row) for row in connection.execute(wanted)]

    @writes
    def revoke(self, connection: Connection, user: Account, ident: str) -> None:
        """It counts no more. Raises :class:`TokenUnknown`."""
        gone = connection.execute(
            delete(ssh_tokens).where(_usable(user), _T.id == ident).returning(_T.target)
        ).one_or_none()
        if gone is None:
            raise TokenUnknown("there is no such token, or it was used, or it has expired")
        facts = {"token": ident, "target": gone.target}
        record(connection, "sshtoken.revoke", Entity("user", user.id, user.name), details=facts)

    @writes
    def redeem(
        self, connection: Connection, secret: Secret, user: Account, target: str, account: str, actor: Actor
    ) -> Redeemed | None:
        """What it stands for, and it is used up; ``None``: for this user and target there is no such token to use."""
        fits = or_(_T.account == "", _T.account == account) if account else true()
        found = connection.execute(
            update(ssh_tokens)
            .where(_usable(user), _T.hash == hash_of(secret), _T.target == target, fits)
            .values(used_at=NowMs(), used_from=actor.address[:64])
            .returning(_T.id, _T.account, _T.mfa)
        ).one_or_none()
        if found is None:
            return None
        facts = {"token": found.id, "target": target}
        record(connection, "sshtoken.use", Entity("user", user.id, user.name), actor=actor, details=facts)
        return Redeemed(found.account, found.mfa)


def hash_of(secret: Secret) -> str:
    """What stands in the table: of 256 random bits a plain hash tells nothing."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


def _usable(user: Account) -> ColumnElement[bool]:
    mine = (_T.user_id == user.id) & (_T.auth_epoch == user.auth_epoch) & ~IS_BROWSER
    return mine & _T.used_at.is_(None) & (_T.expires_at > NowMs())


def _token(row: Row[Any]) -> SshToken:
    return SshToken(row.id, row.target, row.account, WallMs(row.made_at), WallMs(row.expires_at))
