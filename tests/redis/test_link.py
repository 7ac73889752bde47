"""A link comes back by itself, says why it is down, and never queues or repeats a command."""

import asyncio
import itertools
import logging
import time

import pytest
from hiredis import ReplyError

from rppam.kernel.secret import Secret
from rppam.redis.connection import Script
from rppam.redis.errors import (
    StoreClosed,
    StoreDown,
    StoreError,
    StoreLoading,
    StoreNoPermission,
    StoreReadOnly,
    StoreRefused,
    StoreUnknown,
    StoreWrongPassword,
)
from tests.redis.conftest import MakeLink, eventually, slow_to_load
from tests.support.ports import free_port
from tests.support.redis_servers import Server
from tests.support.strange_redis import HELLO, INFO, ROLE, Proxy, scripted

pytestmark = pytest.mark.integration

ADD = Script.of("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])")


async def test_it_comes_back_after_a_restart_and_tells_both(server: Server, make_link: MakeLink) -> None:
    link = make_link(server.port)
    told: list[object] = []
    link.on_up(lambda connection: told.append(("up", connection.number)))
    link.on_down(lambda error: told.append(("down", type(error), link.is_connected)))
    await link.start()
    assert link.is_connected
    assert link.status.reason == ""
    first = link.connection
    assert first is not None
    await link.command("SET", "a", 1)
    server.kill()
    await eventually(lambda: not link.is_connected, within_s=1)
    with pytest.raises(StoreDown) as down:
        await link.command("GET", "a")
    assert down.value.surely_not_run
    assert str(server.port) in str(down.value)
    await eventually(lambda: "refused" in link.status.reason, within_s=3)
    server.restart()
    assert await link.wait_up(3_000)
    assert await link.command("GET", "a") == b"1"
    second = link.connection
    assert second is not None
    assert second.number > first.number
    assert second.identity.run_id != first.identity.run_id
    await asyncio.sleep(0.3)
    assert link.connection is second, "one that holds is kept"
    assert server.ask("INFO", "clients").split(b"connected_clients:")[1].startswith(b"2\r\n"), "ours and this one"
    assert told[0] == ("up", first.number)
    assert told[1][1:] == (StoreClosed, False)  # type: ignore[index]
    assert told[2] == ("up", second.number)
    assert len(told) == 3


async def test_a_frozen_server_is_left_and_found_again(redis: Server, make_link: MakeLink) -> None:
    link = make_link(redis.port, command_timeout_ms=200, connect_timeout_ms=200)
    await link.start()
    redis.stop()
    began = time.perf_counter()
    with pytest.raises(StoreUnknown):
        await link.command("GET", "a")
    assert time.perf_counter() - began < 0.25
    await eventually(lambda: "said nothing within" in link.status.reason, within_s=3)
    redis.cont()
    assert await link.wait_up(4_000)
    assert await link.command("PING") == b"PONG"


async def test_abort_connect_fails_after_connect_retry_attempts(make_link: MakeLink) -> None:
    attempts = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1

    async with scripted(hang_up) as port:
        link = make_link(port, connect_retry=4)
        with pytest.raises(StoreClosed):
            await link.start()
        await asyncio.sleep(0.3)
        assert attempts == 4
        assert not link.is_connected


