"""Recording one channel as it happens.

Decides when what came is sealed and stored, and when its user may see it: ``strict`` shows nothing before it is
durable, ``bounded`` shows at once and lets at most :data:`HIGH_BYTES`, or about a second, be not yet durable; beyond
that no more is taken from the target. While the store takes nothing the channel stands still; after :data:`LOSS_S` the
recording is lost, and whoever began it is told.

What it does not promise: that a user who is shown something in ``bounded`` has it in the recording when this process
dies in that second.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from rppam.db.errors import DatabaseError
from rppam.kernel.actor import Actor
from rppam.recordings.errors import RecordingBroken, RecordingStoreFailed, RecordingTaken
from rppam.recordings.model import Chunk, Record, Recording, Sort, State, packed, sealed_chunk
from rppam.recordings.shelves import OnShelf
from rppam.recordings.store import SqlRecordings

log: Final = logging.getLogger("rppam.recordings")

FLUSH_S: Final = 0.1
FLUSH_BYTES: Final = 32 * 1024
CHUNK_BYTES: Final = 1024 * 1024
HIGH_BYTES: Final = 4 * 1024 * 1024
LOW_BYTES: Final = 1024 * 1024
TELL_S: Final = 10.0
TELL_BYTES: Final = 16 * 1024 * 1024
"""So often the ledger learns how far a recording has come."""
LOSS_S: Final = 10.0
_RETRY_S: Final = 0.25
_US: Final = 1_000_000


class Recorder:
    """See the module. Implements :class:`rppam.gateway.ports.Tape`."""

    def __init__(
        self,
        store: SqlRecordings | OnShelf,
        recording: Recording,
        key: bytes,
        actor: Actor,
        on_lost: Callable[[str], None],
        *,
        strict: bool,
        may_lose: bool = False,
        after_ms: int = 0,
    ) -> None:
        """``may_lose``: what cannot be recorded is shown all the same. ``after_ms``: how long nobody recorded it."""
        self._store, self._recording, self._key, self._actor = store, recording, key, actor
        self._on_lost, self._strict, self._may_lose = on_lost, strict, may_lose
        self._loop = asyncio.get_running_loop()
        self._last_us = int(self._loop.time() * _US) - after_ms * 1000
        self.kept, self._output = recording.output, 0
        """How many bytes of output are durable, of all that was ever recorded of this channel; those that wait."""
        self._on_kept: Callable[[int], None] | None = None
        self._pending: list[bytes] = []
        self._shows: list[Callable[[], None]] = []
        self._waiting = self._undurable = 0
        self._seq, self._head = recording.chunks, recording.head
        self._told_at, self._told_bytes = self._loop.time(), 0
        self._came = asyncio.Event()
        self._paused: Callable[[bool], None] | None = None
        self._is_paused = self._closing = False
        self._lost = ""
        """Why it goes on no more; empty: it does."""
        self._task = self._loop.create_task(self._run(), name="recording")

    @property
    def ident(self) -> str:
        """Of the recording."""
        return self._recording.id

    @property
    def missing(self) -> str:
        """Why something that came is not durable; empty: it is, or policy does without."""
        return "" if self._may_lose else self._lost

    def on_kept(self, kept: Callable[[int], None]) -> None:
        """Call ``kept`` with :attr:`kept` whenever that grows."""
        self._on_kept = kept

    def output(self, data: bytes, is_error: bool, show: Callable[[], None]) -> None:
        """What the target said; ``show`` is called when the user may see it."""
        if self._lost:
            if self._may_lose:
                show()
                self._tell_kept(len(data))
            return
        self._output += len(data)
        if data:
            self._add(Sort.ERROR if is_error else Sort.OUT, data)
        if self._strict and (self._pending or self._undurable):
            self._shows.append(show)
        else:
            show()

    def input(self, data: bytes) -> None:
        """What the user typed is not recorded: it may be a password."""

    def gap(self, count: int) -> None:
        """``count`` bytes of output were not recorded here, as policy allowed."""
        self._add(Sort.GAP, str(count).encode())
        self._output += count

    def resize(self, columns: int, rows: int) -> None:
        """The user's terminal has another size."""
        self._add(Sort.RESIZE, f"{columns}x{rows}".encode())

    def on_room(self, paused: Callable[[bool], None]) -> None:
        """Call ``paused`` as there is no room any more, and there is again."""
        self._paused = paused

    async def close(self, how: str) -> None:
        """Store what is left, and end the recording."""
        if not self._closing:
            self._closing = True
            self._add(Sort.EXIT, how.encode())
            self._came.set()
        await asyncio.shield(self._task)
        if not self._lost:
            ident, generation = self._recording.id, self._recording.generation
            await self._keep_trying(lambda: self._store.end(ident, State.DONE, how, self._actor, generation))
        shows, self._shows = self._shows, []
        for show in shows if self._may_lose or not self._lost else ():
            show()

    async def leave(self) -> None:
        """Store what has come, and leave the recording to whoever goes on with it."""
        self._closing = True
        self._came.set()
        await asyncio.shield(self._task)

    def _tell_kept(self, more: int) -> None:
        self.kept += more
        if self._on_kept is not None and more:
            self._on_kept(self.kept)

    def _add(self, sort: Sort, data: bytes) -> None:
        if self._lost:
            return
        now_us = int(self._loop.time() * _US)
        self._pending.append(packed(Record(max(0, now_us - self._last_us), sort, data)))
        self._last_us = now_us
        self._waiting += len(data) + 8
        if self._strict or self._waiting >= FLUSH_BYTES or len(self._pending) == 1:
            self._came.set()
        if self._waiting + self._undurable > HIGH_BYTES:
            self._pause(True)

    def _pause(self, on: bool) -> None:
        if on != self._is_paused and self._paused is not None:
            self._is_paused = on
            self._paused(on)

    async def _run(self) -> None:
        while not (self._closing and not self._pending):
            await self._came.wait()
            self._came.clear()
            if not self._pending:
                continue
            if not self._strict and self._waiting < FLUSH_BYTES and not self._closing:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._full(), FLUSH_S)
            try:
                if not await self._store_pending():
                    return
            except Exception as error:
                log.exception("the recording %s cannot be gone on with", self._recording.id)
                self._lose(f"something unforeseen happened ({type(error).__name__})")
                return

    async def _full(self) -> None:
        while self._waiting < FLUSH_BYTES and not self._closing:
            await self._came.wait()
            self._came.clear()

    async def _store_pending(self) -> bool:
        records, self._pending = self._pending, []
        shows, self._shows = self._shows, []
        size, self._waiting = self._waiting, 0
        output, self._output = self._output, 0
        self._undurable = size
        chunks = await asyncio.to_thread(self._sealed, records)
        now = self._loop.time()
        self._told_bytes += size
        tell = self._told_bytes >= TELL_BYTES or now - self._told_at >= TELL_S
        generation, durable = self._recording.generation, self.kept + output
        kept = await self._keep_trying(
            lambda: self._store.append(
                self._recording.id, chunks, size, self._actor, tell=tell, generation=generation, output=durable
            )
        )
        if not kept:
            if self._may_lose:
                self._tell_kept(output)
            return False
        if tell:
            self._told_at, self._told_bytes = now, 0
        self._seq, self._head, self._undurable = chunks[-1].seq, chunks[-1].hash, 0
        for show in shows:
            show()
        self._tell_kept(output)
        if self._waiting < LOW_BYTES:
            self._pause(False)
        if self._pending:
            self._came.set()
        return True

    def _sealed(self, records: Sequence[bytes]) -> list[Chunk]:
        """On a thread: the records as chunks of a bounded size."""
        found: list[Chunk] = []
        seq, head = self._seq, self._head
        start = size = 0
        for place, one in enumerate(records, 1):
            size += len(one)
            if size < CHUNK_BYTES and place < len(records):
                continue
            seq += 1
            chunk = sealed_chunk(
                self._key, secrets.token_bytes(12), self._recording.id, seq, head, b"".join(records[start:place])
            )
            found.append(chunk)
            head, start, size = chunk.hash, place, 0
        return found

    async def _keep_trying(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Whether it was done in time; else the recording is lost."""
        until = self._loop.time() + LOSS_S
        while True:
            try:
                await work()
            except (DatabaseError, RecordingStoreFailed) as error:
                self._pause(True)
                if self._loop.time() < until:
                    await asyncio.sleep(_RETRY_S)
                    continue
                why = str(error)
            except RecordingTaken as error:
                why, self._may_lose = str(error), False
            except RecordingBroken as error:
                why = str(error)
            else:
                return True
            self._lose(why)
            return False

    def _lose(self, why: str) -> None:
        self._lost = why or "it cannot be gone on with"
        log.error("the recording %s goes on here no more: %s", self._recording.id, why)
        if self._may_lose:
            self._pause(False)
        else:
            self._on_lost(why)
