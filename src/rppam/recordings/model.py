"""What a recording is made of. Pure.

Bytes are kept as they came, each with how long after the one before: a chunk is many such records, and is made small
(zstd), sealed and chained as one. ``h(n) = SHA-256(h(n-1) || recording || n || SHA-256(plain(n)))``, and ``h(0)`` is
the hash of the facts that the recording began with: so a chunk that is changed, missing, swapped or of another
recording shows.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, NamedTuple

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rppam.kernel.instant import WallMs
from rppam.recordings.errors import RecordingBroken

KEY_BYTES: Final = 32
_NONCE: Final = 12
_SMALL_MARK: Final = zstandard.MAGIC_NUMBER.to_bytes(4, "little")
"""What a chunk that was made smaller begins with: no record does, as its sort would be no letter."""
_SMALL_FROM: Final = 256
"""Fewer bytes are left as they are."""
_SMALL_LEVEL, _FAST_LEVEL = 1, -5
"""Of zstd: what a terminal shows is a third to a seventh by the first; what is long came fast, and the second keeps up
with it, at two fifths to a fifth."""
FAST_FROM: Final = 64 * 1024
"""So much at once came fast."""
_here: Final = threading.local()
PLAIN_MAX: Final = 64 * 1024 * 1024
"""More than any chunk has."""


class Sort(StrEnum):
    """What a record is."""

    OUT = "o"
    ERROR = "e"
    RESIZE = "r"
    EXIT = "x"
    GAP = "g"


class State(StrEnum):
    """How far a recording is."""

    LIVE = "live"
    DONE = "done"
    LOST = "lost"
    """Its end was not recorded."""
    DELETED = "deleted"
    """Its key was destroyed: what is left is that it was."""


class Record(NamedTuple):
    """One thing that happened."""

    after_us: int
    """After the record before."""
    sort: Sort
    data: bytes


class Facts(NamedTuple):
    """What a recording begins with."""

    session: str
    target: str
    account: str
    user: str
    kind: str
    title: str
    term: str
    columns: int
    rows: int
    node: str

    def text(self) -> str:
        """As it is kept and hashed."""
        return json.dumps(self._asdict(), sort_keys=True, separators=(",", ":"))


class Recording(NamedTuple):
    """A recording as SQL knows it."""

    id: str
    user_id: str
    facts: Facts
    text: str
    """The facts as they are hashed."""
    sealed_key: str
    state: State
    head: str
    chunks: int
    bytes: int
    started: WallMs
    changed: WallMs
    how: str
    generation: int = 1
    """How many gateways have written it, one after the other: only the last one may."""
    output: int = 0
    """Bytes of output that are in it."""
    store: str = "sql"
    """Where its chunks lie."""
    hold: str = ""
    """Why it is kept whatever its age; empty: it is not."""
    held_by: str = ""


class Chunk(NamedTuple):
    """A sealed chunk."""

    seq: int
    """From 1."""
    hash: str
    sealed: bytes


def facts_of(text: str) -> Facts:
    """The facts that a text holds."""
    found: dict[str, Any] = json.loads(text)
    return Facts(**found)


def packed(record: Record) -> bytes:
    """A record as it stands in a chunk."""
    return b"".join((_varint(record.after_us), record.sort.encode(), _varint(len(record.data)), record.data))


def unpacked(plain: bytes) -> Iterator[Record]:
    """The records of a chunk. Raises :class:`RecordingBroken`."""
    place = 0
    try:
        while place < len(plain):
            after_us, place = _read_varint(plain, place)
            sort = Sort(chr(plain[place]))
            size, place = _read_varint(plain, place + 1)
            data = plain[place : place + size]
            if len(data) < size:
                raise IndexError
            place += size
            yield Record(after_us, sort, data)
    except (IndexError, ValueError):
        raise RecordingBroken("a chunk of the recording cannot be read") from None


def first_hash(recording: str, facts: str) -> str:
    """Where the chain begins."""
    return hashlib.sha256(f"rppam recording {recording}\n{facts}".encode()).hexdigest()


def next_hash(before: str, recording: str, seq: int, plain: bytes) -> str:
    """The hash of chunk ``seq``, which follows the one with ``before``."""
    head = bytes.fromhex(before) + recording.encode() + seq.to_bytes(8, "big")
    return hashlib.sha256(head + hashlib.sha256(plain).digest()).hexdigest()


def sealed_chunk(key: bytes, nonce: bytes, recording: str, seq: int, before: str, plain: bytes) -> Chunk:
    """Chunk ``seq`` as it is kept."""
    sealed = AESGCM(key).encrypt(nonce, _smaller(plain), _bound(recording, seq, before))
    return Chunk(seq, next_hash(before, recording, seq, plain), nonce + sealed)


def opened_chunk(key: bytes, recording: str, before: str, chunk: Chunk) -> bytes:
    """What stands in a chunk. Raises :class:`RecordingBroken`."""
    try:
        kept = AESGCM(key).decrypt(chunk.sealed[:_NONCE], chunk.sealed[_NONCE:], _bound(recording, chunk.seq, before))
    except (InvalidTag, ValueError):
        raise RecordingBroken(f"chunk {chunk.seq} of the recording {recording} was changed") from None
    plain = _whole(kept)
    if plain is None:
        raise RecordingBroken(f"chunk {chunk.seq} of the recording {recording} cannot be unpacked")
    if next_hash(before, recording, chunk.seq, plain) != chunk.hash:
        raise RecordingBroken(f"the hash of chunk {chunk.seq} of the recording {recording} was changed")
    return plain


def _smaller(plain: bytes) -> bytes:
    """``plain``, made small where that is worth it."""
    if len(plain) < _SMALL_FROM:
        return plain
    small: bytes = _compressor(_FAST_LEVEL if len(plain) >= FAST_FROM else _SMALL_LEVEL).compress(plain)
    return small if len(small) < len(plain) else plain


def _compressor(level: int) -> zstandard.ZstdCompressor:
    """One of this thread, as none may be used by two at a time: its memory is as large as what it makes small."""
    found: zstandard.ZstdCompressor | None = getattr(_here, f"level{level}", None)
    if found is None:
        found = zstandard.ZstdCompressor(level=level)
        setattr(_here, f"level{level}", found)
    return found


def _whole(kept: bytes) -> bytes | None:
    """What :func:`_smaller` was given; ``None``: it cannot have made this."""
    if not kept.startswith(_SMALL_MARK):
        return kept
    try:
        if not 0 < zstandard.get_frame_parameters(kept).content_size <= PLAIN_MAX:
            return None
        return zstandard.ZstdDecompressor().decompress(kept)
    except zstandard.ZstdError:
        return None


def _bound(recording: str, seq: int, before: str) -> bytes:
    return f"rppam recording {recording} {seq} {before}".encode()


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, place
