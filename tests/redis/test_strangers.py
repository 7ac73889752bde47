"""What answers is not a Redis, not a whole one, or not there at all: each told apart, with the fix."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from rppam.kernel.secret import Secret
from rppam.redis.errors import (
    StoreClosed,
    StoreCluster,
    StoreConnectTimeout,
    StoreError,
    StoreFull,
    StoreLoading,
    StoreNameUnknown,
    StoreNoGreeting,
    StoreProtected,
    StoreProtocol,
    StoreReadOnly,
    StoreRefused,
    StoreTooOld,
    StoreUnknown,
    StoreUnreachable,
)
from tests.redis.conftest import Open, slow_to_load
from tests.support.ports import free_port
from tests.support.redis_servers import SERVERS, Server, ServerKind, need
from tests.support.strange_redis import GREETING, HELLO, INFO, ROLE, SLAVE, Handler, greet, scripted

pytestmark = pytest.mark.integration


def says(*words: bytes, hang_up: bool = False) -> Handler:
    """Answers each read with the next of ``words``; then hangs up or keeps silent."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in words:
            await reader.read(65536)
            writer.write(answer)
        if not hang_up:
            await reader.read(-1)

    return handler


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port whose accept queue is full: connection attempts get no answer at all."""
    with socket.socket() as listener, contextlib.ExitStack() as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("answer", "expected", "sentence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n", StoreProtocol, "speaks HTTP, not Redis"),
        (b"\x15\x03\x01\x00\x02\x02\x46", StoreProtocol, "speaks TLS; set ssl=true"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", StoreProtocol, "does not speak the Redis protocol"),
        (b"\x00\x01\x02", StoreProtocol, "does not speak the Redis protocol"),
        (b"$-7\r\n", StoreProtocol, "does not speak the Redis protocol"),
        (b":12a\r\n", StoreProtocol, "does not speak the Redis protocol"),
        (b"%1\r\n*1\r\n:1\r\n:2\r\n", StoreProtocol, "does not speak the Redis protocol"),
        (b"+OK\r\n", StoreProtocol, "answered HELLO with something else"),
        (b"+OK\r\n+OK\r\n", StoreProtocol, "answered HELLO with something else"),
        (b">0\r\n", StoreProtocol, "does not speak the Redis protocol"),
        (
            b"-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'x' 'pa$$'\r\n",
            StoreTooOld,
            "6.2 or later",
        ),
        (b"-NOPROTO unsupported protocol version\r\n", StoreTooOld, "6.2 or later"),
        (b"-DENIED Redis is running in protected mode because ...\r\n", StoreProtected, "requirepass"),
        (b"-ERR max number of clients reached\r\n", StoreFull, "maxclients"),
        (b"-ERR something pa$$ something\r\n", StoreError, "something"),
        (b"-\xff\xfe not text\r\n", StoreError, "not text"),
    ],
)
async def test_a_strange_greeting_is_told_with_the_fix_and_without_the_password(
    open_: Open, answer: bytes, expected: type[StoreError], sentence: str
) -> None:
    async with scripted(says(answer)) as port:
        with pytest.raises(expected, match=sentence) as strange:
            await open_(port, password=Secret("pa$$"))
        assert f"127.0.0.1:{port}" in str(strange.value)
        assert "pa$$" not in str(strange.value) + strange.value.raw


async def test_a_server_that_is_still_loading_is_not_usable_yet(open_: Open) -> None:
    loading = b"-LOADING Redis is loading the dataset in memory\r\n" + INFO + INFO + ROLE
    async with scripted(says(HELLO, loading)) as port:
        with pytest.raises(StoreLoading, match="Wait for loading"):
            await open_(port)


async def test_a_replica_is_refused_unless_it_is_wanted(open_: Open) -> None:
    role = b"$12\r\nrole:slave\r\n\r\n"
    async with scripted(says(HELLO, b"+PONG\r\n" + INFO + role + SLAVE)) as port:
        with pytest.raises(StoreReadOnly, match="primary"):
            await open_(port)
    async with scripted(says(HELLO, b"+PONG\r\n" + INFO + role + SLAVE)) as port:
        assert (await open_(port, require_primary=False)).identity.role == "replica"


async def test_a_sentinel_is_recognised(open_: Open) -> None:
    sentinel = HELLO.replace(b"$10\r\nstandalone", b"$8\r\nsentinel")
    async with scripted(says(sentinel, GREETING[1])) as port:
        with pytest.raises(StoreProtocol, match="Sentinel"):
            await open_(port)


async def test_a_server_in_cluster_mode_is_refused_at_the_greeting(open_: Open) -> None:
    cluster = HELLO.replace(b"$10\r\nstandalone", b"$7\r\ncluster")
    async with scripted(says(cluster, GREETING[1])) as port:
        with pytest.raises(StoreCluster, match="runs in cluster mode, where one script"):
            await open_(port)


@pytest.mark.parametrize("kind", SERVERS, ids=str)
async def test_each_server_in_cluster_mode_says_so_and_is_refused(open_: Open, kind: ServerKind) -> None:
    need(kind)
    refused = pytest.raises(StoreCluster, match="without cluster-enabled, or at Sentinels")
    with Server(kind, "--cluster-enabled", "yes") as server, refused:
        await open_(server.port)


async def test_hanging_up_during_the_greeting_is_a_closed_connection(open_: Open) -> None:
    async with scripted(says(HELLO, hang_up=True)) as port:
        with pytest.raises(StoreClosed, match="closed the connection"):
            await open_(port)
    async with scripted(says(hang_up=True)) as port:
        with pytest.raises(StoreUnreachable):
            await open_(port)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "said nothing within 150 ms"),
        ((HELLO[:20],), "answered 20 bytes, not a whole greeting, within 150 ms"),
        ((HELLO,), "not a whole greeting, within 150 ms"),
        ((HELLO, b"+PONG\r\n$100\r\nabc"), "not a whole greeting, within 150 ms"),
    ],
)
async def test_a_greeting_that_stops_half_way_ends_within_connect_timeout(
    open_: Open, words: tuple[bytes, ...], told: str
) -> None:
    async with scripted(says(*words)) as port:
        began = time.perf_counter()
        with pytest.raises(StoreNoGreeting, match=told):
            await open_(port, connect_timeout_ms=150)
        assert 0.14 < time.perf_counter() - began < 1.5, "bounded by its own 150 ms, not by the usual 5 s"


async def test_a_black_hole_ends_within_connect_timeout(open_: Open) -> None:
    with black_hole() as port:
        began = time.perf_counter()
        with pytest.raises(StoreConnectTimeout, match=r"within 150 ms.*firewall"):
            await open_(port, connect_timeout_ms=150)
        assert time.perf_counter() - began < 1.5, "bounded by its own 150 ms, not by the usual 5 s"


async def test_refused_and_unknown_names_are_told_apart(open_: Open) -> None:
    with pytest.raises(StoreRefused, match=r"check that Redis runs there$"):
        await open_(free_port())
    with pytest.raises(StoreNameUnknown, match=r"no-such-host\.invalid"):
        await open_(6379, host="no-such-host.invalid")
    with pytest.raises(StoreNameUnknown):
        await open_(6379, host="x" * 70 + ".example")


async def test_a_reply_in_single_bytes_is_whole_in_the_end(open_: Open) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await reader.read(65536)
        for byte in b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n*2\r\n$3\r\na\r\n\r\n#f\r\n_\r\n#t\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read(-1)

    pushes: list[list[object]] = []
    async with scripted(drip) as port:
        connection = await open_(port, on_push=pushes.append)
        answers = await asyncio.gather(*(connection.command("X", timeout_ms=2000) for _ in range(3)))
    assert answers == [[b"a\r\n", False], None, True]
    assert pushes == [[b"message", b"c", b"m"]]


@pytest.mark.parametrize("garbage", [b"\x00\x00\x00", b"*2\r\n+a\r\n?", b"HTTP/1.1 502\r\n", b":1\r\n:2\r\n:3\r\n"])
async def test_garbage_in_mid_stream_leaves_the_others_unknown(open_: Open, garbage: bytes) -> None:
    lost: list[StoreError] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await reader.read(65536)
        writer.write(b"+one\r\n" + garbage)
        await reader.read(-1)

    async with scripted(handler) as port:
        connection = await open_(port, on_lost=lost.append)
        first, second = await asyncio.gather(
            *(connection.command("X", timeout_ms=500) for _ in range(2)), return_exceptions=True
        )
    assert first == b"one"
    if garbage.startswith(b":1"):
        assert second == 1, "paired before the surplus came"
    else:
        assert isinstance(second, StoreUnknown)
        assert isinstance(second.__cause__, StoreProtocol)
    assert isinstance(lost[0], StoreProtocol)


async def test_half_a_reply_and_then_silence_is_unknown_and_the_connection_given_up(open_: Open) -> None:
    lost: list[StoreError] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await reader.read(65536)
        writer.write(b"$100\r\nhalf")
        await reader.read(-1)

    async with scripted(handler) as port:
        connection = await open_(port, on_lost=lost.append, silence_ms=200)
        began = time.perf_counter()
        with pytest.raises(StoreUnknown):
            await connection.command("GET", "x", timeout_ms=100)
        assert time.perf_counter() - began < 0.15
        async with asyncio.timeout(1):
            while not lost:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert "has not answered" in str(lost[0])


async def test_a_huge_announced_list_costs_no_memory(open_: Open) -> None:
    import psutil

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await reader.read(65536)
        writer.write(b"*1000000000\r\n:1\r\n")
        await reader.read(-1)

    async with scripted(handler) as port:
        connection = await open_(port)
        before = psutil.Process().memory_info().rss
        with pytest.raises(StoreUnknown):
            await connection.command("X", timeout_ms=100)
        assert psutil.Process().memory_info().rss - before < 64 << 20


async def test_a_real_loading_redis_is_recognised(open_: Open) -> None:
    async with slow_to_load() as redis:
        redis.restart(wait=False)
        seen: set[str] = set()
        async with asyncio.timeout(20):
            while True:
                try:
                    await open_(redis.port)
                    break
                except StoreError as error:
                    seen.add(type(error).__name__)
                    await asyncio.sleep(0.05)
    assert "StoreLoading" in seen
    assert seen <= {"StoreLoading", "StoreRefused"}
