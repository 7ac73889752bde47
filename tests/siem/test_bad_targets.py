"""Targets that take half a batch, answer slowly, lie or have another certificate: it is said, and nothing is lost."""

import asyncio
import contextlib
import json
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rppam.db.database import Database
from rppam.kernel.system_clock import SystemClock
from rppam.siem import senders
from rppam.siem.delivery import Delivery
from rppam.siem.errors import DeliveryFailed, TargetSlow
from rppam.siem.model import Options, TargetKind
from rppam.siem.senders import SentinelSender, SplunkSender, SyslogSender, WebhookSender
from tests.siem.receivers import event, http, target
from tests.siem.test_delivery import grow, leader, targets_of, until  # noqa: F401 - a fixture
from tests.support.authority import Authority

pytestmark = [pytest.mark.integration, pytest.mark.server]


def first_seen(taken: list[int]) -> list[int]:
    return list(dict.fromkeys(taken))


async def test_a_target_that_takes_half_a_batch_gets_it_whole_and_in_order(
    database: Database,
    leader: Delivery,  # noqa: F811
) -> None:
    taken: list[int] = []
    tries = 0

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        nonlocal tries
        tries += 1
        found = [one["index"] for one in json.loads(body)]
        if tries % 3 == 1:
            taken.extend(found[: len(found) // 2])
            return 500, {}
        taken.extend(found)
        return 200, {}

    store = targets_of(database)
    said: set[str] = set()
    async with http(handle) as url:
        await grow(database, 40)
        await store.create(target(TargetKind.WEBHOOK, url, options=Options(batch_size=10, flush_seconds=0)))
        leader.start(7)
        async with asyncio.timeout(60):
            while (found := await store.get("id-1")).cursor < 40:
                said.add(found.problem)
                await asyncio.sleep(0.01)
        await leader.stop()
    assert "it answered with the status 500" in said
    assert found.problem == "", "it is over"
    assert first_seen(taken)[:40] == list(range(40)), "each, and none before an earlier one"
    assert len(taken) > 40, "what was refused came again"


async def test_a_syslog_target_that_takes_half_a_batch_gets_the_rest_with_a_mark(
    database: Database,
    leader: Delivery,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(senders, "UNPROVEN_S", 0)
    taken: list[tuple[int, bool]] = []
    connections = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        most = 7 if connections == 1 else 10_000
        try:
            for _ in range(most):
                message = await reader.readexactly(int(await reader.readuntil(b" ")))
                index = int(message.split(b'index="')[1].split(b'"')[0])
                taken.append((index, b' again="1"' in message))
        except (asyncio.IncompleteReadError, OSError):
            pass
        writer.transport.abort()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    monkeypatch.setattr(senders, "UNPROVEN_S", 2)
    try:
        await grow(database, 40)
        url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        options = Options(batch_size=20, flush_seconds=0)
        await targets_of(database).create(target(TargetKind.SYSLOG, url, None, options=options))
        leader.start(7)
        await until(database, "id-1", 40)
    finally:
        await leader.stop()
        server.close()
    assert first_seen([index for index, _ in taken])[:40] == list(range(40))
    seen: set[int] = set()
    for index, is_again in taken:
        assert is_again or index not in seen, "what comes twice is marked"
        seen.add(index)
    assert any(is_again for _, is_again in taken)


async def test_what_went_with_its_connection_is_sent_again_though_nothing_new_comes(
    database: Database,
    leader: Delivery,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(senders, "UNPROVEN_S", 2)
    taken: list[list[bool]] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: list[bool] = []
        taken.append(mine)
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while len(mine) < 10 or len(taken) > 1:
                message = await reader.readexactly(int(await reader.readuntil(b" ")))
                mine.append(b' again="1"' in message)
        await asyncio.sleep(0.2)  # it has taken all, and dies before it has kept them
        writer.transport.abort()
        over.append(mine)

    over: list[list[bool]] = []
    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        await grow(database, 10)
        url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        options = Options(batch_size=20, flush_seconds=0)
        await targets_of(database).create(target(TargetKind.SYSLOG, url, None, options=options))
        leader.start(7)
        await until(database, "id-1", 10)
    finally:
        await leader.stop()
        server.close()
        async with asyncio.timeout(30):
            while len(over) < len(taken):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
    assert taken[:2] == [[False] * 10, [True] * 10]


async def test_a_target_that_answers_slowly_is_named_and_tried_again(
    database: Database,
    leader: Delivery,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(senders, "TIMEOUT_S", 0.5)
    taken: list[int] = []
    wakes = asyncio.Event()
    asleep = 0

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        nonlocal asleep
        if not wakes.is_set():
            asleep += 1
            await wakes.wait()  # the last one that waits may still be answered in time
            asleep -= 1
        taken.extend(one["index"] for one in json.loads(body))
        return 200, {}

    store = targets_of(database)
    async with http(handle) as url:
        await grow(database, 5)
        await store.create(target(TargetKind.WEBHOOK, url))
        leader.start(7)

        async def is_told() -> bool:
            return bool((await store.get("id-1")).problem)

        async with asyncio.timeout(60):
            while not await is_told():  # noqa: ASYNC110 - a row has no event
                await asyncio.sleep(0.02)
        told = await store.get("id-1")
        assert "0.5 s" in told.problem, told.problem
        assert told.cursor == 0
        wakes.set()
        await until(database, "id-1", 5)
        await leader.stop()
        async with asyncio.timeout(30):
            while asleep:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
    assert first_seen(taken)[:5] == list(range(5))


async def test_a_target_that_is_too_slow_for_a_whole_batch_gets_smaller_ones(
    database: Database,
    leader: Delivery,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(senders, "TIMEOUT_S", 1)
    taken: list[int] = []

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        found = [one["index"] for one in json.loads(body)]
        await asyncio.sleep(0.04 * len(found))
        taken.extend(found)
        return 200, {}

    async with http(handle) as url:
        await grow(database, 60)
        await targets_of(database).create(
            target(TargetKind.WEBHOOK, url, options=Options(batch_size=60, flush_seconds=0))
        )
        leader.start(7)
        await until(database, "id-1", 60)
        await leader.stop()
    assert first_seen(taken)[:60] == list(range(60))


@asynccontextmanager
async def lazy() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A receiver that reads nothing before it is told to, with as little room in its kernel as there may be."""
    reads, over = asyncio.Event(), asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reads.wait()
        with contextlib.suppress(OSError):
            while await reader.read(1_000_000):
                pass
        writer.close()
        over.set()

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    listener.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(take, sock=listener, limit=1_024)
    try:
        yield listener.getsockname()[1], reads
    finally:
        reads.set()
        server.close()
        async with asyncio.timeout(20):
            await over.wait()


def hung_up(port: int) -> bool:
    """Whether none of our connections to it is open. Where the kernel tells; else it is believed."""
    table = Path("/proc/self/net/tcp")
    lines = table.read_text(encoding="ascii").splitlines()[1:] if table.exists() else []
    return not any(line.split()[2] == f"0100007F:{port:04X}" and line.split()[3] == "01" for line in lines)


LARGE = [event(index, details={"text": "x" * 50_000}) for index in range(10)]


async def test_a_syslog_target_that_reads_nothing_is_said_to_be_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "TIMEOUT_S", 0.5)

    async def fill(sender: SyslogSender) -> None:
        for _ in range(50):
            await sender.send(LARGE)

    async with lazy() as (port, _):
        sender = SyslogSender(target(TargetKind.SYSLOG, f"tcp://127.0.0.1:{port}", None), SystemClock())
        with pytest.raises(TargetSlow, match=r"it took nothing within 0\.5 s"):
            await fill(sender)
        await sender.close()
        await asyncio.sleep(0.1)
        assert hung_up(port), "or each try would leave a connection there"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel is asked")
async def test_what_still_lies_in_our_own_kernel_has_not_arrived_however_long_ago_it_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(senders, "UNPROVEN_S", 0)
    async with lazy() as (port, reads):
        sender = SyslogSender(target(TargetKind.SYSLOG, f"tcp://127.0.0.1:{port}", None), SystemClock())
        assert (await sender.send(LARGE)).events == 10
        await asyncio.sleep(0.3)
        assert sender.proven() == -1, "the receiver's host has some of it, and not the end of a batch"
        reads.set()
        async with asyncio.timeout(20):
            while sender.proven() != 9:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
        await sender.close()


LIES: list[tuple[Any, object, str]] = [
    (SplunkSender, {"text": "Success", "code": 0}, "expected an ackId"),
    (SplunkSender, {"ackId": "5"}, "expected an ackId"),
    (SplunkSender, {"ackId": 5, "acks": {"5": "true"}}, "has not acknowledged it within"),
    (SplunkSender, {"ackId": 5, "acks": {"6": True}}, "has not acknowledged it within"),
    (SentinelSender, {"access_token": 7, "expires_in": 3600}, "answered without a token"),
    (SentinelSender, ["access_token"], "answered without a token"),
]


@pytest.mark.parametrize(("kind", "answer", "sentence"), LIES)
async def test_a_target_that_lies_is_not_believed(
    kind: Any, answer: object, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "ACK_WITHIN_S", 0.2)
    monkeypatch.setattr(senders, "ACK_EVERY_S", 0.02)

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        return 200, answer

    async with http(handle) as url:
        options = Options(token_url=f"{url}/token", client_id="c", rule_id="dcr-1", stream="Custom-RpPam_CL")
        which = TargetKind.SPLUNK if kind is SplunkSender else TargetKind.SENTINEL
        with pytest.raises(DeliveryFailed, match=sentence):
            await kind(target(which, url, options=options), SystemClock()).send([event(0)])


@asynccontextmanager
async def tls(authority: Authority, name: str) -> AsyncIterator[int]:
    """A server that speaks TLS with a certificate for ``name``, and takes what comes."""
    context = context_of(authority, name)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65_536):
                writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n{}")
        except OSError:
            pass
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def context_of(authority: Authority, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(name))
    return context


@pytest.fixture
def authorities(tmp_path: Path) -> tuple[Authority, Authority]:
    """Ours, and somebody else's."""
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    return Authority(tmp_path / "ours"), Authority(tmp_path / "theirs", "another authority")


async def test_events_wait_while_the_certificate_is_another_ones_and_come_in_order_once_it_is_mended(
    database: Database,
    leader: Delivery,  # noqa: F811
    authorities: tuple[Authority, Authority],
) -> None:
    ours, theirs = authorities
    taken: list[int] = []

    async def handle(path: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        taken.extend(one["index"] for one in json.loads(body))
        return 200, {}

    store = targets_of(database)
    await grow(database, 20)
    async with http(handle, context_of(theirs)) as url:
        options = Options(batch_size=10, flush_seconds=0, ca_path=str(ours.path))
        await store.create(target(TargetKind.WEBHOOK, url, options=options))
        leader.start(7)
        async with asyncio.timeout(30):
            while not (found := await store.get("id-1")).problem:  # noqa: ASYNC110 - a row has no event
                await asyncio.sleep(0.02)
        await grow(database, 5)
        await asyncio.sleep(0.2)
    assert "its certificate is not believed" in found.problem
    assert "name its authority in options.caPath" in found.problem, "the fix is the target's, not a node's"
    assert (found.cursor, taken) == (0, [])
    async with http(handle, context_of(ours), int(url.rpartition(":")[2])):
        await until(database, "id-1", 26)
        await leader.stop()
    assert taken == list(range(26))


@pytest.mark.parametrize("scheme", ["tls", "https"])
async def test_without_verification_any_certificate_will_do(
    scheme: str, authorities: tuple[Authority, Authority]
) -> None:
    _, theirs = authorities
    kind = TargetKind.SYSLOG if scheme == "tls" else TargetKind.WEBHOOK
    sender_of: Any = SyslogSender if scheme == "tls" else WebhookSender
    async with tls(theirs, "siem.example") as port:
        url = f"{scheme}://localhost:{port}"
        with pytest.raises(DeliveryFailed, match=r"not believed .*; name its authority in options\.caPath"):
            await sender_of(target(kind, url, options=Options()), SystemClock()).send([event(0)])
        sender = sender_of(target(kind, url, options=Options(verify_tls=False)), SystemClock())
        assert (await sender.send([event(0)])).events == 1
        await sender.close()


@pytest.mark.parametrize("scheme", ["tls", "https"])
async def test_a_target_with_another_certificate_gets_nothing(
    scheme: str, authorities: tuple[Authority, Authority]
) -> None:
    ours, theirs = authorities
    kind = TargetKind.SYSLOG if scheme == "tls" else TargetKind.WEBHOOK
    sender_of: Any = SyslogSender if scheme == "tls" else WebhookSender
    options = Options(flush_seconds=0, ca_path=str(ours.path))
    for authority, name, sentence in (
        (theirs, "localhost", "certificate"),
        (ours, "siem.example", "certificate"),
        (ours, "localhost", ""),
    ):
        async with tls(authority, name) as port:
            sender = sender_of(target(kind, f"{scheme}://localhost:{port}", options=options), SystemClock())
            if sentence:
                with pytest.raises(DeliveryFailed, match=sentence):
                    await sender.send([event(0)])
            else:
                await sender.send([event(0)])
            await sender.close()
