"""Recording one channel as it happens.

Decides when what came is sealed and stored, and when its user may see it: ``strict`` shows nothing before it is
durable, ``bounded`` shows at once and lets at most :data:`HIGH_BYTES`, or about a second, be not yet durable; beyond
that no more is taken from the target. While the store takes nothing the channel stands still; after :data:`LOSS_S` the
recording is lost, and whoever began it is told. While one batch is stored the next one is sealed.

What it does not promise: that a user who is shown something in ``bounded`` has it in the recording when this process
dies in that second.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from rppam.db.errors import DatabaseError
from rppam.kernel.actor import Actor
from rppam.recordings.errors import RecordingBroken, RecordingStoreFailed, RecordingTaken
from rppam.recordings.model import FAST_FROM, Chunk, Record, Recording, Sort, State, packed, sealed_chunk
from rppam.recordings.shelves import OnShelf
from rppam.recordings.store import SqlRecordings

log: Final = logging.getLogger("rppam.recordings")

FLUSH_S: Final = 0.1
FLUSH_BYTES: Final = 2 * 1024 * 1024
CHUNK_BYTES: Final = 1024 * 1024
HIGH_BYTES: Final = 8 * 1024 * 1024
LOW_BYTES: Final = 6 * 1024 * 1024
TELL_S: Final = 10.0
TELL_BYTES: Final = 16 * 1024 * 1024
"""So often the ledger learns how far a recording has come."""
LOSS_S: Final = 10.0
_RETRY_S: Final = 0.25
_US: Final = 1_000_000
_BEHIND_NICE: Final = 5


def _stand_behind() -> None:
    """Have this thread run with a lower priority than those of the same process; on Linux each thread has its own."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BEHIND_NICE)


_BEHIND: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="seal", initializer=_stand_behind)
_NOT_ON: Final = "the recording %s cannot be gone on with"


class Batch(NamedTuple):
    """What is stored at once."""

    chunks: Sequence[Chunk]
    size: int
    output: int
    """How many bytes of output are durable with it, of all that was ever recorded of this channel."""
    shows: int
    """How many of those that wait to be shown may be shown with it, of all that ever waited."""


