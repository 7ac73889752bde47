"""A connection to a real server: what comes back, in which order, and what a broken line means."""

import asyncio
import random
import time

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from rppam.adapters.redis.connection import Connection
from rppam.adapters.redis.options import Limits
from rppam.domain.errors.store import (
    StoreClosed,
    StoreCommandDisabled,
    StoreDown,
    StoreError,
    StoreOverloaded,
    StoreProtocol,
    StoreSilent,
    StoreUnknown,
)
from rppam.domain.errors.store_replies import (
    StoreCommandUnknown,
    StoreNoAuth,
    StoreNoPermission,
    StoreNoScript,
    StoreReplyUnforeseen,
    StoreWrongPassword,
    StoreWrongType,
)
from rppam.domain.secret import Secret
from tests.contract.servers import PASSWORD, Server
from tests.integration.redis.conftest import Open, eventually
from tests.integration.redis.strange import Proxy, scripted

KEYS = [b"k1", "schlüssel".encode(), b"\x00\xff\r\n", b"k4"]
VALUES: list[bytes | str | int] = [b"", b"\r\n$-1\r\n", b"\x00\xff" * 50, "ünï ☃", 0, -17, 2**62, b"x" * 70_000]


def random_command(rng: random.Random) -> tuple[bytes | str | int, ...]:
    key, other, value = rng.choice(KEYS), rng.choice(KEYS), rng.choice(VALUES)
    return rng.choice(
        [
            ("SET", key, value),
            ("GET", key),
            ("DEL", key),
            ("INCR", key),
            ("APPEND", key, value),
            ("LPUSH", key, value, b"2"),
            ("LRANGE", key, 0, -1),
            ("HSET", key, b"f", value, "g", 1),
            ("HGETALL", key),
            ("SADD", key, value),
            ("SMEMBERS", key),
            ("ZADD", key, 3, value),
            ("ZSCORE", key, value),
            ("ZRANGE", key, 0, -1, "WITHSCORES"),
            ("MGET", key, other, b"absent"),
            ("RENAME", key, other),
            ("TYPE", key),
            ("OBJECT", "HELP"),
            ("EVAL", "return {1, 'two', false, redis.status_reply('S'), {3, {4}}}", 0),
            ("EVAL", "redis.setresp(3); return {map={a=1.5}}", 0),
            ("EVAL", "redis.setresp(3); return false", 0),
            ("EVAL", "redis.setresp(3); return {double=2.5}", 0),
            ("EVAL", "return redis.error_reply('MINE something of my own')", 0),
            ("GETRANGE", key, "not-a-number", 1),
            ("NOSUCHCOMMAND", key, value),
        ]
    )


@pytest.mark.parametrize("seed", range(6))
async def test_it_answers_what_redis_py_answers_on_random_commands(server: Server, open_: Open, seed: int) -> None:
    rng = random.Random(seed)
    commands = [random_command(rng) for _ in range(250)]
    oracle = redis.asyncio.Redis(port=server.port, password=PASSWORD, retry=Retry(NoBackoff(), 0), protocol=3)
    oracle.response_callbacks.clear()  # raw replies, as ours
    expected: list[object] = []
    for words in commands:
        try:
            expected.append(await oracle.execute_command(*words))
        except redis.RedisError:
            expected.append("an error")
    await oracle.execute_command("FLUSHALL")
    await oracle.aclose()

    connection = await open_(server.port)
    answers = await asyncio.gather(*(connection.command(*w, timeout_ms=5000) for w in commands), return_exceptions=True)

    got = ["an error" if isinstance(answer, StoreError) else answer for answer in answers]
    for words, ours, theirs in zip(commands, got, expected, strict=True):
        if words[0] == "SMEMBERS" and isinstance(ours, list):
            assert sorted(ours) == sorted(theirs), words  # type: ignore[call-overload]
        else:
            assert ours == theirs, words
        assert type(ours) is type(theirs), words


async def test_it_knows_the_server(server: Server, open_: Open) -> None:
    connection = await open_(server.port, client_name="rppam node ä", database=3)
    fields = dict(line.split(":", 1) for line in server.ask("INFO").decode().split("\r\n") if ":" in line)
    identity = connection.identity
    assert identity.run_id == fields["run_id"]
    assert identity.replication_id == fields["master_replid"]
    assert (identity.role, identity.mode) == ("master", "standalone")
    assert identity.is_known
    assert not identity.is_too_old
    name, _, version = server.kind.name.partition("-")
    assert identity.server == name
    assert identity.version.startswith(version + ".") or identity.version == version
    mine = await connection.command("CLIENT", "LIST", timeout_ms=1000)
    assert b"name=rppam-node--" in mine
    assert b"db=3" in mine


async def test_numbers_of_connections_grow(redis: Server, open_: Open) -> None:
    first, second = await open_(redis.port), await open_(redis.port)
    assert first.number < second.number
    assert first.identity.same_history(second.identity)
    redis.restart()
    assert not (await open_(redis.port)).identity.same_history(first.identity)


