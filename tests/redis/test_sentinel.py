"""A link that follows a real Sentinel installation: moved by SENTINEL FAILOVER, by death, and by a frozen primary."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hiredis
import pytest

from rppam.config.connection import parse_connection
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.connection import Script
from rppam.redis.errors import (
    StoreDown,
    StoreError,
    StoreNoReplicas,
    StoreReadOnly,
    StoreSentinelsSilent,
    StoreServiceUnknown,
    StoreUnknown,
)
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions
from rppam.redis.sentinel import SentinelEndpoints
from rppam.redis.tls import TlsFiles
from tests.redis.conftest import eventually
from tests.support.authority import DAY, NOW, Authority
from tests.support.lab_fixtures import KIND
from tests.support.ports import free_port
from tests.support.redis_servers import SERVERS, ServerKind, need
from tests.support.sentinels import NAME, SENTINEL_PASSWORD, SentinelLab
from tests.support.strange_redis import HELLO, INFO, ROLE, scripted

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.sentinel]

Follow = Callable[..., Link]
PUT = Script.of("put", "return redis.call('SET', KEYS[1], ARGV[1])")


@pytest.fixture(scope="module")
def installation() -> Iterator[SentinelLab]:
    need(KIND)
    with SentinelLab(KIND) as lab:
        yield lab


@pytest.fixture
def lab(installation: SentinelLab) -> SentinelLab:
    """The installation of this file, whole again."""
    for server in installation.servers:
        with contextlib.suppress(AssertionError):
            server.cont()
        if server._process is None:
            server.restart()
    for sentinel in installation.sentinels:
        if sentinel._process is None:
            sentinel.start()
        sentinel.cont()
    installation.settle()
    return installation


@pytest.fixture
async def follow() -> AsyncIterator[Follow]:
    """``follow(connection_string)``: a link through sentinels, not started; further words go to LinkOptions."""
    made: list[Link] = []

    def make(text: str, *, tls: TlsFiles | None = None, **settings: Any) -> Link:
        parsed = parse_connection(text)
        assert parsed.service_name is not None
        settings = {"connect_timeout_ms": 2_000, "command_timeout_ms": 2_000, "reconnect_cap_ms": 250} | settings
        context = tls.load() if tls else None
        options = replace(LinkOptions.of(parsed, ssl=context), **settings)
        sentinels = replace(
            LinkOptions.of_sentinels(parsed, ssl=context), connect_timeout_ms=2_000, command_timeout_ms=1_000
        )
        clock, entropy = SystemClock(), SystemEntropy()
        source = SentinelEndpoints(parsed.service_name, options, sentinels, clock=clock, entropy=entropy, tls=tls)
        link = Link(options, clock=clock, entropy=entropy, source=source)
        made.append(link)
        return link

    yield make
    for link in made:
        await link.stop()


def source_of(link: Link) -> SentinelEndpoints:
    assert isinstance(link._source, SentinelEndpoints)
    return link._source


def port_of(link: Link) -> int | None:
    return link.target.port if link.target else None


async def off_loop(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


# ---- finding ---------------------------------------------------------------------------------------------------------


async def test_it_finds_the_primary_and_hears_all_sentinels(lab: SentinelLab, follow: Follow) -> None:
    link = follow(lab.connection_string)
    await link.start()
    assert port_of(link) == lab.named_port()
    assert await link.command("SET", "a", "1") == b"OK"
    await eventually(lambda: all(watcher.is_connected for watcher in source_of(link).watchers))
    for sentinel in lab.sentinels:
        assert sentinel.ask("PUBSUB", "NUMSUB", "+switch-master")[1] >= 1 if _knows_pubsub(sentinel) else True


def _knows_pubsub(sentinel: Any) -> bool:
    with contextlib.suppress(hiredis.ReplyError):
        sentinel.ask("PUBSUB", "NUMSUB", "x")
        return True
    return False


async def test_one_sentinel_is_enough_to_start_and_the_others_are_joined_later(
    lab: SentinelLab, follow: Follow
) -> None:
    lab.sentinels[0].kill()
    lab.sentinels[1].stop()
    link = follow(lab.connection_string)
    began = time.monotonic()
    await link.start()
    assert time.monotonic() - began < 2.5, "a dead and a frozen sentinel cost a grace, not their timeouts"
    assert await link.command("PING") == b"PONG"
    lab.sentinels[1].cont()
    lab.sentinels[0].start()
    await eventually(lambda: all(watcher.is_connected for watcher in source_of(link).watchers))
    assert await link.command("PING") == b"PONG"


async def test_a_name_the_sentinels_do_not_know_is_told_with_those_they_know(lab: SentinelLab, follow: Follow) -> None:
    link = follow(lab.connection_string.replace(NAME, "my-primary"), connect_retry=1)
    with pytest.raises(StoreServiceUnknown) as caught:
        await link.start()
    shown = ", ".join(f"{host}:{port}" for host, port in lab.endpoints)
    assert str(caught.value) == (
        f"the sentinels at {shown} do not know 'my-primary'; they know: {NAME}. "
        "Correct serviceName in redis.connectionString"
    )


async def test_no_sentinel_at_all_is_told_with_the_reason_of_each(follow: Follow) -> None:
    first, second = free_port(), free_port()
    link = follow(f"127.0.0.1:{first},127.0.0.1:{second},serviceName=x", connect_retry=1)
    began = time.monotonic()
    with pytest.raises(StoreSentinelsSilent) as caught:
        await link.start()
    assert time.monotonic() - began < 1.5
    assert f"127.0.0.1:{first}: connection refused" in str(caught.value)
    assert f"127.0.0.1:{second}: connection refused" in str(caught.value)


async def test_a_redis_where_a_sentinel_should_be_is_named(lab: SentinelLab, follow: Follow) -> None:
    plain = lab.servers[0]
    link = follow(f"127.0.0.1:{plain.port},serviceName={NAME},password={plain.password}", connect_retry=1)
    with pytest.raises(StoreSentinelsSilent, match="it is a Redis, not a Sentinel"):
        await link.start()


async def test_it_starts_without_sentinels_and_connects_when_they_come(follow: Follow) -> None:
    with SentinelLab(KIND) as own:
        for sentinel in own.sentinels:
            sentinel.kill()
        link = follow(own.connection_string, abort_connect=False)
        await link.start()
        assert "no sentinel could be asked" in link.status.reason
        for sentinel in own.sentinels:
            sentinel.start()
        assert await link.wait_up(5_000)


# ---- moving ----------------------------------------------------------------------------------------------------------


async def test_a_switch_moves_it_within_fifty_milliseconds_and_fails_what_waits(
    lab: SentinelLab, follow: Follow
) -> None:
    link = follow(lab.connection_string)
    heard: list[float] = []
    downs: list[StoreError] = []
    ups: list[tuple[float, int | None]] = []
    link.on_down(downs.append)
    await link.start()
    for watcher in source_of(link).watchers:
        await watcher.subscribe("+switch-master", lambda _: heard.append(time.monotonic()))
    await eventually(lambda: all(watcher.is_connected for watcher in source_of(link).watchers))
    link.on_up(lambda _: ups.append((time.monotonic(), port_of(link))))
    before = port_of(link)
    await off_loop(lab.failover)
    await eventually(lambda: bool(heard) and port_of(link) not in {None, before}, within_s=10)
    assert port_of(link) == lab.named_port()
    assert ups[-1][1] == lab.named_port()
    assert ups[-1][0] - heard[0] < 0.25, "on a busy machine; the benchmark holds it to 50 ms"
    assert "are replacing" in str(downs[0]), "the old primary is left before another is promoted"
    assert await link.command("SET", "b", "2") == b"OK"


async def test_the_elected_sentinel_moves_it_before_the_others_have_heard(
    lab: SentinelLab, follow: Follow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Deaf to ``+switch-master``: what the elected sentinel says of the promoted replica is enough."""
    monkeypatch.setattr(SentinelEndpoints, "_switched", lambda *_: None)
    link = follow(lab.connection_string)
    await link.start()
    await eventually(lambda: all(watcher.is_connected for watcher in source_of(link).watchers))
    before = port_of(link)
    await off_loop(lab.failover)
    await eventually(lambda: port_of(link) == lab.named_port(), within_s=10)
    assert f"the sentinels moved '{NAME}' from 127.0.0.1:{before} to 127.0.0.1:{port_of(link)}" in caplog.text


