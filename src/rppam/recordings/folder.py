"""Chunks of recordings in a folder: one file for each part of a recording, which is what one gateway has written of it.

A chunk is written behind those before, and forced to the disk, before SQL learns of it; SQL has its hash and where it
lies. So what a crash or a full disk leaves at the end of a file is nothing that anybody refers to, and a gateway that
was away writes to a file of its own that nobody reads on in. A folder that is not there is not made: it may be a share
that is not mounted, and what is written then would be missed later. A folder that does not answer in time is as good as
none: the recording is lost, and what becomes of its session is said by the policy.
"""

import asyncio
import contextlib
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from rppam.recordings.errors import RecordingStoreFailed
from rppam.recordings.model import Chunk

T = TypeVar("T")
ANSWER_S: Final = 10.0
_THREADS: Final = 8
_PLACE: Final = struct.Struct(">IQI")
_threads: Final = ThreadPoolExecutor(_THREADS, "recordings")
"""A folder that hangs keeps nobody else waiting."""


class Place(NamedTuple):
    """Where a chunk lies."""

    generation: int
    """Whose part it is in."""
    offset: int
    size: int

    def packed(self) -> bytes:
        """As SQL has it."""
        return _PLACE.pack(*self)


class Folder:
    """See the module."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_stuck = False

    async def prepare(self, ident: str) -> None:
        """Have a place for the parts of a recording. Raises :class:`RecordingStoreFailed`."""
        await self._soon(lambda: self._made(ident))

    async def try_out(self) -> None:
        """See whether something could be written; nothing stays. Raises :class:`RecordingStoreFailed`."""
        await self._soon(self.tried)

    async def put(self, ident: str, generation: int, chunks: Sequence[Chunk]) -> list[Chunk]:
        """Chunks that lie in the folder from then on, with their places. Raises :class:`RecordingStoreFailed`."""
        return await self._soon(lambda: self._written(ident, generation, chunks))

    async def get(self, ident: str, chunks: Sequence[Chunk]) -> list[Chunk]:
        """The chunks of these places. Raises :class:`RecordingStoreFailed`."""
        return await self._soon(lambda: [self._read(ident, one) for one in chunks])

    async def remove(self, ident: str) -> None:
        """Remove all parts of a recording. Raises :class:`RecordingStoreFailed`."""
        await self._soon(lambda: self._removed(ident))

    async def _soon(self, work: Callable[[], T]) -> T:
        if self._is_stuck:
            raise RecordingStoreFailed(f"the folder {self.path} has not answered")
        try:
            async with asyncio.timeout(ANSWER_S):
                return await asyncio.get_running_loop().run_in_executor(_threads, work)
        except TimeoutError:
            # What hangs there may still be written; another try beside it would not know where.
            self._is_stuck = True
            raise RecordingStoreFailed(f"the folder {self.path} did not answer within {ANSWER_S:g} s") from None
        except OSError as error:
            raise RecordingStoreFailed(f"the folder {self.path}: {error.strerror or error}") from None

    def tried(self) -> None:
        """The same, on a thread of the caller's; may take as long as the file system does. Raises OSError as well."""
        self._check_there()
        with tempfile.TemporaryFile(dir=self.path, prefix=".rppam-trial-") as file:
            file.write(b"trial")
            file.flush()
            os.fsync(file.fileno())

    def _check_there(self) -> None:
        if not self.path.is_dir():
            raise RecordingStoreFailed(f"the folder {self.path} is not there: is the share mounted on this node?")

    def _made(self, ident: str) -> None:
        self._check_there()
        (self.path / ident).mkdir(mode=0o700, exist_ok=True)
        _forced(self.path)

    def _written(self, ident: str, generation: int, chunks: Sequence[Chunk]) -> list[Chunk]:
        if not (self.path / ident).is_dir():
            self._made(ident)
        file = self._part(ident, generation)
        is_new = not file.exists()
        data = b"".join(chunk.sealed for chunk in chunks)
        with open(file, "ab", opener=_private) as part:
            start = part.tell()
            try:
                part.write(data)
                part.flush()
                os.fsync(part.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    part.truncate(start)
                raise
        if is_new:
            _forced(file.parent)
        placed = []
        for chunk in chunks:
            placed.append(chunk._replace(sealed=Place(generation, start, len(chunk.sealed)).packed()))
            start += len(chunk.sealed)
        return placed

    def _removed(self, ident: str) -> None:
        self._check_there()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path / ident)

    def _read(self, ident: str, chunk: Chunk) -> Chunk:
        try:
            place = Place(*_PLACE.unpack(chunk.sealed))
        except struct.error:
            raise RecordingStoreFailed(f"where chunk {chunk.seq} of the recording {ident} lies was changed") from None
        file = self._part(ident, place.generation)
        try:
            with file.open("rb") as part:
                part.seek(place.offset)
                return chunk._replace(sealed=part.read(place.size))
        except FileNotFoundError:
            raise RecordingStoreFailed(f"{file} is not there: it may lie on another node's disk") from None

    def _part(self, ident: str, generation: int) -> Path:
        return self.path / ident / f"{generation}.part"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _forced(folder: Path) -> None:
    """Have what was made in a folder be there after a crash."""
    if sys.platform == "win32":
        return
    plug = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(plug)
    finally:
        os.close(plug)
