"""Targets, clients and stores that misbehave: one line that says what is wrong, an event, and nothing left behind."""

import asyncio
import contextlib
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rppam.gateway.policy import ACCESS, AccessPolicy
from rppam.gateway.taping import Taping
from rppam.recordings.policy import STORE, StorePolicy
from rppam.recordings.service import Recordings
from tests.gateway import test_recorded
from tests.gateway.places import HOST, Place, Sshd
from tests.gateway.test_kept import until
from tests.gateway.test_recorded import bytes_of, exported, listed, verified
from tests.gateway.test_refusals import one_line
from tests.gateway.test_register import live, recorded
from tests.support.served import PASSWORD, Served
from tests.support.strange_redis import scripted

place = test_recorded.place
pytestmark = [pytest.mark.integration]
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def policy() -> dict[str, Any]:
    return {"recording": "bounded"}


def descriptors() -> int:
    """How many are open, but those of the database: each of its threads opens it once it is needed."""
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += not one.readlink().name.endswith(("db", "db-wal", "db-shm"))
    return found


# ---- targets ---------------------------------------------------------------------------------------------------------


async def nothing(client: Pair, _: Pair) -> None:
    """It takes the connection, and is silent."""
    await client[0].read()


async def stops_after_its_greeting(client: Pair, server: Pair) -> None:
    client[1].write(await server[0].readline())
    await client[0].read()


async def first(client: Pair, server: Pair, count: int = 1300) -> None:
    """Hand on the first that the server says, up to the middle of the exchange of keys."""
    while count and (data := await server[0].read(count)):
        client[1].write(data)
        count -= len(data)


async def stops_in_the_log_in(client: Pair, server: Pair) -> None:
    up = asyncio.create_task(carried(client[0], server[1]))
    await first(client, server)
    await up


async def closes_half_after_its_greeting(client: Pair, server: Pair) -> None:
    client[1].write(await server[0].readline())
    client[1].write_eof()
    await client[0].read()


async def closes_half_in_the_log_in(client: Pair, server: Pair) -> None:
    up = asyncio.create_task(carried(client[0], server[1]))
    await first(client, server)
    client[1].write_eof()
    await up


async def floods_without_an_end_of_line(client: Pair, _: Pair) -> None:
    while True:
        client[1].write(b"x" * 65536)
        await client[1].drain()


async def floods_with_lines(client: Pair, _: Pair) -> None:
    while True:
        client[1].write(b"welcome to this host\r\n" * 1000)
        await client[1].drain()


async def floods_after_its_greeting(client: Pair, server: Pair) -> None:
    client[1].write(await server[0].readline())
    while True:
        client[1].write(os.urandom(65536))
        await client[1].drain()


async def carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


SILENT, BROKEN = "RPPAM-8612", "RPPAM-8617"
RUDE: list[tuple[Callable[[Pair, Pair], Awaitable[None]], str]] = [
    (nothing, SILENT),
    (stops_after_its_greeting, SILENT),
    (stops_in_the_log_in, SILENT),
    (closes_half_after_its_greeting, BROKEN),
    (closes_half_in_the_log_in, BROKEN),
    (floods_without_an_end_of_line, BROKEN),
    (floods_with_lines, BROKEN),
    (floods_after_its_greeting, BROKEN),
]


@contextlib.asynccontextmanager
async def before(target: Sshd, act: Callable[[Pair, Pair], Awaitable[None]]) -> AsyncIterator[int]:
    """The port of what stands before a real sshd, and behaves so."""

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = await asyncio.open_connection(HOST, target.port)
        with contextlib.closing(server[1]), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await act((reader, writer), server)

    async with scripted(met) as port:
        yield port


@pytest.mark.parametrize(("act", "code"), RUDE, ids=[act.__name__ for act, _ in RUDE])
async def test_a_target_that_misbehaves_is_named_in_one_line_and_leaves_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, act: Callable[[Pair, Pair], Awaitable[None]], code: str
) -> None:
    monkeypatch.setattr("rppam.gateway.ssh.target.ALL_S", 2.0)
    assert (await place.ssh("true")).code == 0
    async with before(place.target, act) as port:
        place.routes.add("rude", port, place.target.user, place.key)
        await asyncio.sleep(0.2)
        open_before, tasks, memory = descriptors(), len(asyncio.all_tasks()), psutil.Process().memory_info().rss
        for _ in range(3):
            began = time.monotonic()
            ended = await place.ssh("id", user="admin+rude")
            assert (ended.code, ended.out) == (255, b""), ended
            one_line(ended.err, code)
            assert "rude (127.0.0.1 port" in ended.err
            assert time.monotonic() - began < 10
        with contextlib.suppress(AssertionError):
            await until(lambda: descriptors() <= open_before and len(asyncio.all_tasks()) <= tasks, 5)
        assert (descriptors() <= open_before, len(asyncio.all_tasks()) <= tasks) == (True, True)
        assert psutil.Process().memory_info().rss - memory < 30_000_000
    assert [event["details"]["code"] for event in await recorded(place, "access.refuse")] == [code] * 3
    assert (await place.ssh("echo in")).out == b"in\n"


