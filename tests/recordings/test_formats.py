"""Recordings as files, and what verifying finds."""

import json
import random
import re
import struct

import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, strategies as st

from rppam.kernel.instant import WallMs
from rppam.recordings.errors import RecordingBroken, RecordingFileBroken
from rppam.recordings.formats import Format, Writer, check_file
from rppam.recordings.model import (
    PLAIN_MAX,
    Chunk,
    Facts,
    Record,
    Recording,
    Sort,
    State,
    first_hash,
    next_hash,
    opened_chunk,
    packed,
    sealed_chunk,
    unpacked,
)

FACTS = Facts("s1", "web1", "root", "alice", "shell", "", "xterm", 80, 24, "node1")
KEY = bytes(range(32))
RECORDS = [
    [Record(1_000, Sort.OUT, "grü".encode()[:-1]), Record(2_000, Sort.OUT, "grü".encode()[-1:] + b"n\r\n")],
    [
        Record(3_000, Sort.RESIZE, b"100x30"),
        Record(0, Sort.ERROR, b"\xff\x1b[31mred\x1b[0m"),
        Record(5, Sort.EXIT, b"0"),
    ],
]


def recording() -> Recording:
    text, now = FACTS.text(), WallMs(1_700_000_000_000)
    return Recording("r1", "u1", FACTS, text, "", State.DONE, first_hash("r1", text), 2, 0, now, now, "0")


def chunks() -> list[Chunk]:
    found, before = [], recording().head
    for seq, records in enumerate(RECORDS, 1):
        found.append(sealed_chunk(KEY, bytes(12), "r1", seq, before, b"".join(map(packed, records))))
        before = found[-1].hash
    return found


def exported(form: Format) -> bytes:
    writer = Writer(form, recording())
    body = b"".join(writer.chunk(chunk, records) for chunk, records in zip(chunks(), RECORDS, strict=True))
    return writer.head() + body + writer.end() if form is not Format.CAST3 else _cast3()


def _cast3() -> bytes:
    writer = Writer(Format.CAST3, recording())
    parts = [writer.head()]
    parts += [writer.chunk(chunk, records) for chunk, records in zip(chunks(), RECORDS, strict=True)]
    return b"".join([*parts, writer.end()])


def as_text(shown: bytes) -> str:
    """What the text of a recording has of it."""
    writer, records = Writer(Format.TXT, recording()), [Record(0, Sort.OUT, shown)]
    return (writer.chunk(chunks()[0], records) + writer.end()).decode()


@given(st.text(st.sampled_from("\x1b\x9b\x9d\x90\x07\\[]PX^_m2J; a\x1c\x7f\t\n"), max_size=40))
def test_text_moves_no_cursor_whatever_was_shown(shown: str) -> None:
    assert not re.search(r"[^\t\n -~]", as_text(shown.encode()))


@pytest.mark.parametrize("shown", ["\x1b\x1b[m[2J", "\x1b\x1b[m]52;c;cm0gLXJm\x1b\x1b[m\\", "\x9b2J", "a\x1b"])
def test_what_is_left_when_an_escape_is_taken_out_is_none(shown: str) -> None:
    assert "\x1b" not in as_text(f"{shown} needle\n".encode())
    assert "\x9b" not in as_text(f"{shown} needle\n".encode())


def test_text_keeps_what_is_between_escapes() -> None:
    assert as_text(b"\x1b]0;title\x07a\x1b[31mred\x1b[0m\tb\x1bP1$r0m\x1b\\c\x1b(Bd\r\n") == "ared\tbcd\n"


def test_a_million_escapes_that_never_end_take_no_time_that_grows_with_their_square() -> None:
    """With a look for the end of each of them it would take hours, and a worker of a node with it."""
    assert "\x1b" not in as_text(b"\x1bP" * 500_000 + b"\n")


def test_records_come_back_as_they_were() -> None:
    before = recording().head
    for chunk, records in zip(chunks(), RECORDS, strict=True):
        assert list(unpacked(opened_chunk(KEY, "r1", before, chunk))) == records
        before = chunk.hash


def test_a_chunk_that_is_changed_swapped_or_of_another_recording_is_found() -> None:
    first, second = chunks()
    start = recording().head
    for recording_id, before, chunk in (
        ("r2", start, first),
        ("r1", start, second),
        ("r1", second.hash, first),
        ("r1", start, first._replace(seq=2)),
        ("r1", start, first._replace(hash=second.hash)),
        ("r1", start, first._replace(sealed=first.sealed[:-1] + bytes([first.sealed[-1] ^ 1]))),
    ):
        with pytest.raises(RecordingBroken):
            opened_chunk(KEY, recording_id, before, chunk)


