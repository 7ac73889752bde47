"""Recordings in SQL: a row for each, and its chunks. A head goes into the ledger in the transaction of its chunk."""

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from rppam.db.engine import NowMs, insert_of, now_ms, rows_changed
from rppam.db.store import SqlStore, reads, writes
from rppam.kernel.actor import Actor
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.tables import audit_events
from rppam.recordings.errors import RecordingBroken, RecordingTaken, RecordingUnknown
from rppam.recordings.model import Chunk, Recording, State, facts_of
from rppam.recordings.tables import recording_chunks, recordings

_R: Final = recordings.c
_C: Final = recording_chunks.c
_UNKNOWN: Final = "no recording has this id"
# Made once: a fast channel is stored fifty times a second, beside what carries it.
_HELD: Final = select(_R.generation).where(_R.id == bindparam("ident")).with_for_update()
_ADDED: Final = {one: insert_of(one, recording_chunks).on_conflict_do_nothing() for one in ("sqlite", "postgresql")}
_GROWN: Final = (
    update(recordings)
    .where((_R.id == bindparam("ident")) & (_R.chunks < bindparam("to")))
    .values(
        head=bindparam("by"),
        chunks=bindparam("to"),
        bytes=_R.bytes + bindparam("more"),
        changed=NowMs(),
        output=bindparam("so_far"),
    )
)
_TELLING: Final = ("recording.start", "recording.head", "recording.end")
SWEEP_ROWS: Final = 200
LOST_MS: Final = 60_000
"""A live recording whose session is over, and of which nothing was heard for this long, is lost."""


