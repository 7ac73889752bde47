"""Recordings whose chunks lie in a bucket: durable before they count; one that is lost ends what policy says."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from rppam.db.errors import DatabaseBusy
from rppam.gateway.policy import ACCESS, AccessPolicy
from rppam.gateway.taping import Taping
from rppam.http.bounds import ApiLimits
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.recordings.bucket import Bucket, BucketPlace, Place as Lies
from rppam.recordings.errors import RecordingStoreFailed
from rppam.recordings.model import Chunk
from rppam.recordings.policy import STORE, StorePolicy
from rppam.recordings.service import Recordings
from rppam.recordings.shelves import name_of
from rppam.recordings.sigv4 import S3Keys, signed_headers
from rppam.recordings.store import SqlRecordings
from rppam.settings.errors import SettingInvalid
from tests.gateway import test_kept
from tests.gateway.places import Place, Sshd
from tests.gateway.test_kept import cut, terminal, until_recorded
from tests.gateway.test_recorded import bytes_of, exported, listed, verified
from tests.gateway.test_recording_retention import aged, ended, left, made, states
from tests.support.ports import free_port
from tests.support.s3_server import BUCKET, REGION, S3Server, s3_server
from tests.support.served import Served
from tests.support.strange_redis import scripted

CHUNKS = [Chunk(1, "00" * 32, b"first"), Chunk(2, "11" * 32, b"second")]
CLOCK = SystemClock()
KEYS = S3Keys("id", Secret("secret"))


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as one:
        yield one


@pytest.fixture
async def served(tmp_path: Path, s3: S3Server) -> AsyncIterator[Served]:
    access = {"s3KeyId": s3.key, "s3Secret": s3.secret, "s3CaPath": str(s3.ca)}
    (tmp_path / "node1").mkdir()
    one = Served(tmp_path / "node1", ApiLimits(), more={"access": access})
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
def policy() -> dict[str, Any]:
    return {}


@pytest.fixture
def stored(served: Served, s3: S3Server, policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> StorePolicy:
    current = type(served.live).current
    where = StorePolicy("s3", bucket=f"{s3.url}/{BUCKET}/main", region=REGION)
    wanted: list[tuple[Any, Any]] = [(ACCESS, AccessPolicy(**policy)), (STORE, where)]
    monkeypatch.setattr(
        type(served.live),
        "current",
        lambda live, one: next((value for setting, value in wanted if setting is one), None) or current(live, one),
    )
    return where


@pytest.fixture
async def place(served: Served, tmp_path: Path, target: Sshd, stored: StorePolicy) -> AsyncIterator[Place]:
    one = Place(served, tmp_path, target, Taping(served.services.get(Recordings), served.live))
    await one.start()
    yield one
    await one.stop()


def bucket(s3: S3Server, path: str = f"{BUCKET}/unit", **other: Any) -> Bucket:
    keys = S3Keys(s3.key, Secret(other.get("secret", s3.secret)))
    place = BucketPlace.of(f"{other.get('url', s3.url)}/{path}", REGION)
    return Bucket(place, keys, CLOCK.wall_ms, other.get("ca", s3.ca))


def test_a_request_is_signed_as_the_example_of_its_makers() -> None:
    keys = S3Keys("AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
    made = signed_headers(
        keys, "us-east-1", "GET", "examplebucket.s3.amazonaws.com", "/test.txt", {}, b"", 1_369_353_600_000,
        {"Range": "bytes=0-9"},
    )  # fmt: skip
    assert made["Authorization"].endswith("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


def test_a_bucket_has_to_be_named() -> None:
    value = {"store": "s3", "bucket": "https://s3.example.com/rec/a", "region": "eu-1"}
    assert name_of(STORE.read(value)) == "s3:eu-1:https://s3.example.com/rec/a"
    for bad in ({"bucket": "-"}, {"bucket": "https://s3.example.com"}, {"bucket": "ftp://a/rec"}, {"region": "EU 1"}):
        with pytest.raises(SettingInvalid):
            STORE.read({**value, **bad})
    with pytest.raises(SettingInvalid):
        STORE.read({**value, "bucket": "https://key:secret@s3.example.com/rec"})


@pytest.mark.integration
async def test_a_chunk_reads_back_from_its_place(s3: S3Server) -> None:
    one = bucket(s3)
    await one.prepare("some")
    placed = await one.put("some", 1, CHUNKS)
    later = await one.put("some", 2, [CHUNKS[1]._replace(seq=3)])
    assert await one.get("some", [*placed, *later]) == [*CHUNKS, CHUNKS[1]._replace(seq=3)]
    assert await one.put("some", 1, CHUNKS) == placed, "once more is the same"
    names = [name for name in s3.names() if name.startswith("unit/some/")]
    assert names == ["unit/some/1/0000000001", "unit/some/2/0000000003", "unit/some/begun"]
    with pytest.raises(RecordingStoreFailed, match="was changed"):
        await one.get("some", CHUNKS)
    await one.put("someone", 1, CHUNKS)
    await one.remove("some")
    assert [name for name in s3.names() if name.startswith("unit/some")] == ["unit/someone/1/0000000001"]
    await one.remove("some")  # twice is once
    with pytest.raises(RecordingStoreFailed, match="there is no some/1/0000000001 in it"):
        await one.get("some", placed)


@pytest.mark.integration
async def test_more_objects_than_one_list_has_are_removed(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rppam.recordings.bucket.LIST_MAX", 5)
    one = bucket(s3)
    chunks = [Chunk(number, "00" * 32, b"x") for number in range(1, 13)]
    await asyncio.gather(*(one.put("many", 1, [chunk]) for chunk in chunks))
    await one.remove("many")
    assert [name for name in s3.names() if name.startswith("unit/many/")] == []


@pytest.mark.integration
async def test_what_a_bucket_refuses_is_said(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for other, why in (
        (bucket(s3, secret="wrong"), "403 SignatureDoesNotMatch"),
        (bucket(s3, "absent/unit"), "404 NoSuchBucket"),
        (bucket(s3, url=f"https://127.0.0.1:{free_port()}"), "refused"),
        (bucket(s3, ca=None), "verify failed"),
        (bucket(s3, ca=tmp_path / "none.pem"), "is not there"),
        (Bucket(BucketPlace.of(f"{s3.url}/{BUCKET}", REGION), None, CLOCK.wall_ms, s3.ca), "access.s3KeyId"),
    ):
        with pytest.raises(RecordingStoreFailed, match=why) as told:
            await other.prepare("some")
        assert s3.secret not in str(told.value)
        assert str(told.value).startswith("the bucket https://127.0.0.1:")


@pytest.mark.integration
async def test_one_that_hangs_is_given_up_and_taken_again_when_it_answers(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bucket(s3)
    await one.prepare("some")
    monkeypatch.setattr("rppam.recordings.bucket.ANSWER_S", 0.5)
    with s3.stopped(), pytest.raises(RecordingStoreFailed, match=r"did not answer|timed out"):
        await one.put("some", 1, CHUNKS)
    monkeypatch.undo()
    placed = await one.put("some", 1, CHUNKS)
    assert await one.get("some", placed) == CHUNKS


@pytest.mark.integration
@pytest.mark.parametrize("part", ["head", "body"])
async def test_one_that_answers_a_byte_at_a_time_is_given_up_and_keeps_no_thread(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """No wait for one of its bytes is ever too long; all of them together would last for hours."""
    monkeypatch.setattr("rppam.recordings.bucket.ANSWER_S", 0.5)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 100000\r\n"
        writer.write(head + (b"\r\n" if part == "body" else b"X-Slow: "))
        for _ in range(600):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)

    async def fine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()

    async with scripted(drip) as slow_port, scripted(fine) as port:
        slow, other = (
            Bucket(BucketPlace(False, f"127.0.0.1:{one}", "/rec/", REGION), KEYS, CLOCK.wall_ms)
            for one in (slow_port, port)
        )
        placed = [CHUNKS[0]._replace(sealed=Lies(1, 1, 0, 5).packed())]
        asked = [slow.get(f"some{number}", placed) for number in range(40)]
        for failed in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(failed, RecordingStoreFailed), failed
            assert "did not answer within" in str(failed)
        await other.prepare("some")


@pytest.mark.integration
async def test_an_answer_that_breaks_off_is_none() -> None:
    async def short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\nfir")
            await writer.drain()

    server = await asyncio.start_server(short, "127.0.0.1", 0, family=socket.AF_INET)
    place = BucketPlace(False, f"127.0.0.1:{server.sockets[0].getsockname()[1]}", "/rec/", REGION)
    with pytest.raises(RecordingStoreFailed):
        await Bucket(place, KEYS, CLOCK.wall_ms).get("some", [CHUNKS[0]._replace(sealed=Lies(1, 1, 0, 5).packed())])
    server.close()


@pytest.mark.integration
async def test_a_server_that_says_nonsense_is_one_that_failed() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(100)
            writer.write(b"SSH-2.0-Nonsense\r\n")
            writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0, family=socket.AF_INET)
    port = server.sockets[0].getsockname()[1]
    keys = S3Keys("id", Secret("secret"))
    one = Bucket(BucketPlace.of(f"http://127.0.0.1:{port}/rec", REGION), keys, CLOCK.wall_ms)
    with pytest.raises(RecordingStoreFailed):
        await one.prepare("some")
    server.close()


@pytest.mark.integration
async def test_a_server_that_removes_nothing_and_says_that_it_has_is_given_up() -> None:
    """Else the leader would ask it for ever."""
    asked: list[bytes] = []

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            asked.append((await reader.readuntil(b"\r\n\r\n")).partition(b" ")[0])
            body = b"<ListBucketResult><Contents><Key>some/1/0000000001</Key></Contents></ListBucketResult>"
            body = body if asked[-1] == b"GET" else b""
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % len(body) + body)
            await writer.drain()

    server = await asyncio.start_server(lie, "127.0.0.1", 0, family=socket.AF_INET)
    port = server.sockets[0].getsockname()[1]
    one = Bucket(BucketPlace.of(f"http://127.0.0.1:{port}/rec", REGION), S3Keys("id", Secret("x")), CLOCK.wall_ms)
    async with asyncio.timeout(10):
        with pytest.raises(RecordingStoreFailed, match="says that it has removed some/1/0000000001, and still has it"):
            await one.remove("some")
    assert asked == [b"GET", b"DELETE", b"GET"]
    server.close()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("host", "key"), [("a" * 80, "id"), ("127.0.0.1:99999", "id"), ("[::1", "id"), ("127.0.0.1:9", "AK\nIA-canary")]
)
async def test_what_cannot_be_asked_is_a_bucket_that_failed_and_no_key_is_told(host: str, key: str) -> None:
    one = Bucket(BucketPlace(False, host, "/rec/", REGION), S3Keys(key, Secret("x")), CLOCK.wall_ms)
    with pytest.raises(RecordingStoreFailed) as told:
        await one.prepare("some")
    assert "canary" not in str(told.value)


@pytest.mark.integration
@pytest.mark.parametrize("policy", [{"recording": "bounded"}, {"recording": "strict"}], ids=["bounded", "strict"])
async def test_a_recording_in_a_bucket_reads_back_byte_by_byte_and_verifies(
    place: Place, s3: S3Server, stored: StorePolicy
) -> None:
    ended = await place.ssh("head -c 1000000 /dev/urandom; exit 3")
    assert (ended.code, len(ended.out)) == (3, 1_000_000)
    (one,) = await listed(place)
    assert one["store"] == f"s3:{REGION}:{stored.bucket}"
    assert bytes_of(await exported(place, one["id"], "ttyrec")) == ended.out
    assert (await verified(place, one["id"]))["ok"]
    name = next(name for name in s3.names() if name.startswith(f"main/{one['id']}/1/"))
    body = s3.body(name)
    assert ended.out[:64] not in body
    s3.client().put_object(Bucket=BUCKET, Key=name, Body=body[:-4] + b"\0\0\0\0")
    assert "was changed" in (await verified(place, one["id"]))["problem"]
    s3.client().delete_object(Bucket=BUCKET, Key=name)
    assert "there is no " in (await verified(place, one["id"]))["problem"]


@pytest.mark.integration
async def test_while_sql_is_away_nothing_is_written_twice(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    append, put, tries, puts = SqlRecordings.append, Bucket.put, [], []

    async def busy(store: SqlRecordings, *words: Any, **more: Any) -> None:
        tries.append(1)
        if len(tries) < 4:
            raise DatabaseBusy("away")
        await append(store, *words, **more)

    async def counted(one: Bucket, ident: str, generation: int, chunks: Any) -> Any:
        puts.append(chunks[0].seq)
        return await put(one, ident, generation, chunks)

    monkeypatch.setattr(SqlRecordings, "append", busy)
    monkeypatch.setattr(Bucket, "put", counted)
    ended = await place.ssh("head -c 100000 /dev/zero")
    assert len(ended.out) == 100_000
    (one,) = await listed(place)
    assert (await verified(place, one["id"]))["ok"]
    assert len(puts) == len(set(puts))


@pytest.mark.integration
async def test_a_node_that_loses_the_bucket_starts_no_session_and_ends_those_that_run(
    place: Place, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rppam.recordings.recorder.LOSS_S", 0.5)
    monkeypatch.setattr("rppam.recordings.bucket.ANSWER_S", 2.0)
    running = asyncio.create_task(place.ssh("while :; do echo x; sleep 0.2; done"))
    for _ in range(200):
        if (found := await listed(place)) and found[0]["chunks"]:
            break
        await asyncio.sleep(0.05)
    with s3.stopped():
        ended = await asyncio.wait_for(running, 30)
        assert "can no longer be recorded" in ended.err
        assert "the bucket https://127.0.0.1:" in ended.err
        refused = await place.ssh("echo never")
        assert (refused.code, refused.out) == (255, b"")
        assert "RPPAM-8702" in refused.err
    monkeypatch.setattr("rppam.recordings.bucket.ANSWER_S", 10.0)
    assert (await place.ssh("echo again")).out == b"again\n"


@pytest.mark.integration
async def test_who_goes_on_with_a_session_writes_objects_of_its_own(place: Place, s3: S3Server, target: Sshd) -> None:
    async with place.client() as client:
        screen = await terminal(client)
        screen.type("mark=$((40+2)); echo was-$mark\n")
        await screen.until("was-42\r\n")
        cut(client)
    await until_recorded(place, "access.detach")
    async with place.client() as client:
        screen = await terminal(client)
        await screen.until("was-42\r\n")
        screen.type("echo still-$mark; exit\n")
        await screen.process.wait()
    (one,) = await listed(place)
    mine = [name.split("/")[2] for name in s3.names() if name.startswith(f"main/{one['id']}/")]
    assert set(mine) == {"1", "2", "begun"}
    raw = bytes_of(await exported(place, one["id"], "ttyrec"))
    assert (raw.count(b"was-42\r\n"), raw.count(b"still-42\r\n")) == (1, 1)
    assert (await verified(place, one["id"]))["ok"]
    await test_kept.until(lambda: target.held == [])


@pytest.mark.integration
@pytest.mark.usefixtures("stored")
async def test_the_objects_of_an_old_recording_go_also_later(
    served: Served, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ident = await made(served, b"said\n")
    await aged(served, ident, 100)
    monkeypatch.setattr("rppam.recordings.bucket.ANSWER_S", 0.5)
    with s3.stopped(), pytest.raises(RecordingStoreFailed, match="files of deleted recordings stay, 1 of them"):
        await ended(served, days=30)
    assert await states(served) == {ident: "deleted"}
    assert (await left(served, ident))[1] == "", "nobody reads it any more, wherever the objects are"
    monkeypatch.undo()
    assert any(name.startswith(f"main/{ident}/") for name in s3.names())
    await ended(served, days=30)
    assert await left(served, ident) == (0, "")
    assert not any(name.startswith(f"main/{ident}/") for name in s3.names())