SCREEN = b"".join(b"drwxr-xr-x 2 root root 4096 Mar  1 12:%02d lib%d.so\r\n" % (n % 60, n * n) for n in range(2_000))


@pytest.mark.parametrize("data", [b"", b"x" * 255, SCREEN, random.Random(7).randbytes(20_000)])
def test_what_is_kept_is_small_where_it_can_be_and_comes_back_whole(data: bytes) -> None:
    records = [Record(0x28, Sort.OUT, data), Record(1, Sort.EXIT, b"0")]
    plain = b"".join(map(packed, records))
    chunk = sealed_chunk(KEY, bytes(12), "r1", 1, "ab" * 32, plain)
    assert opened_chunk(KEY, "r1", "ab" * 32, chunk) == plain
    assert list(unpacked(plain)) == records
    assert len(chunk.sealed) <= len(plain) + 12 + 16
    if data is SCREEN:
        assert len(chunk.sealed) < len(plain) / 4


def kept(inside: bytes, plain: bytes) -> Chunk:
    """Chunk 1, as somebody else would have made it."""
    bound = f"rppam recording r1 1 {'ab' * 32}".encode()
    return Chunk(1, next_hash("ab" * 32, "r1", 1, plain), bytes(12) + AESGCM(KEY).encrypt(bytes(12), inside, bound))


def test_a_chunk_that_was_never_made_small_is_read_as_before() -> None:
    plain = packed(Record(3, Sort.OUT, SCREEN))
    assert opened_chunk(KEY, "r1", "ab" * 32, kept(plain, plain)) == plain


def test_a_chunk_that_cannot_be_unpacked_or_would_fill_the_memory_is_refused() -> None:
    small = zstandard.ZstdCompressor().compress(SCREEN)
    huge = zstandard.ZstdCompressor().compress(bytes(PLAIN_MAX + 1))
    untold = zstandard.ZstdCompressor(write_content_size=False).compress(SCREEN)
    for inside in (small[:-5], small[:4], small[:9] + b"?" + small[10:], huge, untold):
        with pytest.raises(RecordingBroken, match="chunk 1 of the recording r1"):
            opened_chunk(KEY, "r1", "ab" * 32, kept(inside, SCREEN))


def test_asciicast_3() -> None:
    lines = [line for line in exported(Format.CAST3).decode().splitlines() if not line.startswith("#")]
    head, *events = map(json.loads, lines)
    assert head["version"] == 3
    assert head["term"] == {"cols": 80, "rows": 24, "type": "xterm"}
    assert events[0][1:] == ["o", "gr"]
    assert events[1][1:] == ["o", "ün\r\n"]
    assert [event[1] for event in events] == ["o", "o", "r", "o", "x"]
    assert events[2][0] == pytest.approx(0.003)


def test_asciicast_2_has_absolute_times() -> None:
    head, *events = map(json.loads, exported(Format.CAST2).decode().splitlines())
    assert (head["version"], head["width"], head["height"]) == (2, 80, 24)
    assert [event[0] for event in events] == pytest.approx([0.001, 0.003, 0.006, 0.006])


def test_ttyrec_has_the_bytes() -> None:
    data, found = exported(Format.TTYREC), b""
    while data:
        _, _, size = struct.unpack("<III", data[:12])
        found, data = found + data[12 : 12 + size], data[12 + size :]
    assert found == "grün\r\n".encode() + b"\xff\x1b[31mred\x1b[0m"


def test_text_is_for_reading() -> None:
    assert exported(Format.TXT).decode() == "grün\n\ufffdred"


def test_an_exported_file_tells_of_itself_whether_it_was_changed() -> None:
    lines = exported(Format.CAST3).decode().splitlines(keepends=True)
    said = check_file(lines)
    assert (said.recording, said.chunks, said.head) == ("r1", 2, chunks()[-1].hash)
    for place in range(len(lines)):
        with pytest.raises(RecordingFileBroken):
            check_file(lines[:place] + lines[place + 1 :])
        with pytest.raises(RecordingFileBroken):
            check_file([*lines[:place], lines[place][:-2] + "7" + lines[place][-2:], *lines[place + 1 :]])