async def test_an_acl_that_denies_info_leaves_the_identity_unknown(redis: Server, open_: Open) -> None:
    redis.ask("ACL", "SETUSER", "narrow", "on", ">pw", "~*", "+get", "+set")
    connection = await open_(redis.port, user="narrow", password=Secret("pw"))
    assert connection.identity.version
    assert not connection.identity.is_known
    assert not connection.identity.same_history(connection.identity)
    with pytest.raises(StoreNoPermission):
        await connection.command("INCR", "x", timeout_ms=1000)
    assert await connection.command("SET", "x", 1, timeout_ms=1000) == b"OK"


async def test_commands_of_one_turn_leave_in_one_write(redis: Server, open_: Open) -> None:
    reads: list[int] = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_server = await asyncio.open_connection("127.0.0.1", redis.port)

        async def back() -> None:
            while data := await there.read(65536):
                writer.write(data)

        task = asyncio.create_task(back())
        try:
            while data := await reader.read(1 << 20):
                reads.append(data.count(b"INCR"))
                to_server.write(data)
        finally:
            task.cancel()
            to_server.close()

    async with scripted(count) as port:
        connection = await open_(port)
        answers = await asyncio.gather(*(connection.command("INCR", "n", timeout_ms=1000) for _ in range(64)))
        assert answers == list(range(1, 65))
        assert max(reads) == 64
        await connection.close()


@pytest.mark.parametrize("megabytes", [1, 20])
async def test_big_values_go_both_ways_while_others_are_served(redis: Server, open_: Open, megabytes: int) -> None:
    connection = await open_(redis.port)
    big = random.Random(megabytes).randbytes(megabytes << 20)
    big_set = asyncio.create_task(connection.command("SET", "big", big, timeout_ms=10_000))
    small = [connection.command("INCR", "n", timeout_ms=10_000) for _ in range(100)]
    assert await asyncio.gather(*small) == list(range(1, 101))
    assert await big_set == b"OK"
    assert await connection.command("GET", "big", timeout_ms=10_000) == big


async def test_a_reply_larger_than_the_limit_ends_the_connection(redis: Server, open_: Open) -> None:
    lost: list[StoreError] = []
    connection = await open_(redis.port, on_lost=lost.append, limits=Limits(reply_bytes=1 << 20))
    redis.ask("SET", "big", b"x" * (8 << 20))
    with pytest.raises(StoreUnknown, match="more than 1048576 bytes"):
        await connection.command("GET", "big", timeout_ms=5000)
    assert isinstance(lost[0], StoreProtocol)
    with pytest.raises(StoreDown):
        await connection.command("GET", "a", timeout_ms=1000)


async def test_too_many_pending_commands_are_refused_and_the_others_served(redis: Server, open_: Open) -> None:
    connection = await open_(redis.port, limits=Limits(pending_commands=100))
    answers = await asyncio.gather(
        *(connection.command("INCR", "n", timeout_ms=1000) for _ in range(150)), return_exceptions=True
    )
    assert answers[:100] == list(range(1, 101))
    assert all(isinstance(answer, StoreOverloaded) for answer in answers[100:])
    assert redis.ask("GET", "n") == b"100"


async def pile_up(connection: Connection, *, timeout_ms: int) -> list[asyncio.Task[object]]:
    """60 MiB in as many commands, a turn of the loop between each and the next."""
    tasks = []
    for i in range(60):
        tasks.append(asyncio.create_task(connection.command("SET", i, b"x" * (1 << 20), timeout_ms=timeout_ms)))
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert connection._transport is not None
    held = connection._transport.get_write_buffer_size() + connection._unsent_bytes
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


async def test_pushes_come_between_replies_without_shifting_them(redis: Server, open_: Open) -> None:
    pushes: list[list[object]] = []
    connection = await open_(redis.port, on_push=pushes.append)
    await connection.subscribe(b"ch", timeout_ms=1000)
    answers = await asyncio.gather(
        *(connection.command(*(("PUBLISH", "ch", i) if i % 2 else ("ECHO", i)), timeout_ms=1000) for i in range(200))
    )
    assert answers == [1 if i % 2 else str(i).encode() for i in range(200)]
    await eventually(lambda: len(pushes) == 100)
    assert pushes == [[b"message", b"ch", str(i).encode()] for i in range(1, 200, 2)]
    await connection.unsubscribe(b"ch", timeout_ms=1000)
    assert await connection.command("PUBLISH", "ch", "gone", timeout_ms=1000) == 0


async def test_a_denied_subscription_is_an_error_and_shifts_nothing(redis: Server, open_: Open) -> None:
    redis.ask("ACL", "SETUSER", "deaf", "on", ">pw", "~*", "resetchannels", "+@all")
    connection = await open_(redis.port, user="deaf", password=Secret("pw"))
    first = asyncio.create_task(connection.command("ECHO", "1", timeout_ms=1000))
    denied = asyncio.create_task(connection.subscribe(b"ch", timeout_ms=1000))
    second = asyncio.create_task(connection.command("ECHO", "2", timeout_ms=1000))
    assert await first == b"1"
    with pytest.raises(StoreNoPermission):
        await denied
    assert await second == b"2"


