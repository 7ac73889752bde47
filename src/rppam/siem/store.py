"""SIEM targets in SQL, and how far each has come.

A cursor only grows, and only a leader that the fence admits moves it, so two leaders never skip an event. Every change
of a target is an event itself.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from rppam.cluster.health.ports import Authority
from rppam.crypto.data_keys import DataKeys
from rppam.db.database import Database
from rppam.db.engine import NowMs, now_ms
from rppam.db.fence import require_leadership
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity
from rppam.ledger.precondition import check_if_match
from rppam.ledger.record import record
from rppam.ledger.tables import audit_checkpoints, audit_events
from rppam.siem.bounds import Shortened
from rppam.siem.errors import TargetNameTaken, TargetUnknown
from rppam.siem.model import Format, Target, TargetKind, options_of
from rppam.siem.tables import siem_targets

_T: Final = siem_targets.c
_E: Final = audit_events.c
PROBLEM_CHARS: Final = 500
_MAKE_REVISIONS: Final = ("siem.create", "siem.change")


class Progress(NamedTuple):
    """A target, and how far its delivery is behind the signed tree."""

    target: Target
    """Without its secret."""
    waiting: int
    """Events that have not arrived for certain."""
    lag_ms: int
    """How long ago the oldest of them was recorded; 0 where there is none."""
    failing_ms: int
    """For how long it has refused events; 0 where it did not the last time."""


class SqlTargets:
    """See the module."""

    def __init__(self, database: Database, data_keys: DataKeys) -> None:
        self._database, self._data_keys = database, data_keys

    async def all(self) -> list[Target]:
        """Every target by name, without its secret."""
        wanted = select(siem_targets).order_by(_T.name)
        return await self._database.read(lambda connection: [_target(row) for row in connection.execute(wanted)])

    async def get(self, ident: str) -> Target:
        """One target, without its secret. Raises :class:`TargetUnknown`."""
        return await self._database.read(lambda connection: _target(_row(connection, ident)))

    async def progress(self) -> list[Progress]:
        """Every target by name, and how far each is behind, by the database's clock."""

        def work(connection: Connection) -> list[Progress]:
            rows = connection.execute(select(siem_targets).order_by(_T.name)).all()
            return [_progress(connection, row) for row in rows]

        return await self._database.read(work)

    async def progress_of(self, ident: str) -> Progress:
        """The same of one target. Raises :class:`TargetUnknown`."""
        return await self._database.read(lambda connection: _progress(connection, _row(connection, ident)))

    async def opened(self, ident: str) -> Target:
        """One target with its secret. Raises :class:`TargetUnknown`, what a sealed value raises."""
        row = await self._database.read(lambda connection: _row(connection, ident))
        secret = None if row.secret is None else await self._data_keys.unseal(row.secret, _place(ident))
        return _target(row)._replace(secret=secret)

    async def create(self, target: Target) -> Target:
        """Make a target. Raises :class:`TargetNameTaken`."""
        sealed = await self._sealed(target)

        def work(connection: Connection) -> Target:
            try:
                connection.execute(insert(siem_targets).values(**_columns(target), secret=sealed, cursor=target.cursor))
            except IntegrityError:
                raise TargetNameTaken(f"a SIEM target named {target.name!r} exists already") from None
            record(connection, "siem.create", _entity(target), details=_facts(target))
            return _target(_row(connection, target.id))

        return await self._database.write(work)

    async def change(self, target: Target, if_match: Collection[int] | None = None) -> Target:
        """Replace a target but for its cursor; a secret of ``None`` stays. Raises as :meth:`create`,
        :class:`~rppam.http.errors.PreconditionFailedError`."""
        sealed = await self._sealed(target)

        def work(connection: Connection) -> Target:
            before = _row(connection, target.id, lock=True)
            check_if_match(connection, if_match, before.revision, _entity(_target(before)), _MAKE_REVISIONS)
            columns = _columns(target) | {"revision": before.revision + 1}
            if sealed is not None:
                columns["secret"] = sealed
            try:
                connection.execute(update(siem_targets).where(_T.id == target.id).values(**columns))
            except IntegrityError:
                raise TargetNameTaken(f"a SIEM target named {target.name!r} exists already") from None
            record(connection, "siem.change", _entity(target), details=_facts(target))
            return _target(_row(connection, target.id))

        return await self._database.write(work)

    async def remove(self, ident: str, if_match: Collection[int] | None = None) -> None:
        """Delete a target. Raises :class:`TargetUnknown`, :class:`~rppam.http.errors.PreconditionFailedError`."""

        def work(connection: Connection) -> None:
            target = _target(_row(connection, ident, lock=True))
            check_if_match(connection, if_match, target.revision, _entity(target), _MAKE_REVISIONS)
            connection.execute(delete(siem_targets).where(_T.id == ident))
            record(connection, "siem.delete", _entity(target))

        await self._database.write(work)

    async def delivered(
        self, authority: Authority, node: str, ident: str, cursor: int, shortened: Sequence[Shortened] = ()
    ) -> None:
        """All events before ``cursor`` have arrived, some of them ``shortened``, which is recorded. Raises
        :class:`~rppam.http.errors.FencedError`."""

        def work(connection: Connection) -> None:
            require_leadership(connection, authority.epoch, node, authority.boot_id)
            mine = (_T.id == ident) & (_T.cursor <= cursor)
            moved = update(siem_targets).where(mine).values(cursor=cursor, sent_at=NowMs(), failed_at=None, problem="")
            if not connection.execute(moved).rowcount:
                return
            for one in shortened:
                details = {"index": one.place, "id": one.id, "bytes": one.bytes}
                record(connection, "siem.shorten", Entity("siem-target", ident), details=details)

        await self._database.write(work)

    async def reach(self, authority: Authority, node: str, ident: str, reached: int) -> None:
        """Events before ``reached`` may be sent from now on. Raises as :meth:`delivered`."""

        def work(connection: Connection) -> None:
            require_leadership(connection, authority.epoch, node, authority.boot_id)
            mine = (_T.id == ident) & (_T.reached < reached)
            connection.execute(update(siem_targets).where(mine).values(reached=reached))

        await self._database.write(work)

    async def failed(self, ident: str, problem: str) -> None:
        """The last try to deliver failed."""

        def work(connection: Connection) -> None:
            since = select(_T.failed_at).where(_T.id == ident)
            at = connection.execute(since).scalar_one_or_none()
            values: dict[str, Any] = {"problem": problem[:PROBLEM_CHARS]}
            if at is None:
                values["failed_at"] = NowMs()
            connection.execute(update(siem_targets).where(_T.id == ident).values(**values))

        await self._database.write(work)

    async def _sealed(self, target: Target) -> str | None:
        return None if target.secret is None else await self._data_keys.seal(target.secret, _place(target.id))


