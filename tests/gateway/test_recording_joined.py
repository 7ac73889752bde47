"""The objects of a recording in a bucket are joined once it is over, and nothing is lost whatever interrupts that."""

import asyncio
import os
import random
from typing import Any

import pytest
from sqlalchemy import select, update

from rppam.cluster.link.data_keys import data_keys_of
from rppam.db.errors import DatabaseBusy
from rppam.kernel.actor import NODE
from rppam.recordings import joining
from rppam.recordings.bucket import Bucket
from rppam.recordings.errors import RecordingTaken
from rppam.recordings.joining import Joining, SqlJoining
from rppam.recordings.model import Chunk, Facts, Sort, State
from rppam.recordings.recorder import Recorder
from rppam.recordings.service import Recordings
from rppam.recordings.shelves import access_of
from rppam.recordings.store import SqlRecordings
from rppam.recordings.tables import recordings
from tests.gateway import test_recording_bucket
from tests.gateway.test_recorded import URL
from tests.gateway.test_recording_retention import aged, ended, left
from tests.support.s3_server import BUCKET, S3Server
from tests.support.served import Served

s3, served, policy, stored = (
    test_recording_bucket.s3, test_recording_bucket.served, test_recording_bucket.policy, test_recording_bucket.stored,
)  # fmt: skip
pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("stored")]


async def begun(served: Served, *said: bytes) -> Recorder:
    """A recording of a chunk for each thing that was said, which goes on."""
    facts = Facts("01234567-89ab", "web1", "root", "alice", "shell", "", "xterm", 80, 24, "")
    recorder = await served.services.get(Recordings).record(
        facts, "id-of-alice", NODE, lambda _: None, strict=True, may_lose=False
    )
    for data in said:
        is_kept = asyncio.Event()
        recorder.output(data, False, is_kept.set)  # strict: it is shown once it is durable
        await asyncio.wait_for(is_kept.wait(), 20)
    return recorder


async def made(served: Served, *said: bytes) -> str:
    recorder = await begun(served, *said)
    await recorder.close("0")
    return recorder.ident


def lines(count: int) -> list[bytes]:
    return [f"line {number}\n".encode() for number in range(count)]


def leader(served: Served) -> Joining:
    store, keys = SqlRecordings(served.database), data_keys_of(served.base.config, served.database)
    return Joining(SqlJoining(served.database), store, keys, access_of(served.base.config.access, served.base.clock))


def objects(s3: S3Server, ident: str) -> list[str]:
    return [name.removeprefix(f"main/{ident}/") for name in s3.names() if name.startswith(f"main/{ident}/")]


async def said(served: Served, ident: str) -> bytes:
    """What is read back, and that it verifies."""
    answer = await served.http.post(f"{URL}/{ident}/verify", headers=served.bearer())
    assert answer.json()["ok"], answer.text
    tapes = served.services.get(Recordings)
    found = [one async for _, records in tapes.chunks(await tapes.get(ident)) for one in records]
    return b"".join(one.data for one in found if one.sort is Sort.OUT)


async def generation(served: Served, ident: str) -> int:
    wanted = select(recordings.c.generation).where(recordings.c.id == ident)
    return await served.database.read(lambda connection: int(connection.execute(wanted).scalar_one()))


async def test_many_objects_become_one_and_read_back_the_same(served: Served, s3: S3Server) -> None:
    ident = await made(served, *lines(40))
    before = objects(s3, ident)
    assert len(before) == 42, "one for each chunk, that of its end, and the first"
    export = f"{URL}/{ident}/export?format=cast3"
    whole = (await served.http.get(export, headers=served.bearer())).content
    live = await begun(served, *lines(3))
    await leader(served).work(7)
    assert objects(s3, ident) == ["0/0000000001"]
    assert len(objects(s3, live.ident)) == 4, "what goes on is left alone"
    assert await said(served, ident) == b"".join(lines(40))
    assert (await served.http.get(export, headers=served.bearer())).content == whole
    sealed = s3.body(f"main/{ident}/0/0000000001")
    s3.client().put_object(Bucket=BUCKET, Key=f"main/{ident}/0/0000000001", Body=sealed[:-4] + b"\0\0\0\0")
    answer = (await served.http.post(f"{URL}/{ident}/verify", headers=served.bearer())).json()
    assert (answer["ok"], "chunk 41" in answer["problem"]) == (False, True), "it is the chunk that was changed"
    await live.close("0")
    await leader(served).work(7)
    assert objects(s3, live.ident) == ["0/0000000001"]


