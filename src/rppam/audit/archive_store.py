"""Events leave the database: first into a file, then their texts are pruned and their hashes stay.

Decides what may be pruned: an event that is older than the setting ``audit/archive`` says for its class, whose text is
the one that was signed, that a file of ``rppam audit archive`` has (unless the setting does without), that every SIEM
target has for certain, and that no legal hold keeps. Events that tell what became of the ledger, and who led, stay. A
batch is one transaction behind the fence, with the event ``ledger.prune`` that says what was in it: killed at any
moment it is there or not, and the next leader goes on at the mark. What it does not promise: that a file still exists.
"""

import asyncio
import hashlib
import json
import logging
import uuid
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select

from rppam.audit.policy import ARCHIVE
from rppam.audit.retention_store import BATCH as WORDS_BATCH, forget_aged
from rppam.cluster.health.ports import Authority
from rppam.db.engine import NowMs, insert_into, now_ms
from rppam.db.fence import require_leadership
from rppam.db.store import SqlStore, reads, writes
from rppam.kernel.instant import WallMs
from rppam.ledger.errors import LedgerBroken
from rppam.ledger.events import ACTIONS, Retention
from rppam.ledger.model import Entity, Event, refs_of
from rppam.ledger.record import record
from rppam.ledger.tables import (
    BATCHES,
    DAY_MS,
    audit_archived,
    audit_archives,
    audit_checkpoints,
    audit_events,
    audit_holds,
    audit_marks,
    audit_words,
)
from rppam.settings.store import SqlSettingsStore
from rppam.siem.tables import siem_targets

log: Final = logging.getLogger("rppam.audit")

WINDOW: Final = 1_000
"""So many events are looked at in one transaction."""
PAUSE_S: Final = 0.02
"""Between two, for others who write."""
KEPT: Final = ("ledger.", "leader.elect")
"""What these begin with is never pruned: without them the rest could not be verified."""
_E: Final = audit_events.c
_M: Final = audit_marks.c


class Archive(NamedTuple):
    """A file that events were exported to."""

    id: str
    first: int
    end: int
    """Index behind its last event."""
    digest: str
    """SHA-256 of the file."""
    file: str
    by: str
    made_at: WallMs


class Pruned(NamedTuple):
    """What became of one look."""

    events: int
    """How many were pruned."""
    is_over: bool
    """There is nothing more to look at for now."""
    is_late: str = ""
    """What keeps events that are due; empty for nothing."""


class SqlArchives(SqlStore):
    """See the module. Every call raises a ``DatabaseError`` when the database does not answer."""

    @reads
    def all(self, connection: Connection) -> list[Archive]:
        """Files, the first events first."""
        found = audit_archives.c
        rows = connection.execute(select(audit_archives).order_by(found.first, found.made_at))
        return [_archive(row) for row in rows]

    @reads
    def batches(self, connection: Connection) -> int:
        """How many batches were pruned."""
        return _mark(connection, BATCHES)

    @writes
    def add(self, connection: Connection, first: int, end: int, digest: str, file: str, by: str) -> None:
        """Record that a file has the events from ``first`` to before ``end``."""
        ident = str(uuid.uuid4())
        row = {"id": ident, "first": first, "end": end, "digest": digest, "file": file, "by_name": by[:256]}
        connection.execute(insert(audit_archives).values(**row, made_at=NowMs()))
        facts = {"first": first, "end": end, "sha256": digest}
        record(connection, "ledger.archive", Entity("archive", ident, file), details=facts)

    @writes
    def prune(
        self, connection: Connection, authority: Authority, node: str, class_: Retention, days: int, *, bare: bool
    ) -> Pruned:
        """Look at the next events of a class, and prune those that may be. ``bare``: also what no file has.

        Raises :class:`~rppam.http.errors.FencedError`, and :class:`LedgerBroken` where a text is not the one signed.
        """
        require_leadership(connection, authority.epoch, node, authority.boot_id)
        mark, (end, why) = _mark(connection, class_.value), _bound(connection, bare=bare)
        old = now_ms(connection) - days * DAY_MS
        wanted = select(audit_events).where(_E.leaf >= mark).order_by(_E.leaf).limit(WINDOW)
        rows = connection.execute(wanted).all()
        due, is_over, is_late = [], len(rows) < WINDOW, ""
        for row in rows:
            body = json.loads(row.body)  # and not the columns beside it, which nobody has signed
            if body["time"] >= old or row.leaf >= end:
                is_over, is_late = True, why if body["time"] < old else ""
                break
            mark = row.leaf + 1
            if _class_of(body["action"]) is class_ and not body["action"].startswith(KEPT):
                due.append(row)
        free = _not_held(connection, due)
        if free:
            _prune(connection, class_, free)
        _put_mark(connection, class_.value, mark)
        if is_over and not is_late:
            words = forget_aged(connection, class_, days)
            is_over = words < WORDS_BATCH
            if words:
                record(connection, "ledger.age", Entity("ledger"), details={class_.value: words})
        return Pruned(len(free), is_over, is_late)


