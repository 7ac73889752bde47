"""A connection to a real server: what comes back, in which order, and what a broken line means."""

import asyncio
import random

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from rppam.kernel.secret import Secret
from rppam.redis.errors import (
    StoreCommandDisabled,
    StoreCommandUnknown,
    StoreDown,
    StoreError,
    StoreNoAuth,
    StoreNoPermission,
    StoreNoScript,
    StoreOverloaded,
    StoreReplyTooLarge,
    StoreReplyUnforeseen,
    StoreUnknown,
    StoreWrongPassword,
    StoreWrongType,
)
from rppam.redis.options import Limits
from tests.redis.conftest import Open, eventually
from tests.support.redis_servers import PASSWORD, Server
from tests.support.strange_redis import scripted

pytestmark = pytest.mark.integration

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
    name, _, version = server.kind.name.partition("-")
    assert identity.server == name
    assert identity.version.startswith(version + ".") or identity.version == version
    mine = await connection.command("CLIENT", "LIST", timeout_ms=1000)
    assert b"name=rppam-node--" in mine
    assert b"db=3" in mine


async def test_numbers_of_connections_grow(redis: Server, open_: Open) -> None:
    first, second = await open_(redis.port), await open_(redis.port)
    assert first.number < second.number
    assert first.identity == second.identity
    redis.restart()
    assert (await open_(redis.port)).identity.run_id != first.identity.run_id


async def test_an_acl_that_denies_info_leaves_the_identity_unknown(redis: Server, open_: Open) -> None:
    redis.ask("ACL", "SETUSER", "narrow", "on", ">pw", "~*", "+get", "+set")
    connection = await open_(redis.port, user="narrow", password=Secret("pw"))
    assert connection.identity.version
    assert not connection.identity.is_known
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
    with pytest.raises(StoreUnknown, match="a text of 8388608 bytes, and takes 1048576 at most"):
        await connection.command("GET", "big", timeout_ms=5000)
    assert isinstance(lost[0], StoreReplyTooLarge)
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
    from tests.support.lab_fixtures import KIND

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
