"""Second factors and half-finished log-ins in SQL (:class:`rppam.access.mfa.store_port.FactorStore`).

That a code counts once in the whole cluster is held here: a time step may only grow, a backup code's row is marked by
whoever finds it unmarked, and a log-in is ended by whoever still finds its row; each in the one transaction that uses
it, so of two nodes with the same code one changes nothing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from rppam.access.accounts import (
    Account,
    Written,
    account_in,
    backup_codes,
    locked_row,
    pending_logins,
    present_row,
    users,
    written,
)
from rppam.access.mfa.model import ATTEMPTS_MAX, PENDING_MS, BackupProof, Factor, Proof, TotpProof
from rppam.access.mfa.store_port import Pending
from rppam.db.database import Database
from rppam.db.engine import NowMs, rows_changed
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity, Outcome
from rppam.ledger.record import record

T = TypeVar("T")


class _Undo(Exception):
    """Something was done already: the transaction is undone."""


class SqlFactors:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, user_id: str) -> Factor:
        """See :meth:`rppam.access.mfa.store_port.FactorStore.read`."""
        return await self._database.read(lambda connection: _factor(connection, present_row(connection, user_id)))

    async def begin(self, pending: Pending) -> None:
        """See :meth:`rppam.access.mfa.store_port.FactorStore.begin`."""

        def work(connection: Connection) -> None:
            connection.execute(delete(pending_logins).where(pending_logins.c.expires_at <= NowMs()))
            row = pending._asdict() | {"attempts": 0, "created_at": NowMs(), "expires_at": NowMs() + PENDING_MS}
            connection.execute(insert(pending_logins).values(**row))

        await self._database.write(work)

    async def find(self, token_hash: str) -> Factor | None:
        """See :meth:`rppam.access.mfa.store_port.FactorStore.find`."""

        def work(connection: Connection) -> Factor | None:
            epoch = select(pending_logins.c.user_id, pending_logins.c.auth_epoch).where(*_open(token_hash))
            found = connection.execute(epoch).one_or_none()
            if found is None:
                return None
            row = connection.execute(select(users).where(users.c.id == found.user_id)).one()
            if row.disabled or row.deleted_at is not None or row.auth_epoch != found.auth_epoch:
                return None
            return _factor(connection, row)

        return await self._database.read(work)

    async def guess(self, token_hash: str) -> bool:
        """See :meth:`rppam.access.mfa.store_port.FactorStore.guess`."""
        charge = update(pending_logins).where(*_open(token_hash)).values(attempts=pending_logins.c.attempts + 1)
        return await self._database.write(lambda connection: rows_changed(connection, charge) == 1)

    async def complete(self, token_hash: str, user_id: str, proof: Proof) -> bool:
        """See :meth:`rppam.access.mfa.store_port.FactorStore.complete`."""

        def work(connection: Connection) -> bool:
            _use(connection, user_id, proof)
            _end_login(connection, token_hash)
            return True

        return await self._undoing(work) is not None

    async def use(self, user_id: str, proof: Proof) -> bool:
        """See :meth:`rppam.access.mfa.store_port.FactorStore.use`."""

        def work(connection: Connection) -> bool:
            locked_row(connection, user_id)
            _use(connection, user_id, proof)
            return True

        return await self._undoing(work) is not None

    async def propose(self, user_id: str, sealed: str) -> bool:
        """See :meth:`rppam.access.mfa.store_port.FactorStore.propose`."""

        def work(connection: Connection) -> bool:
            row = locked_row(connection, user_id)
            if row.totp_secret is not None:
                return False
            connection.execute(update(users).where(users.c.id == user_id).values(totp_pending=sealed))
            record(connection, "mfa.begin", Entity("user", user_id, row.name))
            return True

        return await self._database.write(work)

    async def confirm(
        self, user_id: str, sealed: str, step: int, code_hashes: Sequence[str], token_hash: str | None
    ) -> Written | None:
        """See :meth:`rppam.access.mfa.store_port.FactorStore.confirm`."""

        def work(connection: Connection) -> Written:
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
            return written(connection, user_id)

        return await self._undoing(work)

    async def replace_codes(self, user_id: str, proof: Proof, code_hashes: Sequence[str]) -> bool:
        """See :meth:`rppam.access.mfa.store_port.FactorStore.replace_codes`."""

        def work(connection: Connection) -> bool:
            row = locked_row(connection, user_id)
            _use(connection, user_id, proof)
            _put_codes(connection, user_id, code_hashes)
            record(connection, "mfa.renew", Entity("user", user_id, row.name))
            return True

        return await self._undoing(work) is not None

    async def codes_left(self, user_id: str) -> int:
        """See :meth:`rppam.access.mfa.store_port.FactorStore.codes_left`."""
        unused = (backup_codes.c.user_id == user_id) & backup_codes.c.used_at.is_(None)
        count = select(func.count()).select_from(backup_codes).where(unused)
        return await self._database.read(lambda connection: connection.execute(count).scalar_one())

    async def remove(self, user_id: str, proof: Proof | None) -> Written | None:
        """See :meth:`rppam.access.mfa.store_port.FactorStore.remove`."""

        def work(connection: Connection) -> Written:
            row = locked_row(connection, user_id)
            if proof is not None:
                _use(connection, user_id, proof)
            connection.execute(update(users).where(users.c.id == user_id).values(totp_secret=None, totp_pending=None))
            _put_codes(connection, user_id, ())
            connection.execute(delete(pending_logins).where(pending_logins.c.user_id == user_id))
            own = {"by_owner": proof is not None}
            record(connection, "mfa.remove", Entity("user", user_id, row.name), details=own)
            return written(connection, user_id, ends_sessions=proof is None)

        return await self._undoing(work)

    async def record_refusal(self, account: Account) -> None:
        """See :meth:`rppam.access.mfa.store_port.FactorStore.record_refusal`."""
        target = Entity("user", account.id, account.name)
        refused = partial(record, action="login.fail", target=target, outcome=Outcome.FAILURE, reason="wrong code")
        await self._database.write(refused)

    async def _undoing(self, work: Callable[[Connection], T]) -> T | None:
        try:
            return await self._database.write(work)
        except _Undo:
            return None


def _factor(connection: Connection, row: Row[Any]) -> Factor:
    now: int = connection.execute(select(NowMs())).scalar_one()
    return Factor(account_in(connection, row), row.totp_secret, row.totp_pending, row.totp_step, WallMs(now))


def _open(token_hash: str) -> tuple[ColumnElement[bool], ...]:
    """The log-in goes on."""
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
