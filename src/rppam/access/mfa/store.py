"""Second factors and half-finished log-ins in SQL.

That a code counts once in the whole cluster is held here: a time step may only grow, a backup code's row is marked by
the first that finds it unmarked, and a log-in is ended by the first that still finds its row; each in the one
transaction that uses it, so of two nodes with the same code one changes nothing.
"""

from collections.abc import Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from rppam.access.accounts.model import Account
from rppam.access.accounts.store import account_in, locked_row, present_row, raise_user
from rppam.access.accounts.tables import backup_codes, pending_logins, users
from rppam.access.mfa.model import ATTEMPTS_MAX, PENDING_MS, BackupProof, Factor, Pending, Proof, TotpProof
from rppam.access.passkeys.store import has_factor
from rppam.db.engine import NowMs, now_ms, rows_changed
from rppam.db.store import Method, SqlStore, Work, reads, writes
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity, Outcome
from rppam.ledger.record import record

S = TypeVar("S", bound=SqlStore)
P = ParamSpec("P")
T = TypeVar("T")


class _Undo(Exception):
    """Something was done already: the transaction is undone."""


def _once(work: Work[S, P, T]) -> Method[S, P, T | None]:
    """A transaction that writes; ``None`` where it was undone."""
    run = writes(work)

    @wraps(run)
    async def undoing(store: S, /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return await run(store, *args, **kwargs)
        except _Undo:
            return None

    return undoing


class SqlFactors(SqlStore):
    """See the module. Every call is one transaction and raises a ``DatabaseError`` when the database does not answer;
    those with a ``user_id`` raise ``UserUnknown``, also for a deleted account."""

    @reads
    def read(self, connection: Connection, user_id: str) -> Factor:
        return _factor(connection, present_row(connection, user_id))

    @reads
    def has_any(self, connection: Connection, user_id: str) -> bool:
        """Whether the account has an authenticator or a passkey."""
        return has_factor(connection, user_id)

    @writes
    def begin(self, connection: Connection, pending: Pending) -> None:
        """Remember a log-in for :data:`PENDING_MS`."""
        connection.execute(delete(pending_logins).where(pending_logins.c.expires_at <= NowMs()))
        row = pending._asdict() | {"attempts": 0, "created_at": NowMs(), "expires_at": NowMs() + PENDING_MS}
        connection.execute(insert(pending_logins).values(**row))

    @reads
    def find(self, connection: Connection, token_hash: str) -> Factor | None:
        """What a log-in is about; ``None`` when it is over: done, too late, too many guesses (:data:`ATTEMPTS_MAX`), or
        the account's sessions were ended since."""
        epoch = select(pending_logins.c.user_id, pending_logins.c.auth_epoch).where(*_open(token_hash))
        found = connection.execute(epoch).one_or_none()
        if found is None:
            return None
        row = connection.execute(select(users).where(users.c.id == found.user_id)).one()
        if row.disabled or row.deleted_at is not None or row.auth_epoch != found.auth_epoch:
            return None
        return _factor(connection, row)

    @writes
    def guess(self, connection: Connection, token_hash: str) -> bool:
        """Charge one guess to a log-in; false when it is over."""
        charge = update(pending_logins).where(*_open(token_hash)).values(attempts=pending_logins.c.attempts + 1)
        return rows_changed(connection, charge) == 1

    @_once
    def complete(self, connection: Connection, token_hash: str, user_id: str, proof: Proof) -> bool:
        """Use the proof up and end the log-in; false, and nothing changed, when either was done already."""
        _use(connection, user_id, proof)
        _end_login(connection, token_hash)
        return True

    @_once
    def use(self, connection: Connection, user_id: str, proof: Proof) -> bool:
        """Use the proof up; false when it was used already."""
        locked_row(connection, user_id)
        _use(connection, user_id, proof)
        return True

    @writes
    def propose(self, connection: Connection, user_id: str, sealed: str) -> bool:
        """Keep an enrolment until it is confirmed or the account's sessions end; false when one is in force."""
        row = locked_row(connection, user_id)
        if row.totp_secret is not None:
            return False
        connection.execute(update(users).where(users.c.id == user_id).values(totp_pending=sealed))
        record(connection, "mfa.begin", Entity("user", user_id, row.name))
        return True

    @_once
    def confirm(
        self,
        connection: Connection,
        user_id: str,
        sealed: str,
        step: int,
        code_hashes: Sequence[str],
        token_hash: str | None,
    ) -> Account:
        """Put the proposed enrolment in force, its first code used, and end the log-in it was part of.

        ``None``, and nothing changed, when this one is not proposed any more or one is in force, or the log-in is over.
        """
        row = locked_row(connection, user_id)
        if row.totp_secret is not None or row.totp_pending != sealed:
            raise _Undo
        connection.execute(
            update(users).where(users.c.id == user_id).values(totp_secret=sealed, totp_pending=None, totp_step=step)
        )
        _put_codes(connection, user_id, code_hashes)
        if token_hash is not None:
            _end_login(connection, token_hash)
        record(connection, "mfa.enrol", Entity("user", user_id, row.name))
        return raise_user(connection, user_id)

    @_once
    def replace_codes(self, connection: Connection, user_id: str, proof: Proof, code_hashes: Sequence[str]) -> bool:
        """Use the proof up and put these backup codes in the place of all others; false when it was used already."""
        row = locked_row(connection, user_id)
        _use(connection, user_id, proof)
        _put_codes(connection, user_id, code_hashes)
        record(connection, "mfa.renew", Entity("user", user_id, row.name))
        return True

    @reads
    def codes_left(self, connection: Connection, user_id: str) -> int:
        unused = (backup_codes.c.user_id == user_id) & backup_codes.c.used_at.is_(None)
        count = select(func.count()).select_from(backup_codes).where(unused)
        return connection.execute(count).scalar_one()

    @_once
    def remove(self, connection: Connection, user_id: str, proof: Proof | None) -> Account:
        """Take the second factor away: with a proof by its owner, else by an administrator, which ends all sessions.

        ``None``: the proof was used already.
        """
        row = locked_row(connection, user_id)
        if proof is not None:
            _use(connection, user_id, proof)
        connection.execute(update(users).where(users.c.id == user_id).values(totp_secret=None, totp_pending=None))
        _put_codes(connection, user_id, ())
        connection.execute(delete(pending_logins).where(pending_logins.c.user_id == user_id))
        own = {"by_owner": proof is not None}
        record(connection, "mfa.remove", Entity("user", user_id, row.name), details=own)
        return raise_user(connection, user_id, ends_sessions=proof is None)

    @writes
    def record_refusal(self, connection: Connection, account: Account) -> None:
        """Record that a code was refused."""
        target = Entity("user", account.id, account.name)
        record(connection, "login.fail", target, outcome=Outcome.FAILURE, reason="wrong code")


def _factor(connection: Connection, row: Row[Any]) -> Factor:
    now = WallMs(now_ms(connection))
    return Factor(account_in(connection, row), row.totp_secret, row.totp_pending, row.totp_step, now)


def _open(token_hash: str) -> tuple[ColumnElement[bool], ...]:
    return (
        pending_logins.c.token_hash == token_hash,
        pending_logins.c.expires_at > NowMs(),
        pending_logins.c.attempts < ATTEMPTS_MAX,
    )


def _use(connection: Connection, user_id: str, proof: Proof) -> None:
    """Raises :class:`_Undo` when the proof was used already, or its enrolment is not in force any more."""
    if isinstance(proof, BackupProof):
        mine = (backup_codes.c.user_id == user_id) & (backup_codes.c.code_hash == proof.code_hash)
        change = update(backup_codes).where(mine & backup_codes.c.used_at.is_(None)).values(used_at=NowMs())
    else:
        assert isinstance(proof, TotpProof)
        same = (users.c.id == user_id) & (users.c.totp_secret == proof.sealed)
        change = update(users).where(same & (users.c.totp_step < proof.step)).values(totp_step=proof.step)
    if rows_changed(connection, change) != 1:
        raise _Undo
    if isinstance(proof, BackupProof):
        record(connection, "mfa.spend", Entity("user", user_id))


def _end_login(connection: Connection, token_hash: str) -> None:
    alive = (pending_logins.c.token_hash == token_hash) & (pending_logins.c.expires_at > NowMs())
    if rows_changed(connection, delete(pending_logins).where(alive)) != 1:
        raise _Undo


def _put_codes(connection: Connection, user_id: str, code_hashes: Sequence[str]) -> None:
    connection.execute(delete(backup_codes).where(backup_codes.c.user_id == user_id))
    rows = [{"user_id": user_id, "code_hash": one} for one in code_hashes]
    if rows:
        connection.execute(insert(backup_codes), rows)
