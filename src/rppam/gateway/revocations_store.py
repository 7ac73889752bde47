"""What the SSH authority has revoked, in SQL. A revocation, and taking one back, is recorded in its transaction."""

import uuid
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select

from rppam.db.engine import insert_into, now_ms
from rppam.db.store import SqlStore, reads, writes
from rppam.gateway.errors import AuthorityState, RevocationUnknown
from rppam.gateway.krl import Revocation, RevokedKind
from rppam.gateway.tables import ssh_revocations
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity, Word
from rppam.ledger.record import record

_R: Final = ssh_revocations.c
REVOKED_MAX: Final = 10_000
"""So many at a time, which is what a target reads at each log-in."""


class SqlRevocations(SqlStore):
    """See the module."""

    @reads
    def all(self, connection: Connection) -> list[Revocation]:
        """All, the newest first."""
        return [_revocation(row) for row in connection.execute(select(ssh_revocations).order_by(_R.at.desc(), _R.id))]

    @reads
    def words(self, connection: Connection, among: Collection[str]) -> set[tuple[RevokedKind, str]]:
        """What counts no more of these, whichever kind they are of."""
        return _words(connection, _R.word.in_(among))

    @reads
    def now(self, connection: Connection) -> tuple[int, set[tuple[RevokedKind, str]]]:
        """The database's time, and what counts no more by then: the lists of all nodes grow by one clock."""
        found = _words(connection)
        return now_ms(connection), found

    @writes
    def add(self, connection: Connection, kind: RevokedKind, word: str, reason: str, by: str) -> Revocation:
        """Revoke it. Raises :class:`AuthorityState` where it is revoked already, or too many are."""
        same = connection.execute(select(_R.id).where((_R.kind == kind.value) & (_R.word == word))).first()
        if same is not None:
            raise AuthorityState(f"it is revoked already: {same.id} of `rppam ca revocations`")
        if connection.execute(select(func.count()).select_from(ssh_revocations)).scalar_one() >= REVOKED_MAX:
            raise AuthorityState(f"{REVOKED_MAX} are revoked already; take back those that have long expired")
        ident = str(uuid.uuid4())
        values = {
            "id": ident, "kind": kind.value, "word": word, "reason": reason, "by_name": by[:256],
            "at": now_ms(connection),
        }  # fmt: skip
        made = connection.execute(insert_into(connection, ssh_revocations).values(**values).on_conflict_do_nothing())
        if not made.rowcount:
            raise AuthorityState("somebody else has just revoked it")
        _tell(connection, "certificate.revoke", ident, kind, word, reason)
        return _get(connection, ident)

    @writes
    def lift(self, connection: Connection, ident: str, reason: str) -> None:
        """Have what was revoked count again, if it still would. Raises :class:`RevocationUnknown`."""
        found = _get(connection, ident)
        connection.execute(delete(ssh_revocations).where(_R.id == ident))
        _tell(connection, "certificate.restore", ident, found.kind, found.word, reason)


def _words(connection: Connection, *which: ColumnElement[bool]) -> set[tuple[RevokedKind, str]]:
    wanted = select(_R.kind, _R.word).where(*which)
    return {(RevokedKind(row.kind), row.word) for row in connection.execute(wanted)}


def _get(connection: Connection, ident: str) -> Revocation:
    row = connection.execute(select(ssh_revocations).where(_R.id == ident)).one_or_none()
    if row is None:
        raise RevocationUnknown("no revocation has this id")
    return _revocation(row)


def _tell(connection: Connection, action: str, ident: str, kind: RevokedKind, word: str, reason: str) -> None:
    facts = {"kind": kind.value, "word": Word(word) if kind is RevokedKind.KEY_ID else word}
    record(connection, action, Entity("ssh-authority", ident), details=facts, reason=reason)


def _revocation(row: Row[Any]) -> Revocation:
    return Revocation(row.id, RevokedKind(row.kind), row.word, row.reason, row.by_name, WallMs(row.at))