async def test_a_server_that_loads_its_data_is_waited_for_whatever_abort_connect_says(
    make_link: MakeLink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with slow_to_load() as redis:
        redis.restart(wait=False)
        await eventually(lambda: is_loading(redis), within_s=10)
        link = make_link(redis.port, connect_retry=1)
        await link.start()
        assert isinstance(link.status.failure, StoreLoading)
        assert await link.wait_up(30_000)
        assert await link.command("DBSIZE") == 4_000
    told = [record.getMessage() for record in caplog.records]
    assert len([line for line in told if "LOADING" in line]) == 1, "said once, however often it was tried"
    assert [line for line in told if line.startswith("Redis has loaded its data; this node waited")]


def is_loading(server: Server) -> bool:
    try:
        server.ask("PING")
    except ReplyError as error:
        return str(error).startswith("LOADING")
    except OSError:
        return False
    raise AssertionError("it has loaded its data already")


async def test_without_abort_connect_it_starts_disconnected_and_connects_later(make_link: MakeLink) -> None:
    from tests.support.lab_fixtures import KIND

    port = free_port()
    link = make_link(port, abort_connect=False)
    await link.start()
    assert not link.is_connected
    assert "connection refused" in link.status.reason
    with pytest.raises(StoreDown, match="connection refused") as down:
        await link.command("PING")
    assert isinstance(down.value.__cause__, StoreRefused)
    with Server(KIND) as redis:
        async with scripted(Proxy(redis.port), port):
            assert await link.wait_up(4_000)
            assert await link.command("PING") == b"PONG"


async def test_a_wrong_password_is_the_reason_and_never_shown(redis: Server, make_link: MakeLink) -> None:
    link = make_link(redis.port, password=Secret("hunter2-hunter2"), abort_connect=False)
    await link.start()
    assert "requirepass" in link.status.reason
    assert "hunter2" not in link.status.reason + repr(link.options)
    with pytest.raises(StoreDown) as down:
        await link.command("PING")
    assert isinstance(down.value.__cause__, StoreWrongPassword)


async def test_reconnects_are_spaced_and_at_most_two_seconds_apart(make_link: MakeLink) -> None:
    times: list[float] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        times.append(time.perf_counter())

    async with scripted(refuse) as port:
        link = make_link(port, abort_connect=False)
        await link.start()
        await asyncio.sleep(2.2)
        await link.stop()
        tried = len(times)
        await asyncio.sleep(0.3)
        assert len(times) == tried, "a stopped link tries no more"
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert 4 <= len(gaps) <= 9
    assert gaps[0] < 0.09
    assert max(gaps) > 4 * gaps[0]


async def test_replicas_are_passed_over_and_a_demoted_primary_is_left(make_link: MakeLink) -> None:
    from tests.support.lab_fixtures import KIND

    with Server(KIND) as one, Server(KIND) as two:
        one.ask("REPLICAOF", "127.0.0.1", two.port)
        link = make_link(one.port, two.port)
        await link.start()
        assert link.connection is not None
        assert link.connection.target.port == two.port
        two.ask("REPLICAOF", "127.0.0.1", one.port)
        one.ask("REPLICAOF", "NO", "ONE")
        with pytest.raises(StoreReadOnly):
            await link.command("SET", "a", 1)
        assert not link.is_connected
        assert await link.wait_up(3_000)
        assert link.connection.target.port == one.port
        assert await link.command("SET", "a", 1) == b"OK"


async def test_a_forgotten_script_is_sent_again_and_runs_once(server: Server, make_link: MakeLink) -> None:
    link = make_link(server.port)
    await link.start()
    for i in range(1, 4):
        assert await link.run_script(ADD, ["n"], [1]) == i
        server.ask("SCRIPT", "FLUSH")
    answers = await asyncio.gather(*(link.run_script(ADD, ["n"], [1]) for _ in range(100)))
    assert sorted(answers) == list(range(4, 104))
    assert server.ask("GET", "n") == b"103"
    assert server.ask("SCRIPT", "EXISTS", ADD.sha) == [1]


async def test_a_script_whose_reply_is_lost_is_not_repeated(redis: Server, make_link: MakeLink) -> None:
    proxy = Proxy(redis.port)
    async with scripted(proxy) as port:
        link = make_link(port)
        await link.start()
        assert await link.run_script(ADD, ["n"], [1]) == 1
        proxy.cut_after = b"EVALSHA"
        with pytest.raises(StoreUnknown):
            await link.run_script(ADD, ["n"], [1])
        proxy.cut_after = None
        assert await link.wait_up(3_000)
        assert await link.command("GET", "n") == b"2"


async def test_subscriptions_survive_a_reconnect(server: Server, make_link: MakeLink) -> None:
    link = make_link(server.port)
    heard: list[bytes] = []
    also: list[bytes] = []
    early = await link.subscribe("ch-ä", heard.append)  # before the start
    await link.start()
    second = await link.subscribe("ch-ä", also.append)
    channel = "ch-ä".encode()
    await link.command("PUBLISH", channel, b"1\xff")
    await eventually(lambda: heard == [b"1\xff"] == also)
    before = link.connection.number if link.connection else 0
    server.restart()
    await eventually(lambda: link.connection is not None and link.connection.number > before, within_s=4)
    # Up means subscribed: this message is heard.
    assert await link.command("PUBLISH", channel, "2") == 1
    await eventually(lambda: heard == [b"1\xff", b"2"] == also)
    await second.close()
    await link.command("PUBLISH", channel, "3")
    await eventually(lambda: heard == [b"1\xff", b"2", b"3"])
    assert also == [b"1\xff", b"2"]
    await early.close()
    await early.close()
    assert await link.command("PUBLISH", channel, "4") == 0


async def test_a_denied_channel_is_an_error_and_the_link_stays(redis: Server, make_link: MakeLink) -> None:
    redis.ask("ACL", "SETUSER", "deaf", "on", ">pw", "~*", "resetchannels", "+@all")
    link = make_link(redis.port, user="deaf", password=Secret("pw"))
    await link.start()
    with pytest.raises(StoreNoPermission):
        await link.subscribe("ch", print)
    assert await link.command("PING") == b"PONG"


async def test_invalidations_reach_push_listeners(redis: Server, make_link: MakeLink) -> None:
    link = make_link(redis.port)
    pushes: list[list[object]] = []
    link.on_push(pushes.append)
    await link.start()
    await link.command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "p:")
    redis.ask("SET", "p:1", "x")
    await eventually(lambda: pushes == [[b"invalidate", [b"p:1"]]])


