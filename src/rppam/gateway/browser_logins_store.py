"""Log-ins at the gateway that wait for their user to approve them in the console, in SQL: of any node, by any node.

One is a row among the one-time tokens, of a kind that nobody can type: its ``hash`` is no hash. Whoever decides first
decides, in the transaction that records it. What raises the account's ``auth_epoch`` ends what waits. What it does not
look at: whether who approves has shown a second factor.
"""

import base64
import hashlib
import uuid
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from rppam.access.accounts.model import Account
from rppam.db.engine import NowMs, now_ms, rows_changed
from rppam.db.store import SqlStore, reads, writes
from rppam.gateway.errors import LoginUnknown
from rppam.gateway.tables import ssh_tokens
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity
from rppam.ledger.record import record

_T: Final = ssh_tokens.c
MARK: Final = "browser:"
"""What the ``hash`` of such a row begins with."""
WAITS_S: Final = 120
WAITING_MAX: Final = 5
"""Of one user at a time; of more nobody could tell which is which."""
_KEPT_MS: Final = 3_600_000
_CHARS: Final = 128


class BrowserLogin(NamedTuple):
    """A log-in that waits."""

    id: str
    target: str
    """Empty: it is chosen later."""
    account: str
    client: str
    """The address that it comes from."""
    made_at: WallMs
    expires_at: WallMs

    @property
    def phrase(self) -> str:
        """What the terminal and the browser show, so that nobody approves somebody else's log-in."""
        return phrase_of(self.id)


class Outcome(NamedTuple):
    """What became of a log-in."""

    waits: bool
    approved: bool
    refused: bool


class SqlBrowserLogins(SqlStore):
    """See the module."""

    @writes
    def ask(self, connection: Connection, user: Account, target: str, account: str, client: str) -> BrowserLogin | None:
        """One that waits from now on; ``None``: too many of the user's do."""
        now = now_ms(connection)
        connection.execute(delete(ssh_tokens).where(IS_BROWSER, _T.expires_at < now - _KEPT_MS))
        if connection.execute(select(func.count()).select_from(ssh_tokens).where(_waiting(user))).scalar_one() >= (
            WAITING_MAX
        ):
            return None
        ident = str(uuid.uuid4())
        made = BrowserLogin(ident, target[:_CHARS], account[:_CHARS], client[:64], WallMs(now), _until(now))
        row = made._asdict()
        row["used_from"] = row.pop("client")
        values = {"hash": MARK + ident, "user_id": user.id, "auth_epoch": user.auth_epoch, "mfa": False}
        connection.execute(insert(ssh_tokens).values(**row, **values))
        return made

    @reads
    def of(self, connection: Connection, user: Account) -> list[BrowserLogin]:
        """Those of a user that wait, the oldest first."""
        wanted = select(ssh_tokens).where(_waiting(user)).order_by(_T.made_at, _T.id)
        return [_login(row) for row in connection.execute(wanted)]

    @writes
    def decide(self, connection: Connection, user: Account, ident: str, *, approve: bool) -> None:
        """Approve or refuse one of a user's that waits, and record it. Raises :class:`LoginUnknown`."""
        decided = update(ssh_tokens).where(_waiting(user), _T.id == ident).values(used_at=NowMs(), mfa=approve)
        found = connection.execute(decided.returning(_T.target, _T.account, _T.used_from)).one_or_none()
        if found is None:
            raise LoginUnknown("no log-in of yours waits by this id")
        facts = {"login": ident, "target": found.target, "account": found.account, "from": found.used_from}
        action = "sshlogin.approve" if approve else "sshlogin.refuse"
        record(connection, action, Entity("user", user.id, user.name), details=facts)

    @reads
    def outcome(self, connection: Connection, ident: str) -> Outcome:
        """What became of one."""
        wanted = select(_T.used_at, _T.mfa, (_T.expires_at > NowMs()).label("waits")).where(IS_BROWSER, _T.id == ident)
        row = connection.execute(wanted).one_or_none()
        if row is None or row.used_at is None:
            return Outcome(row is not None and bool(row.waits), approved=False, refused=False)
        return Outcome(waits=False, approved=bool(row.mfa), refused=not row.mfa)

    @writes
    def withdraw(self, connection: Connection, ident: str) -> bool:
        """Have one wait no more that nobody has decided; false where somebody has."""
        return rows_changed(connection, delete(ssh_tokens).where(IS_BROWSER, _T.id == ident, _T.used_at.is_(None))) == 1


IS_BROWSER: Final[ColumnElement[bool]] = _T.hash.like(f"{MARK}%")


def phrase_of(ident: str) -> str:
    """Eight letters and digits that stand for a log-in."""
    text = base64.b32encode(hashlib.sha256(ident.encode()).digest()[:5]).decode()
    return f"{text[:4]}-{text[4:]}"


def _until(now: int) -> WallMs:
    return WallMs(now + WAITS_S * 1000)


def _waiting(user: Account) -> ColumnElement[bool]:
    mine = IS_BROWSER & (_T.user_id == user.id) & (_T.auth_epoch == user.auth_epoch)
    return mine & _T.used_at.is_(None) & (_T.expires_at > NowMs())


def _login(row: Row[Any]) -> BrowserLogin:
    return BrowserLogin(row.id, row.target, row.account, row.used_from, WallMs(row.made_at), WallMs(row.expires_at))
