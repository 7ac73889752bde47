"""Recordings: begin one for a channel, read one back, and see whether it is what was recorded."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, NamedTuple

from rppam.access.sessions.service import session_id
from rppam.crypto.data_keys import DataKeys
from rppam.db.clock import DatabaseClock
from rppam.db.errors import DatabaseError
from rppam.kernel.actor import Actor
from rppam.kernel.errors import RppamError
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.recordings.errors import (
    RecordingBroken,
    RecordingDeleted,
    RecordingStoreFailed,
    RecordingUnavailable,
)
from rppam.recordings.model import (
    KEY_BYTES,
    Chunk,
    Facts,
    Record,
    Recording,
    Sort,
    State,
    first_hash,
    opened_chunk,
    unpacked,
)
from rppam.recordings.policy import StorePolicy
from rppam.recordings.recorder import Recorder
from rppam.recordings.search import Finder, Hit
from rppam.recordings.shelves import Access, OnShelf, name_of, shelf_of
from rppam.recordings.store import SqlRecordings
from rppam.recordings.watchers import SqlWatchers

CHUNKS_AT_ONCE: Final = 8
WHOLE_BYTES: Final = 2 * 1024 * 1024
"""Who joins a session of no more than that is shown all of it, and so has its screen; of a longer one, what came since
its program cleared the screen, if that is no more."""
CLEARED: Final = re.compile(rb"\x1bc|\x1b\[[23]J|\x1b\[(?:1;1)?H\x1b\[0?J|\x1b\[\?(?:1049|47|1047)h")
JOINED_CHUNKS: Final = 500
"""So many of the last chunks a watcher who joins is shown at least, which is what led to the screen."""
LAST_CHUNKS: Final = 32
"""So many at once where a recording is read from its end."""
SEARCH_TELL_S: Final = 1.0
SEARCH_PAGE: Final = 100
LOOK_S: Final = 0.15
"""How often a watcher looks for more."""


class Verdict(NamedTuple):
    """What became of verifying a recording."""

    chunks: int
    bytes: int
    head: str
    problem: str
    """Empty: it is what was recorded."""


class Looked(NamedTuple):
    """A look through one recording."""

    recording: Recording
    hits: Sequence[Hit]
    """Since the last look."""
    lines: int
    """How many have the text so far: of those behind :data:`rppam.recordings.search.HITS_MAX` there is no hit."""
    problem: str
    """Why it could not be read to its end; empty: it was."""
    is_over: bool


class Recordings:
    """See the module."""

    def __init__(
        self,
        store: SqlRecordings,
        keys: DataKeys,
        clock: DatabaseClock,
        policy: Callable[[], StorePolicy],
        watchers: SqlWatchers,
        *,
        node: str,
        shelves: Access = Access(),  # noqa: B008 - it is a value
    ) -> None:
        self._store, self._keys, self._clock, self._node = store, keys, clock, node
        self._shelves = shelves
        self._policy, self.watchers = policy, watchers
        self._searching = asyncio.Semaphore(1)

    async def record(
        self, facts: Facts, user_id: str, actor: Actor, on_lost: Callable[[str], None], *, strict: bool, may_lose: bool
    ) -> Recorder:
        """A recorder for one channel. Raises :class:`RecordingUnavailable`."""
        ident, key = session_id(self._clock.wall_ms()), secrets.token_bytes(KEY_BYTES)
        facts = facts._replace(node=self._node)
        text = facts.text()
        try:
            sealed = await self._keys.seal(Secret(key.hex()), _place(ident))
            head = first_hash(ident, text)
            now = WallMs(0)
            new = Recording(
                ident, user_id, facts, text, sealed, State.LIVE, head, 0, 0, now, now, "", store=name_of(self._policy())
            )
            if (shelf := shelf_of(new.store, self._shelves)) is not None:
                await shelf.prepare(ident)
            await self._store.begin(new, actor)
        except (DatabaseError, RppamError) as error:
            raise RecordingUnavailable(f"this session cannot be recorded: {error}") from error
        return Recorder(self._writer(new), new, key, actor, on_lost, strict=strict, may_lose=may_lose)

    async def resume(
        self, ident: str, generation: int, actor: Actor, on_lost: Callable[[str], None], *, strict: bool, may_lose: bool
    ) -> Recorder:
        """A recorder that goes on with a recording that another gateway has begun, and writes no more.

        Raises :class:`RecordingUnavailable`.
        """
        try:
            found, after_ms = await self._store.take(ident, generation)
            key = await self._key(found)
        except (DatabaseError, RppamError) as error:
            raise RecordingUnavailable(f"this session cannot be recorded any further: {error}") from error
        writer = self._writer(found)
        return Recorder(writer, found, key, actor, on_lost, strict=strict, may_lose=may_lose, after_ms=after_ms)

    def _writer(self, recording: Recording) -> SqlRecordings | OnShelf:
        shelf = shelf_of(recording.store, self._shelves)
        return self._store if shelf is None else OnShelf(self._store, shelf)

    async def _chunks(self, recording: Recording, after: int, count: int) -> list[Chunk]:
        """As :meth:`SqlRecordings.chunks`, wherever they lie. Raises
        :class:`~rppam.recordings.errors.RecordingStoreFailed`."""
        found = await self._store.chunks(recording.id, after, count)
        shelf = shelf_of(recording.store, self._shelves)
        while shelf is not None and found:
            try:
                return await shelf.get(recording.id, found)
            except RecordingStoreFailed:
                again = await self._store.chunks(recording.id, after, len(found))
                if again == found:
                    raise
                found = again  # they were moved meanwhile, as each is once: what is over is joined
        return found

    async def _key(self, recording: Recording) -> bytes:
        """Of its chunks. Raises :class:`RecordingDeleted`."""
        return await key_of(self._keys, recording)

    async def get(self, ident: str) -> Recording:
        """Raises :class:`~rppam.recordings.errors.RecordingUnknown`."""
        return await self._store.get(ident)

    async def page(
        self, user_id: str | None, session: str | None, after: str | None, count: int
    ) -> tuple[list[Recording], str | None]:
        """Recordings, the newest first, and where the next page begins."""
        found = await self._store.page(user_id, session, after, count + 1)
        return (found, None) if len(found) <= count else (found[:count], found[count - 1].id)

    async def chunks(self, recording: Recording) -> AsyncIterator[tuple[Chunk, list[Record]]]:
        """Its chunks in order, opened and compared with the chain. Raises :class:`RecordingBroken`."""
        key = await self._key(recording)
        before, seq = first_hash(recording.id, recording.text), 0
        while found := await self._chunks(recording, seq, CHUNKS_AT_ONCE):
            for chunk in found:
                seq += 1
                if chunk.seq != seq:
                    raise RecordingBroken(f"chunk {seq} of the recording {recording.id} is missing")
                plain = opened_chunk(key, recording.id, before, chunk)
                before = chunk.hash
                yield chunk, list(unpacked(plain))
            if seq >= recording.chunks:
                break
        if seq < recording.chunks or (seq == recording.chunks and before != recording.head):
            raise RecordingBroken(f"the recording {recording.id} ends with chunk {seq}, not as its row says")

    async def follow(self, recording: Recording) -> AsyncIterator[list[Record]]:
        """What is on its screen, and then what comes, until it ends; empty where nothing came for a moment.

        It reads what is durable, so any node can, and the session does not wait for it. Of a long session it begins
        where its program cleared the screen; what set the terminal up before that is not shown again.
        Raises :class:`RecordingBroken`.
        """
        key = await self._key(recording)
        seq, before = await self._join_at(recording, key)
        while True:
            state = (await self._store.get(recording.id)).state
            found = await self._chunks(recording, seq, CHUNKS_AT_ONCE)
            for chunk in found:
                plain = opened_chunk(key, recording.id, before, chunk)
                seq, before = chunk.seq, chunk.hash
                yield list(unpacked(plain))
            if not found:
                if state is not State.LIVE:
                    return
                await asyncio.sleep(LOOK_S)
                yield []

    async def last(self, ident: str, count: int) -> bytes:
        """The last ``count`` bytes of output, or fewer: none from before a gap or of more than
        :data:`JOINED_CHUNKS`. Raises :class:`RecordingBroken`."""
        recording = await self._store.get(ident)
        key = await self._key(recording)
        found, has_gap = b"", False
        async for first, _, records in self._backwards(recording, key):
            part = bytearray()
            for record in records:
                if record.sort is Sort.GAP:
                    part, has_gap = bytearray(), True
                elif record.sort is Sort.OUT:
                    part += record.data
            found = bytes(part) + found
            if has_gap or len(found) >= count or recording.chunks - first >= JOINED_CHUNKS:
                break
        return found[max(0, len(found) - count) :]

    async def _join_at(self, recording: Recording, key: bytes) -> tuple[int, str]:
        """The number of the chunk behind which who joins is shown everything, and its hash."""
        start, size = (0, first_hash(recording.id, recording.text)), 0
        if recording.bytes <= WHOLE_BYTES:
            return start
        async for first, before, records in self._backwards(recording, key):
            start, size = (first, before), size + sum(len(one.data) for one in records)
            is_clear = any(CLEARED.search(one.data) for one in records if one.sort is Sort.OUT)
            if recording.chunks - first >= JOINED_CHUNKS and (is_clear or size >= WHOLE_BYTES):
                break
        return start

    async def _backwards(self, recording: Recording, key: bytes) -> AsyncIterator[tuple[int, str, list[Record]]]:
        """Its chunks from the last on, some at once: behind which number they are, its hash, and what stands in them.

        Raises :class:`RecordingBroken`.
        """
        upto = recording.chunks
        while upto > 0:
            first = max(0, upto - LAST_CHUNKS)
            start = max(0, first - 1)
            chunks = await self._chunks(recording, start, upto - start)
            if [one.seq for one in chunks] != list(range(start + 1, upto + 1)):
                raise RecordingBroken(f"a chunk of the recording {recording.id} is missing")
            before = chunks.pop(0).hash if first else first_hash(recording.id, recording.text)
            records, at = list[Record](), before
            for chunk in chunks:
                records += unpacked(opened_chunk(key, recording.id, at, chunk))
                at = chunk.hash
            yield first, before, records
            upto = first

    async def search(
        self, text: str, *, user_id: str | None, session: str | None, wants: Callable[[Facts], bool]
    ) -> AsyncIterator[Looked]:
        """Look for a text in recordings, the newest first; what was found in each so far at least once a second.

        One search at a time in a process: it opens and decodes all that it looks through.
        """
        async with self._searching:
            after: str | None = ""
            while after is not None:
                found, after = await self.page(user_id, session, after or None, SEARCH_PAGE)
                for recording in found:
                    if recording.state is not State.DELETED and wants(recording.facts):
                        async for looked in self._searched(recording, text):
                            yield looked

    async def _searched(self, recording: Recording, text: str) -> AsyncIterator[Looked]:
        loop, finder, problem = asyncio.get_running_loop(), Finder(recording, text), ""
        hits, said_s = list[Hit](), loop.time()
        try:
            async for chunk, records in self.chunks(recording):
                # A megabyte of text would hold the loop, and with it everybody's requests.
                hits += await asyncio.to_thread(finder.chunk, chunk, records)
                if loop.time() - said_s >= SEARCH_TELL_S:
                    yield Looked(recording, hits, finder.found, "", is_over=False)
                    hits, said_s = [], loop.time()
        except (RecordingBroken, RecordingDeleted, RecordingStoreFailed) as error:
            problem = str(error)
        yield Looked(recording, [*hits, *finder.end()], finder.found, problem, is_over=True)

    async def verify(self, ident: str, told: Sequence[tuple[int, str]]) -> Verdict:
        """Open everything, and compare it with what the ledger was ``told``: numbers of chunks and their hashes."""
        recording = await self._store.get(ident)
        known = {0: first_hash(ident, recording.text)}
        size, head = 0, known[0]
        try:
            async for chunk, records in self.chunks(recording):
                known[chunk.seq] = head = chunk.hash
                size += sum(len(record.data) for record in records)
            for number, hashed in told:
                if known.get(number) != hashed:
                    raise RecordingBroken(f"the ledger has another hash of chunk {number} of the recording {ident}")
        except (RecordingBroken, RecordingStoreFailed) as error:
            return Verdict(len(known) - 1, size, head, str(error))
        return Verdict(len(known) - 1, size, head, "")


async def key_of(keys: DataKeys, recording: Recording) -> bytes:
    """The key of a recording's chunks. Raises :class:`RecordingDeleted`."""
    if recording.state is State.DELETED:
        raise RecordingDeleted(f"the recording {recording.id} was deleted, as its time was over")
    return bytes.fromhex((await keys.unseal(recording.sealed_key, _place(recording.id))).reveal())


def _place(ident: str) -> str:
    return f"the recording {ident}"
