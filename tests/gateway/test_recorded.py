"""Sessions through the gateway are recorded as they happen, and nothing is shown that a strict recording has not."""

import asyncio
import json
import os
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from sqlalchemy import delete, update

from rppam.db.errors import DatabaseBusy
from rppam.gateway.policy import ACCESS, AccessPolicy
from rppam.gateway.taping import Taping
from rppam.recordings.formats import check_file
from rppam.recordings.service import Recordings
from rppam.recordings.store import SqlRecordings
from rppam.recordings.tables import recording_chunks, recordings
from tests.gateway.places import Ended, Place, Sshd
from tests.gateway.test_register import recorded
from tests.support.served import Served

pytestmark = [pytest.mark.integration]
URL = "/api/v1/recordings"


@pytest.fixture
def policy() -> dict[str, Any]:
    return {"recording": "bounded"}


@pytest.fixture
async def place(
    served: Served, tmp_path: Path, target: Sshd, policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    current = type(served.live).current
    wanted = AccessPolicy(**policy)
    monkeypatch.setattr(type(served.live), "current", lambda live, one: wanted if one is ACCESS else current(live, one))
    one = Place(served, tmp_path, target, Taping(served.services.get(Recordings), served.live))
    await one.start()
    yield one
    await one.stop()


async def listed(place: Place) -> list[dict[str, Any]]:
    answer = await place.served.http.get(URL, headers=place.served.bearer())
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def exported(place: Place, ident: str, form: str) -> bytes:
    answer = await place.served.http.get(
        f"{URL}/{ident}/export", params={"format": form}, headers=place.served.bearer()
    )
    assert answer.status_code == 200, answer.text
    return answer.content


async def verified(place: Place, ident: str) -> dict[str, Any]:
    answer = await place.served.http.post(f"{URL}/{ident}/verify", headers=place.served.bearer())
    assert answer.status_code == 200, answer.text
    verdict: dict[str, Any] = answer.json()
    return verdict


def bytes_of(ttyrec: bytes) -> bytes:
    found = b""
    while ttyrec:
        size = struct.unpack("<III", ttyrec[:12])[2]
        found, ttyrec = found + ttyrec[12 : 12 + size], ttyrec[12 + size :]
    return found


@pytest.mark.parametrize("policy", [{"recording": "bounded"}, {"recording": "strict"}], ids=["bounded", "strict"])
async def test_a_recording_reads_back_byte_by_byte_and_verifies(place: Place) -> None:
    ended = await place.ssh("head -c 3000000 /dev/urandom; echo err >&2; exit 3")
    assert (ended.code, len(ended.out), ended.err) == (3, 3_000_000, "err\n")
    (one,) = await listed(place)
    assert (one["state"], one["exit"], one["kind"]) == ("done", "3", "exec")
    raw = bytes_of(await exported(place, one["id"], "ttyrec"))
    assert raw.replace(b"err\n", b"") == ended.out.replace(b"err\n", b"")
    verdict = await verified(place, one["id"])
    assert (verdict["ok"], verdict["problem"]) == (True, "")
    cast = (await exported(place, one["id"], "cast3")).decode().splitlines(keepends=True)
    assert check_file(cast).head == one["head"]
    json.loads(cast[0])


async def test_what_was_typed_into_a_terminal_is_not_in_it_and_what_was_shown_is(place: Place) -> None:
    async with place.client() as client:
        process = await client.create_process(
            "stty -echo; echo on; read x; echo seen", term_type="xterm", term_size=(90, 20)
        )
        await process.stdout.readline()
        process.change_terminal_size(100, 30)
        process.stdin.write("hunter2\n")
        assert (await process.wait()).exit_status == 0
    (one,) = await listed(place)
    assert (one["columns"], one["rows"]) == (90, 20)
    text = await exported(place, one["id"], "txt")
    assert b"seen" in text
    cast = await exported(place, one["id"], "cast2")
    assert b"hunter2" not in cast
    assert b'"r", "100x30"' in cast


async def test_a_changed_or_missing_chunk_is_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rppam.recordings.recorder.TELL_BYTES", 100_000)
    await place.ssh("head -c 3000000 /dev/zero")
    (one,) = await listed(place)
    assert one["chunks"] > 1
    assert await recorded(place, "recording.head")
    mine = recording_chunks.c.recording == one["id"]
    last = delete(recording_chunks).where(mine & (recording_chunks.c.seq == one["chunks"]))
    await place.served.database.write(lambda connection: connection.execute(last))
    assert "ends with chunk" in (await verified(place, one["id"]))["problem"]
    shorter = update(recordings).values(chunks=one["chunks"] - 1)
    await place.served.database.write(lambda connection: connection.execute(shorter))
    assert not (await verified(place, one["id"]))["ok"]
    first = update(recording_chunks).where(mine & (recording_chunks.c.seq == 1)).values(sealed=os.urandom(100))
    await place.served.database.write(lambda connection: connection.execute(first))
    assert "chunk 1" in (await verified(place, one["id"]))["problem"]


async def test_without_a_store_no_session_begins_and_none_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rppam.recordings.recorder.LOSS_S", 1.0)
    running = asyncio.create_task(place.ssh("while :; do echo x; sleep 0.2; done"))
    for _ in range(100):
        if await listed(place):
            break
        await asyncio.sleep(0.05)

    async def full(*_: object, **__: object) -> None:
        raise DatabaseBusy("no space is left")

    monkeypatch.setattr(SqlRecordings, "append", full)
    ended = await asyncio.wait_for(running, 15)
    assert "can no longer be recorded: no space is left" in ended.err
    monkeypatch.setattr(SqlRecordings, "begin", full)
    refused = await place.ssh("echo never")
    assert (refused.code, refused.out) == (255, b"")
    assert "RPPAM-8702" in refused.err


@pytest.mark.parametrize("policy", [{"recording": "strict"}], ids=["strict"])
async def test_strict_shows_nothing_before_it_is_durable(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rppam.recordings.recorder.LOSS_S", 1.5)

    async def full(*_: object, **__: object) -> None:
        raise DatabaseBusy("no space is left")

    monkeypatch.setattr(SqlRecordings, "append", full)
    ended = await place.ssh("echo never; sleep 30")
    assert ended.out == b""
    assert "can no longer be recorded" in ended.err


@pytest.mark.parametrize("policy", [{"recording": "bounded", "recording_loss": "allow"}], ids=["allow"])
async def test_where_the_policy_allows_it_a_session_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object, **__: object) -> None:
        raise DatabaseBusy("no space is left")

    monkeypatch.setattr(SqlRecordings, "begin", full)
    assert (await place.ssh("echo on")).out == b"on\n"


async def test_the_commands(place: Place, tmp_path: Path) -> None:
    assert (await place.ssh("echo shown")).code == 0
    (one,) = await listed(place)
    token = place.served.bearer()["Authorization"].removeprefix("Bearer ")
    env = {"RPPAM_URL": place.served.url, "RPPAM_TOKEN": token}

    async def rppam(*words: str) -> Ended:
        return await place.run(sys.executable, "-m", "rppam", *words, env=env)

    told = await rppam("recording", "ls", "--json")
    assert [each["id"] for each in json.loads(told.out)["items"]] == [one["id"]], told
    assert (await rppam("recording", "play", one["id"])).out == b"shown\n"
    file = tmp_path / "one.cast"
    assert (await rppam("recording", "export", one["id"], "--output", str(file))).code == 0
    whole = await rppam("recording", "verify", str(file), "--json")
    assert (whole.code, json.loads(whole.out)["head"]) == (0, one["head"])
    assert (await rppam("recording", "verify", one["id"])).code == 0
    file.write_text(file.read_text().replace("shown", "shame"))
    assert (await rppam("recording", "verify", str(file))).code == 1
    assert (await rppam("recording", "verify", "nothing")).code == 2
    for what, first in (("session", b"SESSION"), ("recording", b"RECORDING")):
        titles, line = (await rppam(what, "ls", *(("--all",) if what == "session" else ()))).out.splitlines()
        assert titles.startswith(first)
        assert one["user"].encode() in line
    none = await rppam("recording", "ls", "--session", "00000000-0000-7000-8000-000000000000")
    assert (none.code, none.out, "there is no recording" in none.err) == (0, b"", True), none
    assert (await rppam("session", "kill", "nothing")).code == 1
    over = await rppam("session", "kill", one["user"])
    assert (over.code, "'rppam session ls' shows them" in over.err) == (1, True), over


async def test_a_session_is_watched_as_it_goes_on_from_its_beginning(place: Place) -> None:
    async with place.client() as client:
        process = await client.create_process("echo first; read x; echo second; read y; exit 3", term_type="xterm")
        assert "first" in await process.stdout.readline()
        for _ in range(100):
            if (await listed(place))[0]["chunks"]:
                break
            await asyncio.sleep(0.05)
        (one,) = await listed(place)
        token = place.served.bearer()["Authorization"].removeprefix("Bearer ")
        env = {**os.environ, "RPPAM_URL": place.served.url, "RPPAM_TOKEN": token}
        argv = [sys.executable, "-m", "rppam", "session", "watch", one["user"]]
        watcher = await asyncio.create_subprocess_exec(*argv, env=env, stdout=asyncio.subprocess.PIPE)
        assert watcher.stdout is not None
        assert b"first" in await asyncio.wait_for(watcher.stdout.readline(), 20)
        process.stdin.write("\n")
        assert b"second" in await asyncio.wait_for(watcher.stdout.readuntil(b"second"), 5)
        process.stdin.write("\n")
        assert (await process.wait()).exit_status == 3
        assert await asyncio.wait_for(watcher.wait(), 10) == 0
    (watched,) = await recorded(place, "recording.watch")
    assert watched["object"]["id"] == one["id"]


async def test_a_channel_that_the_target_refuses_leaves_no_live_recording(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who watches a session would see it, in place of the one where something happens."""

    async def full(*_: object, **__: object) -> None:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "no more sessions")

    monkeypatch.setattr(asyncssh.SSHClientConnection, "create_session", full)
    ended = await place.ssh("id")
    assert "no more sessions" in ended.err
    [one] = await listed(place)
    assert (one["state"], one["exit"]) == ("done", "refused"), one
    assert len(await recorded(place, "recording.end")) == 1


async def test_the_rest_of_a_recording_that_nobody_ends_is_recorded_as_lost(place: Place) -> None:
    await place.ssh("echo said")
    (one,) = await listed(place)
    live = update(recordings).values(state="live", changed=0)
    await place.served.database.write(lambda connection: connection.execute(live).close())
    store = place.served.services.get(SqlRecordings)
    assert await store.sweep([one["session"]]) == 1
    assert await store.sweep([one["session"]]) == 0
    (event,) = await recorded(place, "recording.lose")
    assert (event["object"]["id"], event["reason"]) == (one["id"], "it was heard of no more")
