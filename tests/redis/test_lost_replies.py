"""A reply that is late, lost or for somebody who left goes to nobody else, and no call waits beyond its deadline."""

import asyncio
import random
import time

import pytest

from rppam.redis.connection import Connection
from rppam.redis.errors import (
    StoreClosed,
    StoreDown,
    StoreError,
    StoreOverloaded,
    StoreSilent,
    StoreUnknown,
)
from rppam.redis.options import Limits
from tests.redis.conftest import Open, eventually
from tests.support.redis_servers import Server
from tests.support.strange_redis import Proxy, scripted

pytestmark = pytest.mark.integration


async def pile_up(connection: Connection, *, timeout_ms: int) -> list[asyncio.Task[object]]:
    """60 MiB in as many commands, a turn of the loop between each and the next."""
    tasks = []
    for i in range(60):
        tasks.append(asyncio.create_task(connection.command("SET", i, b"x" * (1 << 20), timeout_ms=timeout_ms)))
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert connection._pipeline.transport is not None
    held = connection._pipeline.transport.get_write_buffer_size() + connection._pipeline._unsent_bytes
    assert held < 8 << 20, "the rest was refused at once"
    return tasks


async def test_a_server_that_takes_nothing_fills_no_memory(redis: Server, open_: Open) -> None:
    connection = await open_(redis.port, silence_ms=60_000, limits=Limits(unsent_bytes=4 << 20))
    redis.stop()
    try:
        answers = await asyncio.gather(*await pile_up(connection, timeout_ms=400), return_exceptions=True)
    finally:
        redis.cont()
    unknown = [i for i, answer in enumerate(answers) if isinstance(answer, StoreUnknown)]
    unsent = [i for i, answer in enumerate(answers) if isinstance(answer, StoreOverloaded)]
    assert len(unknown) + len(unsent) == 60
    late = [str(answers[i]) for i in unsent if "could not leave within 400 ms" in str(answers[i])]
    assert late, "what was in line but never left says so"
    await asyncio.sleep(0.2)  # the thawed server works off what had left
    there = {int(key) for key in redis.ask("KEYS", "*")}
    assert not there & set(unsent), "what is reported as not sent has not run"


async def test_what_was_in_line_when_the_connection_broke_is_known_not_to_have_run(redis: Server, open_: Open) -> None:
    connection = await open_(redis.port, silence_ms=60_000, limits=Limits(unsent_bytes=4 << 20))
    redis.stop()
    tasks = await pile_up(connection, timeout_ms=60_000)
    redis.kill()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreUnknown, StoreDown, StoreOverloaded}
    sent = [isinstance(answer, StoreUnknown) for answer in answers]
    assert sent == sorted(sent, reverse=True), "the first left, the others did not"


async def test_cancelled_waiters_never_shift_the_replies(redis: Server, open_: Open) -> None:
    connection = await open_(redis.port)
    for i in range(50):
        redis.ask("SET", f"k{i}", f"v{i}")
    rng = random.Random(1)
    wrong = 0
    for _ in range(200):
        tasks = [asyncio.create_task(connection.command("GET", f"k{i}", timeout_ms=1000)) for i in range(50)]
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        for task in rng.sample(tasks, 25):
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        wrong += sum(
            answer != f"v{i}".encode() for i, answer in enumerate(answers) if not isinstance(answer, BaseException)
        )
    assert wrong == 0
    assert connection.lost is None


async def test_a_command_cancelled_before_it_left_is_never_sent(redis: Server, open_: Open) -> None:
    connection = await open_(redis.port)
    task = asyncio.create_task(connection.command("SET", "never", 1, timeout_ms=1000))
    asyncio.get_running_loop().call_soon(task.cancel)  # runs before the line is flushed in the next turn
    with pytest.raises(asyncio.CancelledError):
        await task
    await connection.command("PING", timeout_ms=1000)
    assert redis.ask("EXISTS", "never") == 0


async def test_a_lost_reply_is_unknown_and_never_sent_twice(redis: Server, open_: Open) -> None:
    proxy = Proxy(redis.port)
    async with scripted(proxy) as port:
        lost: list[StoreError] = []
        connection = await open_(port, on_lost=lost.append)
        assert await connection.command("INCR", "n", timeout_ms=1000) == 1
        proxy.cut_after = b"INCR"
        with pytest.raises(StoreUnknown, match="INCR may or may not have been executed"):
            await connection.command("INCR", "n", timeout_ms=1000)
        assert redis.ask("GET", "n") == b"2"
        assert proxy.requests.count(b"INCR") == 2
        assert isinstance(lost[0], StoreClosed)


