"""Recordings whose chunks lie in a folder: durable before they count; one that is lost ends what policy says."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rppam.db.errors import DatabaseBusy
from rppam.gateway.policy import ACCESS, AccessPolicy
from rppam.gateway.taping import Taping
from rppam.recordings.errors import RecordingStoreFailed
from rppam.recordings.folder import Folder
from rppam.recordings.model import Chunk
from rppam.recordings.policy import STORE, StorePolicy
from rppam.recordings.service import Recordings
from rppam.recordings.store import SqlRecordings
from rppam.settings.errors import SettingInvalid
from tests.gateway import test_kept
from tests.gateway.places import Place, Sshd
from tests.gateway.test_kept import cut, terminal, until_recorded
from tests.gateway.test_recorded import bytes_of, exported, listed, verified
from tests.support.served import Served

CHUNKS = [Chunk(1, "00" * 32, b"first"), Chunk(2, "11" * 32, b"second")]


@pytest.fixture
def policy() -> dict[str, Any]:
    return {}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "share").mkdir()
    return tmp_path / "share"


@pytest.fixture
async def place(
    served: Served, tmp_path: Path, target: Sshd, policy: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    current = type(served.live).current
    wanted = [(ACCESS, AccessPolicy(**policy)), (STORE, StorePolicy("dir", str(folder)))]
    monkeypatch.setattr(type(served.live), "current", lambda live, one: _wanted(wanted, one) or current(live, one))
    one = Place(served, tmp_path, target, Taping(served.services.get(Recordings), served.live))
    await one.start()
    yield one
    await one.stop()


def moved(one: Path, other: Path) -> None:
    one.rename(other)


def _wanted(wanted: list[tuple[Any, Any]], one: object) -> Any:
    return next((value for setting, value in wanted if setting is one), None)


def test_a_folder_has_to_be_named() -> None:
    assert STORE.read({"store": "dir", "folder": "/srv/recordings"}) == StorePolicy("dir", "/srv/recordings")
    for bad in ({"store": "dir"}, {"store": "s4"}, {"folder": "relative"}):
        with pytest.raises(SettingInvalid):
            STORE.read(bad)


async def test_a_chunk_reads_back_from_its_place(folder: Path) -> None:
    one = Folder(folder)
    await one.prepare("some")
    placed = await one.put("some", 1, CHUNKS)
    later = await one.put("some", 2, [CHUNKS[1]._replace(seq=3)])
    assert await one.get("some", [*placed, *later]) == [*CHUNKS, CHUNKS[1]._replace(seq=3)]
    assert sorted(file.name for file in (folder / "some").iterdir()) == ["1.part", "2.part"]
    assert (folder / "some" / "1.part").stat().st_mode & 0o777 == 0o600
    (folder / "some" / "1.part").unlink()
    with pytest.raises(RecordingStoreFailed, match="another node's disk"):
        await one.get("some", placed)
    with pytest.raises(RecordingStoreFailed, match="was changed"):
        await one.get("some", CHUNKS)


async def test_what_could_not_be_forced_to_the_disk_is_cut_off_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Folder(folder)
    (first,) = await one.put("some", 1, CHUNKS[:1])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(RecordingStoreFailed, match="No space left on device"):
            await one.put("some", 1, CHUNKS[1:])
    assert (folder / "some" / "1.part").read_bytes() == b"first"
    (second,) = await one.put("some", 1, CHUNKS[1:])
    assert await one.get("some", [first, second]) == CHUNKS


async def test_a_folder_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(RecordingStoreFailed, match="is not there"):
        await Folder(tmp_path / "absent").prepare("some")
    assert not (tmp_path / "absent").exists()


async def test_a_folder_that_hangs_is_given_up_and_not_asked_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rppam.recordings.folder.ANSWER_S", 0.05)
    release = asyncio.Event()
    one, loop = Folder(folder), asyncio.get_running_loop()

    def hang(_: Path, __: str) -> None:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()

    monkeypatch.setattr(Folder, "_made", lambda folder, ident: hang(folder.path, ident))
    with pytest.raises(RecordingStoreFailed, match="did not answer within"):
        await one.prepare("some")
    with pytest.raises(RecordingStoreFailed, match="has not answered"):
        await one.put("some", 1, CHUNKS)
    release.set()


@pytest.mark.integration
@pytest.mark.parametrize("policy", [{"recording": "bounded"}, {"recording": "strict"}], ids=["bounded", "strict"])
async def test_a_recording_in_a_folder_reads_back_byte_by_byte_and_verifies(place: Place, folder: Path) -> None:
    ended = await place.ssh("head -c 1000000 /dev/urandom; exit 3")
    assert (ended.code, len(ended.out)) == (3, 1_000_000)
    (one,) = await listed(place)
    assert one["store"] == f"dir:{folder}"
    assert bytes_of(await exported(place, one["id"], "ttyrec")) == ended.out
    assert (await verified(place, one["id"]))["ok"]
    part = folder / one["id"] / "1.part"
    assert part.stat().st_size > 1_000_000
    with part.open("r+b") as file:
        file.seek(70_000)
        file.write(b"\0" * 4)
    assert "was changed" in (await verified(place, one["id"]))["problem"]
    part.unlink()
    assert "another node's disk" in (await verified(place, one["id"]))["problem"]


@pytest.mark.integration
async def test_while_sql_is_away_nothing_is_written_twice(
    place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, tries = SqlRecordings.append, []

    async def busy(store: SqlRecordings, *words: Any, **more: Any) -> None:
        tries.append(1)
        if len(tries) < 4:
            raise DatabaseBusy("away")
        await append(store, *words, **more)

    monkeypatch.setattr(SqlRecordings, "append", busy)
    ended = await place.ssh("head -c 100000 /dev/zero")
    assert len(ended.out) == 100_000
    (one,) = await listed(place)
    assert (await verified(place, one["id"]))["ok"]
    assert (folder / one["id"] / "1.part").stat().st_size < 120_000


@pytest.mark.integration
async def test_a_node_that_loses_the_folder_starts_no_session_and_ends_those_that_run(
    place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rppam.recordings.recorder.LOSS_S", 0.5)
    running = asyncio.create_task(place.ssh("while :; do echo x; sleep 0.2; done"))
    for _ in range(200):
        if (found := await listed(place)) and found[0]["chunks"]:
            break
        await asyncio.sleep(0.05)
    moved(folder, folder.with_name("elsewhere"))
    ended = await asyncio.wait_for(running, 20)
    assert "can no longer be recorded" in ended.err
    assert "is the share mounted on this node?" in ended.err
    refused = await place.ssh("echo never")
    assert (refused.code, refused.out) == (255, b"")
    assert "RPPAM-8702" in refused.err
    moved(folder.with_name("elsewhere"), folder)
    assert (await place.ssh("echo again")).out == b"again\n"


@pytest.mark.integration
async def test_who_goes_on_with_a_session_writes_a_part_of_its_own(place: Place, folder: Path, target: Sshd) -> None:
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
    assert sorted(file.name for file in (folder / one["id"]).iterdir()) == ["1.part", "2.part"]
    raw = bytes_of(await exported(place, one["id"], "ttyrec"))
    assert (raw.count(b"was-42\r\n"), raw.count(b"still-42\r\n")) == (1, 1)
    assert (await verified(place, one["id"]))["ok"]
    await test_kept.until(lambda: target.held == [])