async def test_what_lies_in_one_object_is_left_there_and_nobody_looks_again(
    served: Served, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = await begun(served)
    recorder.output(b"all at once\n", False, lambda: None)
    await recorder.close("0")
    several = await made(served, *lines(2))
    before = objects(s3, recorder.ident)
    assert len(before) == 2
    await leader(served).work(7)
    asked = list[str]()
    real = Bucket._asked

    def noted(one: Bucket, *words: Any, **more: Any) -> Any:
        asked.append(words[0])
        return real(one, *words, **more)

    monkeypatch.setattr(Bucket, "_asked", noted)
    await leader(served).work(7)
    assert (objects(s3, recorder.ident), asked) == (before, [])
    assert await generation(served, recorder.ident) == await generation(served, several) == 0


async def test_a_piece_is_read_in_part(served: Served, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    data = [os.urandom(20_000) for _ in range(24)]
    ident = await made(served, *data)
    await leader(served).work(7)
    assert objects(s3, ident) == ["0/0000000001"]
    sizes = list[int]()
    real = Bucket._asked

    def counted(one: Bucket, *words: Any, **more: Any) -> Any:
        answer = real(one, *words, **more)
        sizes.append(len(answer.body))
        return answer

    monkeypatch.setattr(Bucket, "_asked", counted)
    tapes = served.services.get(Recordings)
    found = [one.data async for _, records in tapes.chunks(await tapes.get(ident)) for one in records]
    assert found[:24] == data
    assert len(sizes) == 4, "eight chunks at a time"
    assert sum(sizes) < 24 * 21_000, "each byte once"


async def test_a_long_one_is_joined_piece_by_piece(
    served: Served, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "PIECE_CHUNKS", 5)
    by_count = await made(served, *lines(12))
    await leader(served).work(7)
    assert objects(s3, by_count) == ["0/0000000001", "0/0000000006", "0/0000000011"]
    assert await said(served, by_count) == b"".join(lines(12))
    monkeypatch.setattr(joining, "PIECE_CHUNKS", 2_000)
    monkeypatch.setattr(joining, "PIECE_BYTES", 5_000)
    chance = random.Random(3)
    parts = [chance.randbytes(2_000) for _ in range(6)]  # which cannot be made smaller
    by_size = await made(served, *parts)
    await leader(served).work(7)
    assert objects(s3, by_size) == ["0/0000000001", "0/0000000003", "0/0000000005"]
    assert await said(served, by_size) == b"".join(parts)


class Crash(BaseException):
    """The process is gone at this point."""


def crashing(monkeypatch: pytest.MonkeyPatch, at: int, *, is_done: bool) -> list[str]:
    """Crash at the request number ``at`` to the bucket or to SQL: before it, or once it was done. What was asked."""
    steps = list[str]()

    def hook(owner: type, name: str) -> None:
        real = getattr(owner, name)

        async def stepped(one: Any, *words: Any, **more: Any) -> Any:
            steps.append(name)
            is_here = len(steps) == at
            if is_here and not is_done:
                raise Crash
            found = await real(one, *words, **more)
            if is_here:
                raise Crash
            return found

        monkeypatch.setattr(owner, name, stepped)

    for owner, names in (
        (Bucket, ("get", "put", "remove_unjoined", "_soon")),
        (SqlJoining, ("due", "shut", "move", "joined")),
    ):
        for name in names:
            hook(owner, name)
    return steps


@pytest.mark.slow
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_step_loses_nothing_and_is_made_up_for(
    served: Served, s3: S3Server, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    crashes = at = 0
    while True:
        at += 1
        ident = await made(served, *lines(4))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(joining, "PIECE_CHUNKS", 3)
            steps = crashing(patch, at, is_done=is_done)
            has_crashed = False
            try:
                await leader(served).work(7)
            except Crash:
                has_crashed = True
        assert await said(served, ident) == b"".join(lines(4)), (at, steps)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(joining, "PIECE_CHUNKS", 3)
            await leader(served).work(7)
        assert objects(s3, ident) == ["0/0000000001", "0/0000000004"], (at, steps)
        assert await said(served, ident) == b"".join(lines(4)), (at, steps)
        if not has_crashed:
            break
        crashes += 1
    assert crashes > 20, steps


async def test_a_reader_in_the_middle_sees_all_of_it(
    served: Served, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ident = await made(served, *lines(30))
    tapes = served.services.get(Recordings)
    reading, heard = tapes.chunks(await tapes.get(ident)), list[bytes]()
    async for _, records in reading:
        heard += [one.data for one in records if one.sort is Sort.OUT]
        if len(heard) == 4:
            await leader(served).work(7)
            assert objects(s3, ident) == ["0/0000000001"]
    assert heard == lines(30)
    # The same where all is moved between what SQL says and what the bucket is asked for.
    other = await made(served, *lines(10))
    chunks, joined = SqlRecordings.chunks, list[int]()

    async def moved_meanwhile(store: SqlRecordings, *words: Any) -> list[Chunk]:
        found = await chunks(store, *words)
        if not joined:
            joined.append(1)
            await leader(served).work(7)
        return found

    monkeypatch.setattr(SqlRecordings, "chunks", moved_meanwhile)
    assert await said(served, other) == b"".join(lines(10))
    assert joined


async def test_one_that_is_damaged_stays_as_it_lies_and_keeps_no_other_waiting(
    served: Served, s3: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    changed, gone, fine = await made(served, *lines(5)), await made(served, *lines(5)), await made(served, *lines(5))
    name = f"main/{changed}/1/0000000003"
    s3.client().put_object(Bucket=BUCKET, Key=name, Body=s3.body(name)[:-4] + b"\0\0\0\0")
    s3.client().delete_object(Bucket=BUCKET, Key=f"main/{gone}/1/0000000002")
    before = objects(s3, changed), objects(s3, gone)
    one = leader(served)
    for _ in range(4):
        await one.work(7)
    assert (objects(s3, changed), objects(s3, gone)) == before
    assert objects(s3, fine) == ["0/0000000001"]
    told = [line.getMessage() for line in caplog.records if "are not joined for now" in line.getMessage()]
    assert len(told) == 2
    assert "chunk 3" in told[0]
    assert f"there is no {gone}/1/0000000002 in it" in told[1]
    for ident, what in ((changed, "chunk 3"), (gone, "0000000002")):
        answer = (await served.http.post(f"{URL}/{ident}/verify", headers=served.bearer())).json()
        assert (answer["ok"], what in answer["problem"]) == (False, True), answer


async def test_a_bucket_that_says_nothing_is_asked_again(
    served: Served, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await made(served, *lines(3)), await made(served, *lines(3))
    monkeypatch.setattr("rppam.recordings.bucket.ANSWER_S", 0.5)
    one = leader(served)
    with s3.stopped():
        await one.work(7)
    monkeypatch.setattr("rppam.recordings.bucket.ANSWER_S", 10.0)
    await one.work(7)
    assert objects(s3, second) == ["0/0000000001"], "the one that was tried waits for its turn"
    one._later.clear()
    await one.work(7)
    assert objects(s3, first) == ["0/0000000001"]


async def test_while_sql_is_away_nothing_is_removed(
    served: Served, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ident = await made(served, *lines(3))

    async def busy(*_: object) -> bool:
        raise DatabaseBusy("away")

    with monkeypatch.context() as patch:
        patch.setattr(SqlJoining, "move", busy)
        with pytest.raises(DatabaseBusy):
            await leader(served).work(7)
    assert {name for name in objects(s3, ident) if name.startswith("1/")} == {f"1/{n:010}" for n in range(1, 5)}
    await leader(served).work(7)
    assert objects(s3, ident) == ["0/0000000001"]


async def test_a_gateway_that_was_away_writes_nothing_into_one_that_is_joined(served: Served, s3: S3Server) -> None:
    recorder = await begun(served, *lines(3))
    lost = update(recordings).where(recordings.c.id == recorder.ident).values(state=State.LOST.value)
    await served.database.write(lambda connection: connection.execute(lost).close())
    await leader(served).work(7)
    recorder.output(b"late\n", False, lambda: None)
    await recorder.close("0")
    assert "is over" in recorder.missing
    assert await said(served, recorder.ident) == b"".join(lines(3))
    store = served.services.get(SqlRecordings)
    chunk = Chunk(4, "00" * 32, b"x" * 24)
    with pytest.raises(RecordingTaken):
        await store.append(recorder.ident, [chunk], 1, NODE, tell=False, generation=1, output=9)
    with pytest.raises(RecordingTaken):
        await store.take(recorder.ident, 9)


async def test_one_that_is_deleted_meanwhile_leaves_nothing(
    served: Served, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ident = await made(served, *lines(3))
    await aged(served, ident, 100)
    real = Bucket.put

    async def late(one: Bucket, *words: Any) -> Any:
        await ended(served, days=30)
        assert objects(s3, ident) == []
        return await real(one, *words)

    monkeypatch.setattr(Bucket, "put", late)
    await leader(served).work(7)
    monkeypatch.undo()
    assert objects(s3, ident) == []
    assert await left(served, ident) == (0, "")


async def test_joined_ones_are_deleted_when_their_time_is_over(served: Served, s3: S3Server) -> None:
    ident = await made(served, *lines(3))
    await leader(served).work(7)
    await aged(served, ident, 100)
    await ended(served, days=30)
    assert (objects(s3, ident), await left(served, ident)) == ([], (0, ""))