async def test_a_listener_that_fails_is_reported_and_costs_nothing(redis: Server, open_: Open) -> None:
    reports: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))

    def fail(push: list[object]) -> None:
        raise ZeroDivisionError(push)

    connection = await open_(redis.port, on_push=fail)
    await connection.subscribe(b"ch", timeout_ms=1000)
    assert await connection.command("PUBLISH", "ch", "x", timeout_ms=1000) == 1
    await eventually(lambda: bool(reports))
    assert isinstance(reports[0]["exception"], ZeroDivisionError)
    assert await connection.command("ECHO", "x", timeout_ms=1000) == b"x"


@pytest.mark.parametrize(
    ("password", "expected"), [(None, StoreNoAuth), (Secret("not-the-password"), StoreWrongPassword)]
)
async def test_a_missing_or_wrong_password_is_told_apart(
    server: Server, open_: Open, password: Secret | None, expected: type[StoreError]
) -> None:
    with pytest.raises(expected) as denied:
        await open_(server.port, password=password)
    assert f"127.0.0.1:{server.port}" in str(denied.value)
    assert "requirepass" in str(denied.value)
    assert "not-the-password" not in str(denied.value) + denied.value.raw


async def test_replies_that_are_errors_are_sorted(server: Server, open_: Open) -> None:
    connection = await open_(server.port)
    await connection.command("SET", "text", "x", timeout_ms=1000)
    with pytest.raises(StoreWrongType):
        await connection.command("LPUSH", "text", 1, timeout_ms=1000)
    with pytest.raises(StoreWrongType) as inside:
        await connection.command("EVAL", "redis.call('SET','w','1') redis.call('LPUSH','text',1)", 0, timeout_ms=1000)
    assert not inside.value.surely_not_run
    with pytest.raises(StoreNoScript) as forgotten:
        await connection.command("EVALSHA", "0" * 40, 0, timeout_ms=1000)
    assert forgotten.value.surely_not_run
    with pytest.raises(StoreReplyUnforeseen, match="MINE my words"):
        await connection.command("EVAL", "return redis.error_reply('MINE my words')", 0, timeout_ms=1000)
    with pytest.raises(StoreCommandUnknown) as unknown:
        await connection.command("NOSUCH", "a", "s3cret-token", timeout_ms=1000)
    assert "s3cret" not in str(unknown.value) + unknown.value.raw
    nested = await connection.command("EVAL", "return {1, redis.error_reply('OOM inner')}", 0, timeout_ms=1000)
    assert nested[0] == 1
    assert isinstance(nested[1], StoreError)


async def test_renamed_and_disabled_commands_are_honoured(open_: Open) -> None:
    from tests.integration.redis.conftest import KIND

    with Server(KIND, "--rename-command", "ECHO", "say", "--rename-command", "FLUSHALL", "") as renamed:
        connection = await open_(renamed.port, command_map={"ECHO": "say", "FLUSHALL": ""})
        for spelling in ("ECHO", "echo", b"Echo"):
            assert await connection.command(spelling, "hi", timeout_ms=1000) == b"hi"
        with pytest.raises(StoreCommandDisabled, match="FLUSHALL"):
            await connection.command("FLUSHALL", timeout_ms=1000)
        plain = await open_(renamed.port)
        with pytest.raises(StoreCommandUnknown, match="newname"):
            await plain.command("ECHO", "hi", timeout_ms=1000)


@pytest.mark.parametrize("word", ["SUBSCRIBE", "multi", b"BLPOP", "Monitor", "RESET"])
async def test_commands_that_would_break_a_shared_connection_are_refused(
    redis: Server, open_: Open, word: str | bytes
) -> None:
    connection = await open_(redis.port)
    with pytest.raises(StoreCommandDisabled, match="shared connection"):
        await connection.command(word, "x", timeout_ms=1000)
    assert await connection.command("ECHO", "x", timeout_ms=1000) == b"x"


@pytest.mark.parametrize("word", [None, True, object(), [b"x"]])
async def test_a_word_that_is_no_text_is_our_own_mistake(redis: Server, open_: Open, word: object) -> None:
    connection = await open_(redis.port)
    with pytest.raises(TypeError):
        await connection.command("SET", "x", word, timeout_ms=1000)  # type: ignore[arg-type]
    assert await connection.command("ECHO", "x", timeout_ms=1000) == b"x"


async def test_closing_tells_those_who_wait(redis: Server, open_: Open) -> None:
    lost: list[StoreError] = []
    connection = await open_(redis.port, on_lost=lost.append)
    redis.stop()
    waiting = asyncio.create_task(connection.command("GET", "x", timeout_ms=60_000))
    await asyncio.sleep(0.01)
    await connection.close()
    with pytest.raises(StoreUnknown):
        await waiting
    assert lost == [], "a loss that was asked for is no news"
    redis.cont()