class SqlRecordings(SqlStore):
    """See the module."""

    @writes
    def begin(self, connection: Connection, new: Recording, actor: Actor) -> None:
        """Begin a recording."""
        now = now_ms(connection)
        connection.execute(
            insert(recordings).values(
                id=new.id,
                session=new.facts.session,
                user_id=new.user_id,
                facts=new.text,
                sealed_key=new.sealed_key,
                state=State.LIVE.value,
                head=new.head,
                chunks=0,
                bytes=0,
                started=now,
                changed=now,
                how="",
                store=new.store,
            )
        )
        facts = {"session": new.facts.session, "kind": new.facts.kind, "head": new.head}
        record(connection, "recording.start", entity(new.id), details=facts, actor=actor)

    @writes
    def append(
        self,
        connection: Connection,
        ident: str,
        chunks: Sequence[Chunk],
        size: int,
        actor: Actor,
        *,
        tell: bool,
        generation: int,
        output: int,
    ) -> None:
        """Add chunks of ``size`` bytes, up to ``output`` bytes of output in all; with ``tell`` the ledger learns the
        head. Doing it twice does it once. Raises :class:`RecordingTaken`, and then nothing was added."""
        _check(connection.execute(_HELD, {"ident": ident}).one_or_none(), generation, ident)
        rows = [{"recording": ident, **chunk._asdict()} for chunk in chunks]
        made = rows_changed(connection, _ADDED[connection.dialect.name], rows)
        if made < len(chunks):
            for chunk in chunks:
                if _hash(connection, ident, chunk.seq) != chunk.hash:
                    raise RecordingBroken(f"chunk {chunk.seq} of the recording {ident} is somebody else's")
        last = chunks[-1]
        values = {"ident": ident, "to": last.seq, "by": last.hash, "more": size, "so_far": output}
        connection.execute(_GROWN, values)
        if tell:
            facts = {"chunks": last.seq, "head": last.hash}
            record(connection, "recording.head", entity(ident), details=facts, actor=actor)

    @writes
    def take(self, connection: Connection, ident: str, generation: int) -> tuple[Recording, int]:
        """Go on with a recording in another gateway: it as it is, and how many milliseconds nobody has written it.

        Nobody with a lower generation writes it from now on. Raises :class:`RecordingTaken` where somebody with as high
        a one has taken it, :class:`RecordingUnknown`.
        """
        mine = (_R.id == ident) & (_R.generation < generation) & (_R.state == State.LIVE.value)
        taken = connection.execute(update(recordings).where(mine).values(generation=generation))
        row = row_of(connection, ident)
        if not taken.rowcount:
            raise RecordingTaken(f"the recording {ident} is over, or another gateway goes on with it")
        return _recording(row), max(0, now_ms(connection) - row.changed)

    @writes
    def end(
        self, connection: Connection, ident: str, state: State, how: str, actor: Actor, generation: int | None = None
    ) -> None:
        """End a recording, and tell the ledger its head. With ``generation`` raises :class:`RecordingTaken`."""
        row = row_of(connection, ident, lock=True)
        if row.state != State.LIVE.value:
            return  # that was said before, and since then nobody has a generation
        if generation is not None:
            _check(row, generation, ident)
        connection.execute(
            update(recordings).where(_R.id == ident).values(state=state.value, how=how[:64], changed=NowMs())
        )
        facts = {"chunks": row.chunks, "head": row.head, "bytes": row.bytes, "exit": how[:64]}
        record(connection, "recording.end", entity(ident), details=facts, actor=actor)

    @writes
    def sweep(self, connection: Connection, over: Sequence[str]) -> int:
        """Say of live recordings that their end is lost: those of sessions ``over`` of which nothing was heard for a
        while; how many."""
        old = (_R.state == State.LIVE.value) & (_R.changed < NowMs() - LOST_MS) & _R.session.in_(over)
        rows = connection.execute(select(recordings).where(old).limit(SWEEP_ROWS)).all()
        for row in rows:
            connection.execute(update(recordings).where(_R.id == row.id).values(state=State.LOST.value, how="lost"))
            facts = {"chunks": row.chunks, "head": row.head, "bytes": row.bytes, "exit": "lost"}
            record(connection, "recording.end", entity(row.id), details=facts)
            record(connection, "recording.lose", entity(row.id), reason="it was heard of no more")
        return len(rows)

    @reads
    def unfinished(self, connection: Connection) -> list[str]:
        """Sessions with live recordings of which nothing was heard for a while."""
        old = (_R.state == State.LIVE.value) & (_R.changed < NowMs() - LOST_MS)
        return list(connection.execute(select(_R.session).where(old).distinct().limit(SWEEP_ROWS)).scalars())

    @writes
    def note(self, connection: Connection, action: str, ident: str, facts: dict[str, Any]) -> None:
        """Record what was done with a recording."""
        record(connection, action, entity(ident), details=facts)

    @reads
    def get(self, connection: Connection, ident: str) -> Recording:
        """Raises :class:`RecordingUnknown`."""
        return _recording(row_of(connection, ident))

    @reads
    def page(
        self, connection: Connection, user_id: str | None, session: str | None, after: str | None, count: int
    ) -> list[Recording]:
        """The newest first."""
        wanted = select(recordings).order_by(_R.id.desc()).limit(count)
        if user_id is not None:
            wanted = wanted.where(_R.user_id == user_id)
        if session is not None:
            wanted = wanted.where(_R.session == session)
        if after is not None:
            wanted = wanted.where(_R.id < after)
        return [_recording(row) for row in connection.execute(wanted)]

    @reads
    def chunks(self, connection: Connection, ident: str, after: int, count: int) -> list[Chunk]:
        """Chunks behind number ``after``, in order."""
        wanted = select(recording_chunks).where((_C.recording == ident) & (_C.seq > after)).order_by(_C.seq)
        return [Chunk(row.seq, row.hash, row.sealed) for row in connection.execute(wanted.limit(count))]

    @reads
    def told(self, connection: Connection, ident: str) -> list[tuple[int, str]]:
        """What the ledger has of a recording: numbers of chunks, and the hash of each."""
        mine = audit_events.c.object_kind == "recording", audit_events.c.object_id == ident
        bodies = connection.execute(select(audit_events.c.body).where(*mine, audit_events.c.action.in_(_TELLING)))
        details = [json.loads(row.body)["details"] for row in bodies]
        return [(int(one.get("chunks", 0)), str(one["head"])) for one in details]


def _hash(connection: Connection, ident: str, seq: int) -> str:
    mine = (_C.recording == ident) & (_C.seq == seq)
    found: str | None = connection.execute(select(_C.hash).where(mine)).scalar_one_or_none()
    return found or ""


def row_of(connection: Connection, ident: str, *, lock: bool = False) -> Row[Any]:
    """The row of a recording. Raises :class:`RecordingUnknown`."""
    wanted = select(recordings).where(_R.id == ident)
    row = connection.execute(wanted.with_for_update() if lock else wanted).one_or_none()
    if row is None:
        raise RecordingUnknown(_UNKNOWN)
    return row


def _check(row: Row[Any] | None, generation: int, ident: str) -> None:
    if row is None:
        raise RecordingUnknown(_UNKNOWN)
    if row.generation != generation:
        raise RecordingTaken(f"another gateway goes on with the recording {ident}, or it is over")


def entity(ident: str) -> Entity:
    """A recording, as the ledger names it."""
    return Entity("recording", ident)


def _recording(row: Row[Any]) -> Recording:
    return Recording(
        row.id,
        row.user_id,
        facts_of(row.facts),
        row.facts,
        row.sealed_key,
        State(row.state),
        row.head,
        row.chunks,
        row.bytes,
        WallMs(row.started),
        WallMs(row.changed),
        row.how,
        row.generation,
        row.output,
        row.store,
        row.hold,
        row.held_by,
    )
