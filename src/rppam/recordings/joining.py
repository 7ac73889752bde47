"""Join the objects of recordings that lie in a bucket and are over: a long session leaves thousands of small ones.

Decides what is joined, and when an object may go: once its chunks, which opened, were read back from another, and SQL
says that they lie there. From the beginning nobody writes the recording any more. Chunks are moved some at a time,
those of a piece in one transaction, so that a reader finds each of them in one of the two places, and whoever begins
anew after a crash makes the same pieces again. What was not joined is removed
last, and only then it is said that all is done.

What it does not promise: one object for all; a piece has at most :data:`PIECE_BYTES`. What does not open, or is not
there, is left as it lies, to be found by verifying.
"""

import asyncio
import logging
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from sqlalchemy import Connection, bindparam, select, update

from rppam.crypto.data_keys import DataKeys
from rppam.db.engine import rows_changed
from rppam.db.store import SqlStore, reads, writes
from rppam.recordings.bucket import JOINED, Bucket, Place
from rppam.recordings.errors import RecordingBroken, RecordingDeleted, RecordingStoreFailed
from rppam.recordings.model import Chunk, Recording, State, first_hash, opened_chunk
from rppam.recordings.service import key_of
from rppam.recordings.shelves import BUCKETS, Access, shelf_of
from rppam.recordings.store import SqlRecordings, row_of
from rppam.recordings.tables import recording_chunks, recordings

log: Final = logging.getLogger("rppam.recordings")
_R: Final = recordings.c
_C: Final = recording_chunks.c
_OVER: Final = (State.DONE.value, State.LOST.value)
PAGE: Final = 200
PIECE_BYTES: Final = 8 * 1024 * 1024
PIECE_CHUNKS: Final = 2_000
AGAIN_S: Final = 600.0
"""A recording that could not be joined is left alone for so long."""


class SqlJoining(SqlStore):
    """What SQL knows of it: the generation of a recording is 0 once it is joined, and below that until then."""

    @reads
    def due(self, connection: Connection, after: str) -> list[tuple[str, str]]:
        """Recordings behind ``after`` that are over and not joined, and where they lie."""
        wanted = select(_R.id, _R.store).where(
            _R.state.in_(_OVER), _R.generation != JOINED, _R.store.startswith(BUCKETS), _R.id > after
        )
        return [(row.id, row.store) for row in connection.execute(wanted.order_by(_R.id).limit(PAGE))]

    @writes
    def shut(self, connection: Connection, ident: str) -> None:
        """Have nobody write a recording that is over any more, not even a gateway that was away meanwhile."""
        mine = (_R.id == ident) & _R.state.in_(_OVER) & (_R.generation > 0)
        connection.execute(update(recordings).where(mine).values(generation=-_R.generation))

    @writes
    def move(self, connection: Connection, ident: str, old: Sequence[Chunk], new: Sequence[Chunk]) -> bool:
        """Say that chunks lie elsewhere, unless the recording was deleted; whether it was not."""
        if row_of(connection, ident, lock=True).state not in _OVER:
            return False
        mine = (_C.recording == ident) & (_C.seq == bindparam("number")) & (_C.sealed == bindparam("before"))
        values = [
            {"number": one.seq, "before": one.sealed, "after": other.sealed}
            for one, other in zip(old, new, strict=True)
        ]
        connection.execute(update(recording_chunks).where(mine).values(sealed=bindparam("after")), values)
        return True

    @writes
    def joined(self, connection: Connection, ident: str) -> bool:
        """Say that a recording is joined, unless it was deleted; whether it was not."""
        mine = (_R.id == ident) & _R.state.in_(_OVER)
        return bool(rows_changed(connection, update(recordings).where(mine).values(generation=JOINED)))


class Joining:
    """The leader's part."""

    def __init__(self, store: SqlJoining, tapes: SqlRecordings, keys: DataKeys, shelves: Access) -> None:
        self._store, self._tapes, self._keys, self._shelves = store, tapes, keys, shelves
        self._later: dict[str, float] = {}
        """Recordings that could not be joined, and when that is tried again."""
        self._said: dict[str, str] = {}
        """What the log says of each of them."""

    async def work(self, _epoch: int) -> None:
        """Join what is over. Raises a ``DatabaseError``."""
        now = asyncio.get_running_loop().time()
        self._later = {ident: at for ident, at in self._later.items() if at > now}
        failed, after = set[str](), ""
        while found := await self._store.due(after):
            for ident, store in found:
                if ident in self._later or store in failed:
                    continue
                try:
                    await self._join(ident)
                    self._said.pop(ident, None)
                except RecordingDeleted:
                    continue
                except (RecordingBroken, RecordingStoreFailed) as error:
                    # Its bucket is tried again in the next round, where this recording cannot be what is wrong.
                    failed.add(store)
                    self._leave(ident, now, str(error))
            after = found[-1][0]

    def _leave(self, ident: str, now: float, why: str) -> None:
        self._later[ident] = now + AGAIN_S
        if self._said.get(ident) != why:
            self._said[ident] = why
            log.warning("The objects of the recording %s are not joined for now: %s.", ident, why)

    async def _join(self, ident: str) -> None:
        await self._store.shut(ident)
        recording = await self._tapes.get(ident)
        bucket = shelf_of(recording.store, self._shelves)
        assert isinstance(bucket, Bucket)
        if await self._is_whole(recording):
            await self._store.joined(ident)
            return
        key = await key_of(self._keys, recording)
        seq, before = 0, first_hash(ident, recording.text)
        while rows := await self._tapes.chunks(ident, seq, PIECE_CHUNKS):
            done = list(takewhile(lambda one: Place.of(ident, one).generation == JOINED, rows))
            piece = done or _piece(ident, rows)
            if not done and not await self._moved(bucket, ident, key, before, piece):
                return
            seq, before = piece[-1].seq, piece[-1].hash
        await bucket.remove_unjoined(ident)
        await self._store.joined(ident)

    async def _is_whole(self, recording: Recording) -> bool:
        """Whether it lies in one object anyway, as most commands do, or nowhere."""
        rows = await self._tapes.chunks(recording.id, 0, PIECE_CHUNKS)
        objects = {Place.of(recording.id, one)[:2] for one in rows}
        return len(rows) < PIECE_CHUNKS and (not rows or (len(objects) == 1 and next(iter(objects))[0] != JOINED))

    async def _moved(self, bucket: Bucket, ident: str, key: bytes, before: str, piece: Sequence[Chunk]) -> bool:
        """Have a piece in one object; false where the recording was deleted meanwhile."""
        chunks = await bucket.get(ident, piece)
        await asyncio.to_thread(_open, key, ident, before, chunks)
        placed = await bucket.put(ident, JOINED, chunks)
        if await bucket.get(ident, placed) != chunks:
            raise RecordingStoreFailed(f"the bucket {bucket.place.url} does not have what was written to it")
        if await self._store.move(ident, piece, placed):
            return True
        await bucket.remove(ident)
        return False


def _piece(ident: str, rows: Sequence[Chunk]) -> list[Chunk]:
    """The first of those that are not joined, as many as make a piece."""
    size, piece = 0, list[Chunk]()
    for one in rows:
        place = Place.of(ident, one)
        size += place.size
        if place.generation == JOINED or (piece and size > PIECE_BYTES):
            break
        piece.append(one)
    return piece


def _open(key: bytes, ident: str, before: str, chunks: Sequence[Chunk]) -> None:
    """On a thread: see that chunks are what was recorded. Raises :class:`RecordingBroken`."""
    for one in chunks:
        opened_chunk(key, ident, before, one)
        before = one.hash