async def test_a_killed_server_fails_all_pending_at_once(redis: Server, open_: Open) -> None:
    connection = await open_(redis.port)
    redis.stop()
    tasks = [asyncio.create_task(connection.command("INCR", "n", timeout_ms=30_000)) for _ in range(500)]
    await asyncio.sleep(0.05)
    began = time.perf_counter()
    redis.kill()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert time.perf_counter() - began < 0.5
    assert all(isinstance(answer, StoreUnknown) for answer in answers)
    with pytest.raises(StoreDown) as down:
        await connection.command("PING", timeout_ms=1000)
    assert down.value.surely_not_run


async def test_every_call_on_a_frozen_server_ends_by_its_deadline(redis: Server, open_: Open) -> None:
    lost: list[StoreError] = []
    connection = await open_(redis.port, silence_ms=700, on_lost=lost.append)
    redis.stop()

    async def late_ms(timeout_ms: int) -> float:
        began = time.perf_counter()
        with pytest.raises(StoreUnknown):
            await connection.command("GET", "x", timeout_ms=timeout_ms)
        return (time.perf_counter() - began) * 1000 - timeout_ms

    late = await asyncio.gather(*(late_ms(timeout_ms) for timeout_ms in range(50, 650, 10)))
    assert min(late) > -5
    assert max(late) < 50
    assert lost == [], "one deadline that passes does not cost the connection"
    await eventually(lambda: bool(lost), within_s=1)
    assert isinstance(lost[0], StoreSilent)
    redis.cont()


async def test_a_stall_of_our_own_loop_is_not_blamed_on_the_server(redis: Server, open_: Open) -> None:
    connection = await open_(redis.port, silence_ms=100)
    value = b"x" * 16_384
    await connection.command("SET", "a", value, timeout_ms=1000)
    for _ in range(5):
        tasks = [asyncio.create_task(connection.command("GET", "a", timeout_ms=100)) for _ in range(40)]
        await asyncio.sleep(0.0001)  # they have left
        time.sleep(0.3)  # noqa: ASYNC251 - the stall; more than one read's worth of replies waits in the socket
        for _ in range(20):  # it writes at most 64 kB to a client between two answers to others; all is there then
            redis.ask("PING")
        assert await asyncio.gather(*tasks) == [value] * 40
        task = asyncio.create_task(connection.command("ECHO", "in line", timeout_ms=100))
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251 - and here it has not left yet
        with pytest.raises(StoreOverloaded, match="could not leave within 100 ms"):
            await task
    assert connection.lost is None


async def test_a_late_reply_goes_to_nobody(redis: Server, open_: Open) -> None:
    connection = await open_(redis.port, silence_ms=5_000)
    redis.stop()
    with pytest.raises(StoreUnknown):
        await connection.command("SET", "a", "first", "GET", timeout_ms=50)
    redis.cont()
    assert await connection.command("GET", "a", timeout_ms=1000) == b"first"
    assert connection.lost is None


async def test_a_slow_command_does_not_cost_the_connection_while_pushes_arrive(redis: Server, open_: Open) -> None:
    pushes: list[list[object]] = []
    connection = await open_(redis.port, on_push=pushes.append, silence_ms=150)
    await connection.subscribe(b"tick", timeout_ms=1000)
    stop = asyncio.Event()

    async def tick() -> None:
        while not stop.is_set():
            await asyncio.to_thread(redis.ask, "PUBLISH", "tick", "x")
            await asyncio.sleep(0.03)

    ticking = asyncio.create_task(tick())
    with pytest.raises(StoreUnknown):  # WAIT for a replica that there is not: the server holds the reply back
        await connection.command("WAIT", 1, 600, timeout_ms=100)
    await asyncio.sleep(0.3)
    assert connection.lost is None
    await asyncio.sleep(0.4)
    assert await connection.command("GET", "a", timeout_ms=500) is None
    stop.set()
    await ticking
    assert pushes
