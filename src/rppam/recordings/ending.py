"""When a recording is deleted: by its age, by the class of its target, and not while a hold stands.

A recording is deleted by destroying the key of its chunks, in one transaction with the event that says so; the chunks
follow. Its row stays, with who did what where and the hash that it came to, so that the ledger's word of it can still
be compared. What it does not promise: backups of the database have the key until they are deleted, too.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, exists, select, update

from rppam.db.engine import NowMs, rows_changed
from rppam.db.store import SqlStore, reads, writes
from rppam.ledger.record import record
from rppam.ledger.tables import DAY_MS, audit_holds
from rppam.recordings.errors import RecordingDeleted, RecordingStoreFailed
from rppam.recordings.keeping import tags_of, words_of
from rppam.recordings.model import State, facts_of
from rppam.recordings.policy import RETENTION, RecordingRetention
from rppam.recordings.shelves import Access, shelf_of
from rppam.recordings.store import entity, row_of
from rppam.recordings.tables import recording_chunks, recordings
from rppam.settings.store import SqlSettingsStore

_R: Final = recordings.c
_C: Final = recording_chunks.c
PAGE: Final = 200
CHUNKS_AT_ONCE: Final = 1_000


class Old(NamedTuple):
    """A page of recordings that may be due."""

    due: Sequence[str]
    last: str | None
    """Where the next page begins; ``None``: there is none."""


class Gone(NamedTuple):
    """A deleted recording whose chunks are still there."""

    id: str
    store: str


class SqlEnding(SqlStore):
    """See the module. Every call raises a ``DatabaseError`` when the database does not answer."""

    @reads
    def old(self, connection: Connection, retention: RecordingRetention, after: str) -> Old:
        """Those behind ``after`` that are older than they are kept, unless somebody holds them."""
        least = retention.least()
        is_old = (_R.changed < NowMs() - least * DAY_MS) & _R.state.in_((State.DONE.value, State.LOST.value))
        wanted = select(_R.id, _R.facts, _R.changed, NowMs().label("now")).where(is_old, _R.hold == "", _R.id > after)
        rows = connection.execute(wanted.order_by(_R.id).limit(PAGE)).all()
        tags: dict[str, tuple[str, ...]] = {}
        due = []
        for row in rows:
            target = facts_of(row.facts).target
            if target not in tags:
                tags[target] = tags_of(connection, target)
            days = retention.of(tags[target])
            if days and row.changed < row.now - days * DAY_MS:
                due.append(row.id)
        return Old(due, rows[-1].id if len(rows) == PAGE else None)

    @writes
    def destroy(self, connection: Connection, ident: str) -> bool:
        """Destroy the key of a recording that is over; whether it was. Nothing where it, its user, its target or
        everything is held."""
        row = row_of(connection, ident, lock=True)
        facts = facts_of(row.facts)
        held = select(audit_holds.c.id).where(audit_holds.c.word.in_(words_of(facts))).limit(1)
        if row.state not in {State.DONE.value, State.LOST.value} or row.hold or connection.execute(held).first():
            return False
        gone = {"state": State.DELETED.value, "sealed_key": "", "changed": NowMs()}
        connection.execute(update(recordings).where(_R.id == ident).values(**gone))
        told = {"session": facts.session, "chunks": row.chunks, "head": row.head, "bytes": row.bytes}
        record(connection, "recording.delete", entity(ident), details=told)
        return True

    @reads
    def gone(self, connection: Connection, after: str) -> list[Gone]:
        """Deleted recordings behind ``after`` of which chunks are left, a page of them."""
        left = exists().where(_C.recording == _R.id)
        wanted = select(_R.id, _R.store).where(_R.state == State.DELETED.value, left, _R.id > after)
        return [Gone(row.id, row.store) for row in connection.execute(wanted.order_by(_R.id).limit(PAGE))]

    @writes
    def clear(self, connection: Connection, ident: str) -> int:
        """Delete some chunks of a deleted recording; how many."""
        mine = select(_C.seq).where(_C.recording == ident).order_by(_C.seq).limit(CHUNKS_AT_ONCE)
        seqs = connection.execute(mine).scalars().all()
        if not seqs:
            return 0
        some = (_C.recording == ident) & (_C.seq <= seqs[-1])
        return rows_changed(connection, delete(recording_chunks).where(some))

    @writes
    def hold(self, connection: Connection, ident: str, reason: str, by: str) -> None:
        """Keep a recording whatever its age. Raises :class:`RecordingDeleted`, ``RecordingUnknown``."""
        row = row_of(connection, ident, lock=True)
        if row.state == State.DELETED.value:
            raise RecordingDeleted("it is deleted already, so it cannot be held")
        connection.execute(update(recordings).where(_R.id == ident).values(hold=reason, held_by=by[:256]))
        record(connection, "recording.hold", entity(ident), reason=reason)

    @writes
    def release(self, connection: Connection, ident: str, reason: str) -> None:
        """Lift the hold of a recording, if there is one. Raises ``RecordingUnknown``."""
        if row_of(connection, ident, lock=True).hold:
            connection.execute(update(recordings).where(_R.id == ident).values(hold="", held_by=""))
            record(connection, "recording.release", entity(ident), reason=reason)


class Ending:
    """The leader's part."""

    def __init__(self, store: SqlEnding, settings: SqlSettingsStore, shelves: Access) -> None:
        self._store, self._settings, self._shelves = store, settings, shelves
        self._failed: dict[str, None] = {}
        """Deleted recordings whose files could not be removed, the one that was tried longest ago first."""

    async def work(self, _epoch: int) -> None:
        """Delete what is due. Raises :class:`RecordingStoreFailed` where files of deleted ones stay, a
        ``DatabaseError``."""
        retention = await self._settings.value_of(RETENTION)
        after: str | None = "" if retention.least() else None
        while after is not None:
            found = await self._store.old(retention, after)
            for ident in found.due:
                await self._store.destroy(ident)
            after = found.last
        await self._clear()

    async def _clear(self) -> None:
        """Remove what is left of deleted recordings.

        Nobody can read what stays, as its key is gone; it is removed when its place is back.
        """
        why, count = dict[str, str](), 0
        async for one in self._gone():
            if one.store not in why:
                try:
                    await self._remove(one)
                except RecordingStoreFailed as error:
                    # Its place may be away: each of its recordings would be waited for.
                    why[one.store] = str(error)
                    self._failed.pop(one.id, None)
                    self._failed[one.id] = None
                else:
                    self._failed.pop(one.id, None)
                    continue
            count += 1
        if why:
            raise RecordingStoreFailed(f"files of deleted recordings stay, {count} of them: {'; '.join(why.values())}")

    async def _gone(self) -> AsyncIterator[Gone]:
        """All that are not cleared. Those that failed before come last: they alone may be what is wrong."""
        before, later, after = dict(self._failed), dict[str, Gone](), ""
        while found := await self._store.gone(after):
            for one in found:
                if one.id in before:
                    later[one.id] = one
                else:
                    yield one
            after = found[-1].id
        for ident in before:
            if ident in later:
                yield later[ident]
            else:
                self._failed.pop(ident, None)

    async def _remove(self, one: Gone) -> None:
        shelf = shelf_of(one.store, self._shelves)
        if shelf is not None:
            await shelf.remove(one.id)
        while await self._store.clear(one.id) == CHUNKS_AT_ONCE:
            pass