async def test_a_primary_that_is_being_replaced_is_left_alone_but_not_for_ever(
    lab: SentinelLab, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failover that begins and hangs: the message is made up, the old primary stays the only one."""
    monkeypatch.setattr("rppam.redis.sentinel.HOLD_S", 0.6)
    link = follow(lab.connection_string)
    await link.start()
    await eventually(lambda: all(watcher.is_connected for watcher in source_of(link).watchers))
    port = port_of(link)
    loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    source_of(link)._being_replaced(f"slave x 127.0.0.1 1 @ {NAME} 127.0.0.1 {port}".encode())
    with pytest.raises(StoreDown, match="the sentinels are replacing"):
        await link.command("SET", "b", "3")
    # A sentinel that ends its part of the failover before tells of it late: that leads nobody back.
    source_of(link)._switched(f"{NAME} 127.0.0.1 1 127.0.0.1 {port}".encode())
    await eventually(lambda: link.is_connected)
    assert port_of(link) == port
    assert loop.time() - began >= 0.6


async def test_a_frozen_primary_is_left_at_once_when_the_sentinels_move(lab: SentinelLab, follow: Follow) -> None:
    link = follow(lab.connection_string, silence_ms=60_000)
    await link.start()
    old = lab.primary
    old.stop()
    try:
        asked = asyncio.create_task(link.command("SET", "c", "3", timeout_ms=30_000))
        began = time.monotonic()
        with pytest.raises(StoreUnknown, match=r"the sentinels (moved|are replacing)"):
            await asked
        assert time.monotonic() - began < 10, "it did not wait for its own 30 s"
        await eventually(lambda: link.is_connected)
        assert lab.client_port(old) != port_of(link)
        assert await link.command("SET", "c", "4") == b"OK"
    finally:
        old.cont()
    # The old primary is back and still says of itself that it is one: nobody follows it.
    await asyncio.sleep(0.5)
    assert lab.client_port(old) != port_of(link)


async def test_a_killed_primary_that_comes_back_as_a_primary_is_not_followed(lab: SentinelLab, follow: Follow) -> None:
    def epoch() -> int:
        return int(lab.sentinels[0].master()["config-epoch"])

    link = follow(lab.connection_string)
    await link.start()
    old, before = lab.primary, await off_loop(epoch)
    downs: list[StoreError] = []
    link.on_down(downs.append)
    await off_loop(old.kill)
    await eventually(lambda: link.is_connected and port_of(link) != lab.client_port(old), within_s=15)
    # It has no file of its own, so it is a primary until the sentinels tell it. (In this thread: it dies with it.)
    old.restart()
    assert await link.command("GET", "none") is None
    assert port_of(link) != lab.client_port(old)
    await off_loop(lab.settle)
    # At times the sentinels move once more by themselves.
    assert 1 <= len(downs) <= await off_loop(epoch) - before


async def test_a_sentinel_that_was_away_brings_news_when_it_comes_back(lab: SentinelLab, follow: Follow) -> None:
    """All sentinels are gone while the primary moves behind their backs: the link learns it when they return."""
    link = follow(lab.connection_string)
    await link.start()
    before = port_of(link)
    source = source_of(link)
    for watcher in source.watchers:  # deaf: as if all three connections were cut by a firewall
        await watcher.stop()
    await off_loop(lab.failover)
    await eventually(lambda: not link.is_connected or port_of(link) != before, within_s=10)
    for watcher in source.watchers:
        source._first.pop(watcher, None)
        watcher._stopping = False
        await watcher.start()
    await eventually(lambda: link.is_connected and port_of(link) == lab.named_port(), within_s=10)


async def test_a_replica_is_never_written_whatever_a_sentinel_says(lab: SentinelLab, follow: Follow) -> None:
    """One sentinel names a replica and, with a higher epoch, is believed first: the replica itself refuses."""
    replica = next(server for server in lab.servers if server is not lab.primary)
    where = lab.client_port(replica)

    async def lying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = HELLO.replace(b"$10\r\nstandalone", b"$8\r\nsentinel")
        await reader.read(65536)
        writer.write(hello)
        await reader.read(65536)
        writer.write(b"+PONG\r\n" + INFO + INFO + ROLE)
        while data := await reader.read(65536):
            parser = hiredis.Reader()
            parser.feed(data)
            while (words := parser.gets()) is not False:
                port = str(where).encode()
                if words[0] == b"SUBSCRIBE":
                    writer.write(b">3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n")
                elif words[1] == b"GET-MASTER-ADDR-BY-NAME":
                    writer.write(b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n" % (len(port), port))
                else:
                    writer.write(
                        b"%%3\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$4\r\nport\r\n$%d\r\n%s\r\n$12\r\nconfig-epoch\r\n$3\r\n999\r\n"
                        % (len(port), port)
                    )

    async with scripted(lying) as liar:
        rest = lab.connection_string.split(",")
        alone = follow(f"127.0.0.1:{liar},{','.join(rest[3:])}", connect_retry=1)
        with pytest.raises(StoreReadOnly):
            await alone.start()
        # Among honest ones, the address that a majority names is tried after it.
        honest = follow(f"127.0.0.1:{liar},{','.join(rest)}", connect_retry=1)
        await honest.start()
        assert port_of(honest) == lab.named_port()


# ---- writes ----------------------------------------------------------------------------------------------------------


async def test_a_confirmed_write_says_how_many_replicas_have_it(lab: SentinelLab, follow: Follow) -> None:
    link = follow(lab.connection_string)
    await link.start()
    reply, confirmed = await link.run_script_replicated(PUT, ["w"], ["1"], replicas=1)
    assert reply == b"OK"
    assert confirmed >= 1
    for server in lab.servers:
        if server is not lab.primary:
            server.stop()
    began = time.monotonic()
    reply, confirmed = await link.run_script_replicated(PUT, ["w"], ["2"], replicas=1, timeout_ms=400)
    assert (reply, confirmed) == (b"OK", 0)
    assert 0.25 < time.monotonic() - began < 0.45 + 0.5
    for server in lab.servers:
        server.cont()
    assert (await link.run_script_replicated(PUT, ["w"], ["3"], replicas=1))[1] >= 1


async def test_too_few_replicas_drop_the_connection_and_ask_again(lab: SentinelLab, follow: Follow) -> None:
    link = follow(lab.connection_string)
    await link.start()
    first = link.connection
    primary = lab.primary
    primary.ask("CONFIG", "SET", "min-replicas-to-write", 3)
    try:
        with pytest.raises(StoreNoReplicas):
            await link.command("SET", "d", "1")
        with pytest.raises(StoreDown, match="NOREPLICAS"):
            await link.command("SET", "d", "1")
        await eventually(lambda: link.connection is not None and link.connection is not first)
    finally:
        primary.ask("CONFIG", "SET", "min-replicas-to-write", 0)
    assert await link.command("SET", "d", "2") == b"OK"


# ---- dressed up ------------------------------------------------------------------------------------------------------


async def test_over_tls_with_certificates_and_a_password_of_the_sentinels(tmp_path: Path, follow: Follow) -> None:
    authority = Authority(tmp_path)
    tls = TlsFiles(
        ca_path=authority.path,
        cert_path=authority.pfx(until=NOW + 99 * DAY),
        cert_password=Secret("päss"),
        clock=SystemClock(),
    )
    need(KIND)
    with SentinelLab(KIND, authority=authority, sentinel_password=SENTINEL_PASSWORD) as lab:
        link = follow(lab.connection_string, tls=tls)
        await link.start()
        before = port_of(link)
        await off_loop(lab.failover)
        await eventually(lambda: link.is_connected and port_of(link) not in {None, before}, within_s=10)
        assert await link.command("SET", "e", "1") == b"OK"
        assert link.connection is not None
        assert link.connection.certificate["notAfter"]
        wrong = follow(lab.connection_string.replace(SENTINEL_PASSWORD, "wrong"), tls=tls, connect_retry=1)
        with pytest.raises(StoreSentinelsSilent, match=r"WRONGPASS.*sentinelPassword"):
            await wrong.start()


@pytest.mark.parametrize("kind", [kind for kind in SERVERS if kind.name != KIND.name], ids=str)
async def test_other_servers_and_host_names_that_are_announced(kind: ServerKind, follow: Follow) -> None:
    need(kind)
    quick = kind.name != "redis-6.2"  # it has no SENTINEL DEBUG
    with SentinelLab(kind, by_name=True, quick=quick) as lab:
        link = follow(lab.connection_string)
        await link.start()
        assert link.target is not None
        assert link.target.host == "localhost"
        before = port_of(link)
        await off_loop(lab.failover)
        await eventually(lambda: link.is_connected and port_of(link) not in {None, before}, within_s=10)
        assert await link.command("SET", "f", "1") == b"OK"
        assert (await link.run_script_replicated(PUT, ["w"], ["3"], replicas=0))[0] == b"OK"


def test_a_lab_ends_what_it_started(tmp_path: Path) -> None:
    need(KIND)
    with SentinelLab(KIND) as lab:
        ports = [server.port for server in lab.servers] + [sentinel.port for sentinel in lab.sentinels]
    for port in ports:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), timeout=1)