class Pruning:
    """The leader's part."""

    def __init__(self, store: SqlArchives, settings: SqlSettingsStore, node: str, boot_id: str) -> None:
        self._store, self._settings, self._node, self._boot_id = store, settings, node, boot_id
        self._told: set[tuple[int, Retention, str]] = set()

    async def work(self, epoch: int) -> None:
        """Prune what is due. Raises a ``DatabaseError``, :class:`LedgerBroken`, or that a newer leader has written."""
        value = await self._settings.value_of(ARCHIVE)
        authority = Authority(epoch, self._boot_id)
        for class_, days in value.days().items():
            done = Pruned(0, is_over=False)
            while not done.is_over:
                done = await self._store.prune(authority, self._node, class_, days, bare=value.without_export)
                await asyncio.sleep(PAUSE_S)
            told = epoch, class_, done.is_late
            if done.is_late and told not in self._told:
                self._told.add(told)
                log.warning("Old events of the class %s stay in the database: %s", class_.value, done.is_late)


def _archive(row: Row[Any]) -> Archive:
    return Archive(row.id, row.first, row.end, row.digest, row.file, row.by_name, WallMs(row.made_at))


def _class_of(action: str) -> Retention:
    known = ACTIONS.get(action)
    return known.retention if known is not None else Retention.ADMINISTRATION


def _mark(connection: Connection, name: str) -> int:
    return connection.execute(select(_M.mark).where(_M.name == name)).scalar_one_or_none() or 0


def _put_mark(connection: Connection, name: str, mark: int) -> None:
    put = insert_into(connection, audit_marks).values(name=name, mark=mark)
    connection.execute(put.on_conflict_do_update(index_elements=[_M.name], set_={"mark": put.excluded.mark}))


def _bound(connection: Connection, *, bare: bool) -> tuple[int, str]:
    """Before which index events may be pruned, and what keeps those behind it."""
    size = connection.execute(select(func.max(audit_checkpoints.c.size))).scalar_one() or 0
    bounds = [(size, "")]
    if not bare:
        end = connection.execute(select(func.max(audit_archives.c.end))).scalar_one() or 0
        bounds.append((end, f"no file has those from {end} on; run 'rppam audit archive FILE' on a node's host"))
    slowest = select(siem_targets.c.cursor, siem_targets.c.name).order_by(siem_targets.c.cursor).limit(1)
    for cursor, name in connection.execute(slowest):
        bounds.append((cursor, f"the SIEM target {name} has not got those from {cursor} on"))
    return min(bounds)


def _not_held(connection: Connection, due: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Those that no legal hold keeps."""
    holds = set(connection.execute(select(audit_holds.c.word)).scalars())
    if not holds or not due:
        return list(due)
    if "" in holds:
        return []
    refs = {row.leaf: refs_of(json.loads(row.body)) for row in due}
    known = select(audit_words.c.ref).where(
        audit_words.c.ref.in_(set().union(*refs.values())), audit_words.c.word.in_(holds)
    )
    held = set(connection.execute(known).scalars())
    return [row for row in due if not refs[row.leaf] & held]


def _prune(connection: Connection, class_: Retention, rows: Sequence[Row[Any]]) -> None:
    batch = _mark(connection, BATCHES) + 1
    _put_mark(connection, BATCHES, batch)
    digest = hashlib.sha256()
    remains = []
    for row in rows:
        raw = Event(row.body, row.leaf, {}).hash
        if raw.hex() != row.hash:
            raise LedgerBroken(f"event {row.leaf}: its text is not the one that was hashed, so nothing is pruned")
        digest.update(raw)
        remains.append({"leaf": row.leaf, "hash": raw, "writer": row.writer, "number": row.number, "batch": batch})
    connection.execute(insert(audit_archived), remains)
    connection.execute(_GONE, [{"place": row.leaf} for row in rows])
    facts = {"batch": batch, "class": class_.value, "count": len(rows), "sha256": digest.hexdigest()}
    facts |= {"first": rows[0].leaf, "last": rows[-1].leaf}
    record(connection, "ledger.prune", Entity("ledger"), details=facts)


_GONE: Final = delete(audit_events).where(_E.leaf == bindparam("place"))
