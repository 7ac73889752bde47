"""What others put into Redis under the names of the cache, and what they forbid there, changes no answer."""

import asyncio

import pytest

from rppam.kernel.secret import Secret
from rppam.setup.redis_acl import NODE_COMMANDS
from tests.support.cached import LIFE_MS, PREFIX, Join, Table, key, until
from tests.support.redis_servers import Server

pytestmark = pytest.mark.integration


async def test_what_is_no_copy_is_a_miss_and_gives_way(join: Join, server: Server, table: Table) -> None:
    a = await join()
    copies = {ident: table.write(ident, ident.encode()) for ident in ("s1", "s2")}
    await a.sessions.get("s1")
    await a.sessions.get("s2")
    sealed = server.ask("GET", a.key("s1"))
    strangers: list[bytes] = [
        sealed[:-1],
        sealed[:20],
        sealed + b"x",
        sealed[:-1] + bytes([sealed[-1] ^ 1]),
        b"1" + b"9" * 15 + sealed[16:],
        server.ask("GET", a.key("s2")),
        b"\x80\x04\x95cposix\nsystem\n.",
        b"x" * 1_000_000,
        b"1" + b"9" * 15,
        b"2" + sealed[1:],
    ]
    for number, stranger in enumerate(strangers, 1):
        server.ask("SET", a.key("s1"), stranger, "PX", 60_000)
        await a.link.command("PING")
        assert await a.sessions.get("s1") == copies["s1"]
        assert a.cache.counts.unusable == number
        assert server.ask("STRLEN", a.key("s1")) == len(sealed), "SQL's copy took its place"
    server.ask("SET", a.key("s1"), sealed)  # ours, but without an end: it would be there for ever
    await a.link.command("PING")
    assert await a.sessions.get("s1") == copies["s1"]
    assert server.ask("PTTL", a.key("s1")) > 0


@pytest.mark.parametrize("words", [("LPUSH", "x"), ("HSET", "f", "x"), ("SADD", "x"), ("ZADD", "1", "x")])
async def test_another_type_is_a_miss_and_gives_way(
    words: tuple[str, ...], join: Join, server: Server, table: Table
) -> None:
    a = await join()
    copy = table.write("s1")
    server.ask(words[0], a.key("s1"), *words[1:])
    await a.link.command("PING")  # behind it nothing is on its way any more
    assert await a.sessions.get("s1") == copy
    assert server.ask("TYPE", a.key("s1")) == b"string"


async def test_a_replayed_copy_is_not_believed(join: Join, server: Server, table: Table) -> None:
    a, b = await join(), await join()
    table.write("s1", b"good")
    await a.sessions.get("s1")
    kept = server.ask("GET", a.key("s1"))
    ended = table.write("s1", b"ended")
    await a.cache.publish(key("s1"), ended, LIFE_MS)
    b.cache.forget(table.log)
    server.ask("SET", a.key("s1"), kept, "PX", 60_000)
    await asyncio.gather(a.link.command("PING"), b.link.command("PING"))
    assert await a.sessions.get("s1") == ended
    assert await b.sessions.get("s1") == ended


async def test_another_cluster_reads_nothing_here(join: Join, table: Table) -> None:
    a, foreign = await join(), await join(key=Secret("77" * 32))
    table.write("s1")
    await a.sessions.get("s1")
    await foreign.sessions.get("s1")
    assert table.asked == 2
    assert a.key("s1") != foreign.key("s1")


async def test_redis_sees_neither_names_nor_values(join: Join, server: Server, table: Table) -> None:
    a = await join()
    table.write("ident-in-the-clear", b"value in the clear")
    await a.sessions.get("ident-in-the-clear")
    (name,) = server.ask("KEYS", "*")
    sealed = server.ask("GET", name)
    assert name.startswith(PREFIX.encode())
    assert b"ident" not in name
    assert b"clear" not in sealed


async def test_redis_out_of_memory_costs_the_way_to_sql(join: Join, server: Server, table: Table) -> None:
    a, b = await join(), await join()
    kept = table.write("s1", b"kept")
    await a.warm("s1")
    await b.warm("s1")
    server.ask("CONFIG", "SET", "maxmemory", "1")
    copy = table.write("s2", b"new")
    assert await a.cache.publish(key("s2"), copy, LIFE_MS) is False
    assert await b.sessions.get("s2") == copy
    assert await b.sessions.get("s1") == kept, "what is there can be read"
    assert b.sessions.hit("s2") is None


async def test_a_user_who_may_not_track_still_shares(join: Join, server: Server, table: Table) -> None:
    server.ask("ACL", "SETUSER", "poor", "on", ">pw", f"~{PREFIX}*", "+@all", "-client")
    a = await join(user="poor", password="pw", proven=False)
    table.write("s1")
    await until(lambda: a.cache.tracking.denied != "")
    for _ in range(3):
        await a.sessions.get("s1")
    assert a.sessions.hit("s1") is None
    assert table.asked == 1


async def test_the_nodes_user_may_do_all_that_the_cache_does(join: Join, server: Server, table: Table) -> None:
    rights = [f"+{name}" for name in NODE_COMMANDS]
    server.ask("ACL", "SETUSER", "rppam", "on", ">pw", "resetchannels", "~rppam:*", "&rppam:*", "-@all", *rights)
    a, b = [await join(user="rppam", password="pw") for _ in range(2)]
    table.write("s1")
    await b.warm("s1")
    copy = table.write("s1")
    assert await a.cache.publish(key("s1"), copy, LIFE_MS, confirm=True)
    await until(lambda: b.sessions.hit("s1") is None)
    assert await b.warm("s1") == copy
    assert a.cache.counts.failed == b.cache.counts.failed == 0
    assert b.cache.tracking.denied == ""