async def test_an_idle_connection_is_tested_and_a_dead_one_replaced(make_link: MakeLink) -> None:
    """The second connection answers; the first goes deaf after its greeting, as behind a firewall that forgot it."""
    pings: list[int] = []
    count = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        number = count
        await reader.read(65536)
        writer.write(HELLO)
        await reader.read(65536)
        writer.write(b"+PONG\r\n" + INFO + INFO + ROLE)
        while data := await reader.read(65536):
            assert b"PING" in data
            pings.append(number)
            if number > 1:
                writer.write(b"+PONG\r\n")

    async with scripted(handler) as port:
        link = make_link(port, keep_alive_s=0.2, command_timeout_ms=200)
        downs: list[StoreError] = []
        link.on_down(downs.append)
        await link.start()
        await eventually(lambda: pings.count(2) >= 2, within_s=6)
        assert pings[0] == 1
        assert len(downs) == 1
        assert link.is_connected
        await link.stop()


async def test_stopping_fails_what_is_pending_and_what_comes_after(redis: Server, make_link: MakeLink) -> None:
    link = make_link(redis.port)
    downs: list[StoreError] = []
    link.on_down(downs.append)
    await link.start()
    redis.stop()
    waiting = asyncio.create_task(link.command("GET", "a"))
    await asyncio.sleep(0.01)
    await link.stop()
    redis.cont()
    with pytest.raises(StoreUnknown):
        await waiting
    with pytest.raises(StoreDown, match="stopped"):
        await link.command("GET", "a")
    assert len(downs) == 1


async def test_a_listener_of_down_knows_before_anybody_is_answered(redis: Server, make_link: MakeLink) -> None:
    link = make_link(redis.port)
    order: list[str] = []
    link.on_down(lambda _: order.append("down"))
    await link.start()
    redis.stop()

    async def ask() -> None:
        with pytest.raises(StoreUnknown):
            await link.command("GET", "a")
        order.append("answered")

    task = asyncio.create_task(ask())
    await asyncio.sleep(0.01)
    redis.kill()
    await task
    assert order == ["down", "answered"]
