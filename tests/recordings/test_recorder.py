"""A recorder and its store: one batch is sealed while another is stored, all in order, and a loss is told at once."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rppam.kernel.actor import Actor, ActorKind
from rppam.kernel.instant import WallMs
from rppam.recordings.errors import RecordingStoreFailed
from rppam.recordings.model import Chunk, Facts, Record, Recording, Sort, State, first_hash, opened_chunk, unpacked
from rppam.recordings.recorder import FLUSH_BYTES, HIGH_BYTES, Recorder

IDENT, KEY = "r1", bytes(32)
FACTS = Facts("s1", "web1", "root", "alice", "shell", "", "xterm", 80, 24, "node1")
PIECE = bytes(FLUSH_BYTES)


class Store:
    """Takes a batch when it is let, or fails."""

    def __init__(self) -> None:
        self.kept: list[Chunk] = []
        self.asked = 0
        self.open = asyncio.Event()
        self.trouble: Exception | None = None

    async def append(
        self, ident: str, chunks: Sequence[Chunk], size: int, actor: Actor, *, tell: bool, generation: int, output: int
    ) -> None:
        self.asked += 1
        await self.open.wait()
        if self.trouble is not None:
            raise self.trouble
        self.kept += chunks

    async def end(self, ident: str, state: State, how: str, actor: Actor, generation: int | None = None) -> None:
        pass

    def records(self) -> list[Record]:
        """All that was stored, by the chain."""
        head, found = first_hash(IDENT, FACTS.text()), list[Record]()
        for chunk in self.kept:
            found += unpacked(opened_chunk(KEY, IDENT, head, chunk))
            head = chunk.hash
        return found


class Session:
    """What a gateway does with a recorder."""

    def __init__(self, *, strict: bool = False, may_lose: bool = False) -> None:
        now = WallMs(0)
        head = first_hash(IDENT, FACTS.text())
        recording = Recording(IDENT, "u1", FACTS, FACTS.text(), "", State.LIVE, head, 0, 0, now, now, "")
        self.store, self.lost, self.shown = Store(), list[str](), list[bytes]()
        store: Any = self.store
        actor = Actor(ActorKind.NODE, "node1")
        self.tape = Recorder(store, recording, KEY, actor, self.lost.append, strict=strict, may_lose=may_lose)
        self.paused = False
        self.tape.on_room(self._pause)

    def _pause(self, on: bool) -> None:
        self.paused = on

    def says(self, data: bytes) -> None:
        self.tape.output(data, False, lambda: self.shown.append(data))


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # nothing of it sets an event
            await asyncio.sleep(0.005)


async def test_one_batch_is_sealed_while_another_is_stored_and_the_chain_holds() -> None:
    one = Session()
    one.says(PIECE + b"0")
    await until(lambda: one.store.asked)
    one.says(PIECE + b"1")
    await until(lambda: not one.tape._pending)
    one.says(PIECE + b"2")
    assert one.store.asked == 1, "the next one is sealed, and waits for the first"
    assert one.tape.kept == 0
    one.store.open.set()
    await one.tape.close("0")
    told = one.store.records()
    assert b"".join(record.data for record in told if record.sort is Sort.OUT) == b"".join(one.shown)
    assert [chunk.seq for chunk in one.store.kept] == list(range(1, len(one.store.kept) + 1))
    assert told[-1][1:] == (Sort.EXIT, b"0")
    assert one.tape.kept == 3 * (len(PIECE) + 1)


async def test_strict_shows_in_order_and_only_what_is_stored() -> None:
    one = Session(strict=True)
    pieces = [b"%d" % number for number in range(20)]
    for piece in pieces:
        one.says(piece)
        await asyncio.sleep(0)
    await until(lambda: one.store.asked)
    assert one.shown == []
    one.store.open.set()
    await until(lambda: one.shown == pieces)
    assert b"".join(record.data for record in one.store.records()) == b"".join(pieces)
    await one.tape.close("0")


async def test_no_more_is_taken_than_is_let() -> None:
    one = Session()
    while not one.paused:
        one.says(PIECE)
        await asyncio.sleep(0)
        assert len(one.shown) * len(PIECE) <= HIGH_BYTES + len(PIECE)
    one.store.open.set()
    await until(lambda: not one.paused)
    await one.tape.close("0")
    assert one.tape.kept == len(one.shown) * len(PIECE)


@pytest.mark.parametrize("strict", [False, True])
async def test_what_may_be_lost_is_shown_all_the_same_and_in_order(
    strict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rppam.recordings.recorder.LOSS_S", 0.1)
    one = Session(strict=strict, may_lose=True)
    pieces = [PIECE + b"%d" % number for number in range(6)]
    one.store.trouble = RecordingStoreFailed("full")
    for piece in pieces[:3]:
        one.says(piece)
        await asyncio.sleep(0.01)
    assert one.shown == ([] if strict else pieces[:3])
    one.store.open.set()
    await until(lambda: one.tape._lost)
    for piece in pieces[3:]:
        one.says(piece)
    assert one.shown == pieces
    assert (one.lost, one.paused, one.tape.missing) == ([], False, "")
    assert one.tape.kept == sum(map(len, pieces)), "nobody holds back what will never be recorded"
    await one.tape.close("0")
    assert one.shown == pieces


@pytest.mark.parametrize("trouble", [RecordingStoreFailed("full"), RuntimeError("unforeseen")])
async def test_a_loss_is_told_without_anything_more_coming(trouble: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rppam.recordings.recorder.LOSS_S", 0.1)
    one = Session(strict=True)
    one.store.trouble = trouble
    one.store.open.set()
    one.says(b"the last word")
    await until(lambda: one.lost)
    assert one.shown == []
    assert one.tape.missing
    await one.tape.close("0")
    assert (one.shown, one.store.kept) == ([], [])