class Shows:
    """What waits to be shown, in the order it came."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self.asked = 0
        """How many ever waited."""

    def add(self, show: Callable[[], None]) -> None:
        """Have one more wait."""
        self._waiting.append(show)
        self.asked += 1

    def show(self, upto: int | None = None) -> None:
        """Show the first ``upto`` of all that ever waited, or all, but those that were shown before."""
        until = self.asked if upto is None else upto
        while self._waiting and self.asked - len(self._waiting) < until:
            self._waiting.popleft()()


class Sealer:
    """Makes chunks of records, each bound to the one before."""

    def __init__(self, recording: Recording, key: bytes) -> None:
        self._ident, self._key = recording.id, key
        self._seq, self._head = recording.chunks, recording.head

    def sealed(self, records: Sequence[bytes]) -> list[Chunk]:
        """The records as chunks of a bounded size. Runs on a thread, one call after the other."""
        found: list[Chunk] = []
        start = size = 0
        for place, one in enumerate(records, 1):
            size += len(one)
            if size < CHUNK_BYTES and place < len(records):
                continue
            plain = b"".join(records[start:place])
            self._seq += 1
            chunk = sealed_chunk(self._key, secrets.token_bytes(12), self._ident, self._seq, self._head, plain)
            found.append(chunk)
            self._head, start, size = chunk.hash, place, 0
        return found


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
        self._store, self._recording, self._actor = store, recording, actor
        self._sealer = Sealer(recording, key)
        self._on_lost, self._strict, self._may_lose = on_lost, strict, may_lose
        self._loop = asyncio.get_running_loop()
        self._last_us = int(self._loop.time() * _US) - after_ms * 1000
        self.kept = self._heard = recording.output
        """How many bytes of output are durable, of all that was ever recorded of this channel; how many have come."""
        self._on_kept: Callable[[int], None] | None = None
        self._pending: list[bytes] = []
        self._shows = Shows()
        self._waiting = self._undurable = 0
        self._told_at, self._told_bytes = self._loop.time(), 0
        self._came = asyncio.Event()
        self._paused: Callable[[bool], None] | None = None
        self._is_paused = self._closing = False
        self._lost = ""
        """Why it goes on no more; empty: it does."""
        self._storing: asyncio.Task[bool] | None = None
        """Of the batch that was sealed last: whether it is stored."""
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
                self._heard += len(data)
                self._tell_kept(self._heard)
            return
        self._heard += len(data)
        if data:
            self._add(Sort.ERROR if is_error else Sort.OUT, data)
        if self._strict and (self._pending or self._undurable):
            self._shows.add(show)
        else:
            show()

    def input(self, data: bytes) -> None:
        """What the user typed is not recorded: it may be a password."""

    def gap(self, count: int) -> None:
        """``count`` bytes of output were not recorded here, as policy allowed."""
        self._add(Sort.GAP, str(count).encode())
        self._heard += count

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
        if self._may_lose or not self._lost:
            self._shows.show()

    async def leave(self) -> None:
        """Store what has come, and leave the recording to whoever goes on with it."""
        self._closing = True
        self._came.set()
        await asyncio.shield(self._task)

    def _tell_kept(self, kept: int) -> None:
        if kept > self.kept:
            self.kept = kept
            if self._on_kept is not None:
                self._on_kept(kept)

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
        try:
            while not (self._closing and not self._pending):
                await self._came.wait()
                self._came.clear()
                if not self._pending:
                    continue
                if not self._strict and self._waiting < FLUSH_BYTES and not self._closing:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._full(), FLUSH_S)
                batch = await self._sealed_batch()
                if not await self._is_stored():
                    return
                self._storing = self._loop.create_task(self._store_batch(batch), name="storing a recording")
            await self._is_stored()
        except Exception as error:
            log.exception(_NOT_ON, self._recording.id)
            self._lose(_unforeseen(error))

    async def _full(self) -> None:
        while self._waiting < FLUSH_BYTES and not self._closing:
            await self._came.wait()
            self._came.clear()

    async def _sealed_batch(self) -> Batch:
        """All that has come."""
        records, self._pending = self._pending, []
        size, self._waiting = self._waiting, 0
        self._undurable += size
        heard, asked = self._heard, self._shows.asked
        # What came fast has no user who waits for it, and does not take processors from those who do.
        threads = _BEHIND if size >= FAST_FROM else None
        chunks = await self._loop.run_in_executor(threads, self._sealer.sealed, records)
        return Batch(chunks, size, heard, asked)

    async def _is_stored(self) -> bool:
        """Wait for the batch that was sealed before; whether the recording goes on."""
        task, self._storing = self._storing, None
        return task is None or await task

    async def _store_batch(self, batch: Batch) -> bool:
        now = self._loop.time()
        self._told_bytes += batch.size
        tell = self._told_bytes >= TELL_BYTES or now - self._told_at >= TELL_S
        ident, generation = self._recording.id, self._recording.generation
        try:
            kept = await self._keep_trying(
                lambda: self._store.append(
                    ident, batch.chunks, batch.size, self._actor, tell=tell, generation=generation, output=batch.output
                )
            )
        except Exception as error:
            log.exception(_NOT_ON, self._recording.id)
            self._lose(_unforeseen(error))
            return False
        if not kept:
            return False
        if tell:
            self._told_at, self._told_bytes = now, 0
        self._undurable -= batch.size
        self._shows.show(batch.shows)
        self._tell_kept(batch.output)
        if self._waiting + self._undurable < LOW_BYTES:
            self._pause(False)
        return True

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
            self._shows.show()
            self._tell_kept(self._heard)
            self._pause(False)
        else:
            self._on_lost(why)


def _unforeseen(error: Exception) -> str:
    return f"something unforeseen happened ({type(error).__name__})"