async def test_a_target_that_answers_late_is_waited_for_and_not_for_ever(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for_s = [3.0]

    async def late(client: Pair, server: Pair) -> None:
        await asyncio.sleep(for_s[0])
        await asyncio.gather(carried(client[0], server[1]), carried(server[0], client[1]))

    async with before(place.target, late) as port:
        place.routes.add("late", port, place.target.user, place.key)
        fine = await place.ssh("echo in", user="admin+late")
        assert (fine.code, fine.out) == (0, b"in\n"), fine
        monkeypatch.setattr("rppam.gateway.ssh.target.ALL_S", 2.0)
        ended = await place.ssh("echo in", user="admin+late")
        assert (ended.code, ended.out) == (255, b"")
        one_line(ended.err, SILENT)


@pytest.mark.parametrize("end", ["gone", "half"])
async def test_a_target_that_is_lost_in_the_middle_ends_the_session_with_its_recording(place: Place, end: str) -> None:
    cut = asyncio.Event()

    async def cuts(client: Pair, server: Pair) -> None:
        both = [asyncio.create_task(carried(client[0], server[1])), asyncio.create_task(carried(server[0], client[1]))]
        await cut.wait()
        if end == "half":
            both[1].cancel()
            client[1].write_eof()
            await both[0]
        else:
            client[1].transport.abort()

    async with before(place.target, cuts) as port:
        place.routes.add("cut", port, place.target.user, place.key)
        running = asyncio.create_task(place.ssh("echo on; sleep 60; echo never", user="admin+cut"))
        await until(lambda: any(one.down for one in place.gateway.gate.live))
        cut.set()
        ended = await asyncio.wait_for(running, 15)
    assert (ended.code, ended.out) == (255, b"on\n"), ended
    await live(place, 0)
    (one,) = await listed(place)
    assert one["state"] == "done"
    assert bytes_of(await exported(place, one["id"], "ttyrec")) == b"on\n"
    assert len(await recorded(place, "access.end")) == 1


@pytest.mark.parametrize("mode", ["off", "bounded", "strict"])
async def test_a_client_that_never_reads_holds_its_target_back_and_nobody_else(
    place: Place, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    wanted = AccessPolicy(recording=mode)
    current = type(place.served.live).current
    monkeypatch.setattr(
        type(place.served.live), "current", lambda live, one: wanted if one is ACCESS else current(live, one)
    )
    assert (await place.ssh("true")).code == 0
    memory = psutil.Process().memory_info().rss
    process = await asyncio.create_subprocess_exec(
        "ssh", *place.options(), HOST, "cat /dev/zero", env=place.environment(PASSWORD), start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1024,
    )  # fmt: skip
    try:
        await until(lambda: any(one.down for one in place.gateway.gate.live), 20)
        (mine,) = place.gateway.gate.live
        seen = -1
        async with asyncio.timeout(30):
            while mine.down != seen:
                seen = mine.down
                await asyncio.sleep(1)
        assert seen < 40_000_000, "what is on its way is bounded"
        grown = psutil.Process().memory_info().rss - memory
        assert grown < 60_000_000, f"{grown} bytes more"
        assert (await place.ssh("echo other")).out == b"other\n"
        found = [one for one in await live(place) if one["id"] == mine.new.id]
        path = f"/api/v1/access/sessions/{found[0]['id']}/kill"
        assert (
            await place.served.http.post(path, json={"reason": "x"}, headers=place.served.bearer())
        ).status_code == 200
        await live(place, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
    await until(lambda: not place.gateway.gate.live)


@pytest.fixture
async def hasty(served: Served, tmp_path: Path, target: Sshd, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """A gateway that gives nobody long to log in."""
    monkeypatch.setattr("rppam.gateway.ssh.listener.LOGIN_S", 20)
    (tmp_path / "hasty").mkdir()
    one = Place(served, tmp_path / "hasty", target)
    await one.start()
    yield one
    await one.stop()


async def test_500_silent_connections_from_one_address_keep_nobody_else_out_and_are_cut(hasty: Place) -> None:
    assert (await hasty.ssh("echo in")).out == b"in\n"
    await asyncio.sleep(0.2)
    open_before = descriptors()
    pairs = await asyncio.gather(*(asyncio.open_connection(HOST, hasty.port) for _ in range(500)))
    try:
        heads = await asyncio.gather(
            *(asyncio.wait_for(reader.read(7), 20) for reader, _ in pairs), return_exceptions=True
        )
        assert heads.count(b"SSH-2.0") == 40
        # Where the kernel's queue was full it has forgotten who says nothing, and the gateway never saw that one.
        refused = [one for one in heads if one == b"" or isinstance(one, ConnectionError | TimeoutError)]
        assert len(refused) == 460
        assert refused.count(b"") > 100
        assert descriptors() - open_before < 500 + 60, "those that were refused have none at the gateway"
        elsewhere = await hasty.ssh("echo in", options=("-b", "127.0.0.9"))
        assert (elsewhere.code, elsewhere.out) == (0, b"in\n"), elsewhere
        held = [pair for pair, head in zip(pairs, heads, strict=True) if head == b"SSH-2.0"]
        async with asyncio.timeout(40):  # each is cut, which its reader sees
            for reader, _ in held:
                with contextlib.suppress(ConnectionError):
                    await reader.read()
    finally:
        for _, writer in pairs:
            writer.close()
    with contextlib.suppress(AssertionError):
        await until(lambda: descriptors() <= open_before, 10)
    assert descriptors() <= open_before
    assert (await hasty.ssh("echo in")).out == b"in\n"


# ---- stores ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "share"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "rppam-test", str(place)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def remounted(share: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(share)], check=True)


@pytest.fixture
async def shared(
    served: Served, tmp_path: Path, target: Sshd, policy: dict[str, Any], share: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    monkeypatch.setattr("rppam.recordings.recorder.LOSS_S", 1.0)
    current = type(served.live).current
    wanted: list[tuple[Any, Any]] = [(ACCESS, AccessPolicy(**policy)), (STORE, StorePolicy("dir", str(share)))]
    monkeypatch.setattr(
        type(served.live),
        "current",
        lambda live, one: next((value for setting, value in wanted if setting is one), None) or current(live, one),
    )
    one = Place(served, tmp_path, target, Taping(served.services.get(Recordings), served.live))
    await one.start()
    yield one
    await one.stop()


@pytest.mark.parametrize("policy", [{"recording": "bounded"}, {"recording": "strict"}], ids=["bounded", "strict"])
async def test_a_disk_that_is_full_ends_the_session_with_the_reason_and_shows_nothing_unrecorded(
    shared: Place, share: Path, policy: dict[str, Any]
) -> None:
    assert (await shared.ssh("echo in")).out == b"in\n"
    ended = await shared.ssh("head -c 3000000 /dev/urandom; sleep 30; echo never")
    assert ended.code == 255
    assert re.search(r"RP-PAM: .*can no longer be recorded: the folder .*No space left on device", ended.err), ended
    assert b"never" not in ended.out
    (lost, _) = await listed(shared)
    assert lost["bytes"] < 600_000
    if policy["recording"] == "strict":
        kept = bytes_of(await exported(shared, lost["id"], "ttyrec"))
        assert ended.out == kept, "what was shown, and no byte more, is in the recording"
    assert (await verified(shared, lost["id"]))["ok"]
    with contextlib.suppress(OSError):
        (share / "filler").write_bytes(bytes(1_000_000))
    refused = await shared.ssh("echo never; sleep 30")
    assert b"never" not in refused.out or policy["recording"] == "bounded"
    assert refused.code == 255
    assert "No space left on device" in refused.err, refused
    (share / "filler").unlink()
    assert (await shared.ssh("echo again")).out == b"again\n"


async def test_a_disk_that_is_read_only_takes_no_session_and_says_so(shared: Place, share: Path) -> None:
    running = asyncio.create_task(shared.ssh("while :; do echo x; sleep 0.1; done"))
    await until(lambda: any(one.down for one in shared.gateway.gate.live))
    await asyncio.sleep(0.5)
    remounted(share, "ro")
    ended = await asyncio.wait_for(running, 20)
    assert ended.code == 255
    assert re.search(r"can no longer be recorded: the folder .*Read-only file system", ended.err), ended
    refused = await shared.ssh("echo never")
    assert (refused.code, refused.out) == (255, b"")
    one_line(refused.err, "RPPAM-8702")
    assert "Read-only file system" in refused.err
    assert "RPPAM-8702" in [event["details"]["code"] for event in await recorded(shared, "access.refuse")]
    remounted(share, "rw")
    assert (await shared.ssh("echo again")).out == b"again\n"


@pytest.mark.parametrize("policy", [{"recording": "strict"}], ids=["strict"])
async def test_a_database_that_hangs_holds_a_strict_session_back_and_loses_nothing(
    place: Place, tmp_path: Path
) -> None:
    async with place.client() as client:
        process = await client.create_process("while read n; do echo line-$n; done", term_type=None)
        process.stdin.write("1\n")
        assert await asyncio.wait_for(process.stdout.readline(), 10) == "line-1\n"
        other = sqlite3.connect(place.served.place / "rppam.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        process.stdin.write("2\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.stdout.readline(), 2)
        other.execute("ROLLBACK")
        other.close()
        assert await asyncio.wait_for(process.stdout.readline(), 10) == "line-2\n"
        process.stdin.write_eof()
        await process.wait()
    (one,) = await listed(place)
    assert bytes_of(await exported(place, one["id"], "ttyrec")) == b"line-1\nline-2\n"
    assert (await verified(place, one["id"]))["ok"]