def _place(ident: str) -> str:
    return f"the secret of the SIEM target {ident}"


def _entity(target: Target) -> Entity:
    return Entity("siem-target", target.id, target.name)


def _facts(target: Target) -> dict[str, Any]:
    return {"kind": target.kind.value, "url": target.url, "format": target.format.value, "enabled": target.enabled}


def _columns(target: Target) -> dict[str, Any]:
    return {
        "id": target.id,
        "name": target.name,
        "kind": target.kind.value,
        "format": target.format.value,
        "url": target.url,
        "options": json.dumps(target.options._asdict()),
        "enabled": target.enabled,
        "revision": target.revision,
        "problem": "",
        "failed_at": None,
    }


def _row(connection: Connection, ident: str, *, lock: bool = False) -> Row[Any]:
    wanted = select(siem_targets).where(_T.id == ident)
    row = connection.execute(wanted.with_for_update() if lock else wanted).one_or_none()
    if row is None:
        raise TargetUnknown("no SIEM target has this id")
    return row


def _progress(connection: Connection, row: Row[Any]) -> Progress:
    now = now_ms(connection)
    size = connection.execute(select(func.max(audit_checkpoints.c.size))).scalar_one() or 0
    oldest = select(_E.time).where(_E.leaf >= row.cursor).order_by(_E.leaf).limit(1)
    since = connection.execute(oldest).scalar_one_or_none() if row.cursor < size else None
    lag_ms = 0 if since is None else max(0, now - since)
    failing_ms = 0 if row.failed_at is None else max(0, now - row.failed_at)
    return Progress(_target(row), max(0, size - row.cursor), lag_ms, failing_ms)


def _target(row: Row[Any]) -> Target:
    return Target(
        id=row.id,
        name=row.name,
        kind=TargetKind(row.kind),
        format=Format(row.format),
        url=row.url,
        options=options_of(json.loads(row.options)),
        secret=None if row.secret is None else Secret(""),
        enabled=row.enabled,
        revision=row.revision,
        cursor=row.cursor,
        sent_at=None if row.sent_at is None else WallMs(row.sent_at),
        failed_at=None if row.failed_at is None else WallMs(row.failed_at),
        problem=row.problem,
        reached=row.reached,
    )
