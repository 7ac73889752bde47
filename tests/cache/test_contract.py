"""The shared cache on real servers: what one process changes no other serves later, whatever Redis holds or does."""

import asyncio
import re

import pytest

from rppam.cache import tracking
from rppam.cache.model import CacheKey, Change, Copy, Kind
from rppam.cache.redis_cache import LEARNING_MAX
from rppam.cache.redis_store import GUARD_MS
from tests.support.cached import LIFE_MS, PREFIX, Join, Process, Table, key, until
from tests.support.redis_servers import Server

pytestmark = pytest.mark.integration


async def test_a_fact_is_asked_of_sql_once_then_shared_then_near(join: Join, table: Table) -> None:
    a, b = await join(), await join()
    copy = table.write("s1", b"one")
    assert await a.sessions.get("s1") == copy
    assert await b.sessions.get("s1") == copy
    assert table.asked == 1
    await a.warm("s1")
    await b.warm("s1")
    assert table.asked == 1
    assert a.sessions.hit("s1") == b.sessions.hit("s1") == copy
    assert await a.sessions.get("nobody") is None


async def test_a_change_is_seen_by_all_within_milliseconds(join: Join, table: Table) -> None:
    a, b, c = await join(), await join(), await join()
    table.write("s1", b"0")
    await b.sessions.get("s1")
    for number in range(1, 101):
        await asyncio.gather(b.warm("s1"), c.warm("s1"))
        copy = table.write("s1", b"%d" % number)
        assert await a.cache.publish(key("s1"), copy, LIFE_MS)
        assert a.sessions.hit("s1") in {None, copy}
        await until(lambda: b.sessions.hit("s1") is None and c.sessions.hit("s1") is None)
        assert [await process.sessions.get("s1") for process in (a, b, c)] == [copy] * 3
    assert table.asked == 1, "the rest came out of Redis"
    assert key("s1") in b.told


async def test_an_answer_that_crossed_a_change_is_not_kept(join: Join, table: Table) -> None:
    """The row is read, then changed and told, and only then does the old answer arrive."""
    a, b = await join(), await join()
    old = table.write("s1", b"old")
    gate = asyncio.Event()

    async def wait(_ident: str) -> None:
        await gate.wait()

    table.on_read = wait
    slow = asyncio.create_task(b.sessions.get("s1"))
    await until(lambda: table.asked == 1)
    new = table.write("s1", b"new")
    assert await a.cache.publish(key("s1"), new, LIFE_MS)
    await until(lambda: key("s1") in b.told)
    later = asyncio.create_task(b.sessions.get("s1"))
    assert await later == new, "who asks after the change does not wait for an answer from before it"
    gate.set()
    assert await slow == old, "it was so when it was asked"
    assert await b.sessions.get("s1") == new
    assert await a.sessions.get("s1") == new


async def test_an_older_copy_never_takes_the_place_of_a_newer(join: Join, table: Table) -> None:
    a, b = await join(), await join()
    first = table.write("s1", b"1")
    second = table.write("s1", b"2")
    assert await a.cache.publish(key("s1"), second, LIFE_MS)
    assert (await b.cache.store.put(key("s1"), first, LIFE_MS)) == (False, True)
    assert await b.sessions.get("s1") == second
    assert table.asked == 0


async def test_a_copy_that_has_ended_still_keeps_older_ones_away(join: Join, table: Table) -> None:
    a, b = await join(), await join()
    first, second = table.write("s1", b"1"), table.write("s1", b"2")
    assert await a.cache.publish(key("s1"), second, 1)
    await asyncio.sleep(0.002)
    assert await b.cache.store.put(key("s1"), first, LIFE_MS) == (False, True)
    assert await b.sessions.get("s1") == second
    assert table.asked == 1, "nothing usable stood there"
    await b.warm("s1")
    assert table.asked == 1, "the same revision, used again since, took its own place"


async def test_readers_and_writers_race_and_nothing_stale_is_left(join: Join, table: Table) -> None:
    """20,000 reads. A read that began after a change was told never brings what was before."""
    a, b, c = await join(), await join(), await join()
    idents = [f"s{number}" for number in range(10)]
    for ident in idents:
        table.write(ident)
    acknowledged = dict.fromkeys(idents, 1)
    writing = True

    async def write(process: Process, mine: list[str]) -> None:
        for round_ in range(150):
            ident = mine[round_ % len(mine)]
            copy = table.write(ident, b"%d" % round_)
            assert await process.cache.publish(key(ident), copy, LIFE_MS)
            # The pushes of a change leave Redis with its acknowledgement; one more answer later they are here.
            await asyncio.gather(*(other.link.command("PING") for other in (a, b, c)))
            acknowledged[ident] = max(acknowledged[ident], copy.revision)

    reads = 0

    async def read(process: Process) -> None:
        nonlocal reads
        while writing or reads < 20_000:
            for ident in idents:
                least = acknowledged[ident]
                found = await process.sessions.get(ident)
                assert found is not None
                assert found.revision >= least, "stale"
                reads += 1
            await asyncio.sleep(0)

    readers = [asyncio.create_task(read(process)) for process in (a, b, c) for _ in range(2)]
    await asyncio.gather(write(a, idents[:5]), write(b, idents[5:]))
    writing = False
    await asyncio.gather(*readers)
    for ident in idents:
        for process in (a, b, c):
            assert await process.sessions.get(ident) == table.rows[ident]
    assert reads >= 20_000


async def test_many_who_ask_at_once_cost_one_load(join: Join, table: Table) -> None:
    a = await join()
    copy = table.write("s1")
    gate = asyncio.Event()

    async def wait(_ident: str) -> None:
        await gate.wait()

    table.on_read = wait
    asking = [asyncio.create_task(a.sessions.get("s1")) for _ in range(64)]
    await until(lambda: table.asked > 0)
    asking[0].cancel()
    gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError), "one who goes takes nobody with him"
    assert answers[1:] == [copy] * 63
    assert table.asked == 1


async def test_a_near_copy_ends_before_the_copy_in_redis(join: Join, server: Server, table: Table) -> None:
    a, b = await join(), await join()
    table.life_ms = 400
    table.write("s1")
    await a.sessions.get("s1")
    await b.sessions.get("s1")
    await until(lambda: server.ask("PTTL", a.key("s1")) < GUARD_MS)
    assert a.sessions.hit("s1") is b.sessions.hit("s1") is None
    await b.sessions.get("s1")
    assert table.asked == 2


async def test_a_flush_takes_all_near_copies(join: Join, server: Server, table: Table) -> None:
    a, b = await join(), await join()
    copy = table.write("s1")
    await a.warm("s1")
    await b.warm("s1")
    a.told.clear()
    server.ask("FLUSHALL")
    await until(lambda: a.sessions.hit("s1") is None and b.sessions.hit("s1") is None)
    assert None in a.told
    assert await a.sessions.get("s1") == copy, "nobody is logged out"


async def test_a_lost_link_takes_all_near_copies_and_sql_answers(join: Join, server: Server, table: Table) -> None:
    a = await join()
    table.write("s1", b"old")
    await a.warm("s1")
    server.kill()
    await until(lambda: not a.link.is_connected)
    assert a.sessions.hit("s1") is None
    new = table.write("s1", b"new")
    assert await a.cache.publish(key("s1"), new, LIFE_MS) is False, "the others have to hear of it by the log"
    assert await a.sessions.get("s1") == new
    server.restart()  # with the old copy in its append-only file
    await until(lambda: a.cache.coherence.is_proven)
    assert await a.sessions.get("s1") == new, "what Redis kept is below a revision that is known"
    assert a.cache.counts.outdated >= 1
    assert await a.warm("s1") == new


async def test_with_the_push_channel_broken_the_log_of_changes_tells(join: Join, table: Table) -> None:
    a, b = await join(), await join()
    table.write("s1", b"old")
    await b.warm("s1")
    await b.link.command("CLIENT", "TRACKING", "OFF")
    new = table.write("s1", b"new")
    assert await a.cache.publish(key("s1"), new, LIFE_MS)
    b.cache.forget(table.log[-1:])
    assert b.sessions.hit("s1") is None
    assert await b.sessions.get("s1") == new


async def test_invalidations_that_are_switched_off_are_noticed(join: Join, table: Table) -> None:
    a = await join()
    table.write("s1")
    await a.warm("s1")
    a.told.clear()
    await a.link.command("CLIENT", "TRACKING", "OFF")
    await until(lambda: None in a.told)
    await until(lambda: a.cache.coherence.is_proven)
    await a.warm("s1")


async def test_a_redis_that_never_keeps_them_on_is_asked_seldom_and_named_once(
    join: Join, server: Server, table: Table, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Asked again at once, it would get hundreds of commands a second, and the log a line for each."""
    a = await join()
    copy, truth = table.write("s1"), tracking._is_on
    monkeypatch.setattr(tracking, "AGAIN_S", 3.0)
    monkeypatch.setattr(tracking, "_is_on", lambda _answer, _prefix: False)
    await until(lambda: a.cache.tracking.denied == tracking.STAYS_OFF)
    asked = questions(server)
    await asyncio.sleep(1)
    assert questions(server) == asked
    assert a.link.connection is not None
    address = a.link.connection.target.address
    assert [line for line in caplog.messages if "invalidations off" in line or "tell of changes" in line] == [
        f"Redis at {address} has switched invalidations off; switching on again",
        f"Redis at {address} does not tell of changes ({tracking.STAYS_OFF}): every read goes "
        "to Redis. Allow the node's user CLIENT TRACKING and CLIENT TRACKINGINFO; 'rppam redis setup' does",
    ]
    assert await a.sessions.get("s1") == copy
    assert a.sessions.hit("s1") is None
    monkeypatch.setattr(tracking, "_is_on", truth)
    await until(lambda: a.cache.coherence.is_proven and a.cache.tracking.denied == "")


async def test_where_nobody_reads_nothing_is_asked_and_the_next_read_wakes_it(
    join: Join, server: Server, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "IDLE_NS", 0)
    a, b = await join(), await join()
    old = table.write("s1", b"old")
    assert await a.warm("s1") == old
    await until(lambda: not a.cache.coherence.is_proven)
    asked = questions(server)
    await asyncio.sleep(2.5)
    assert questions(server) == asked, "two processes, idle"
    new = table.write("s1", b"new")
    await b.cache.publish(key("s1"), new, LIFE_MS)
    await until(lambda: key("s1") in a.told)  # changes are pushed all the same
    assert await a.sessions.get("s1") == new
    await until(lambda: a.cache.coherence.is_proven)
    assert await a.warm("s1") == new


def questions(server: Server) -> int:
    """How often a process asked whether invalidations are on."""
    stats = server.ask("INFO", "commandstats").decode()
    found = re.search(r"cmdstat_client(?:\|trackinginfo)?:calls=(\d+)", stats)
    return int(found[1]) if found else 0


async def test_nothing_of_redis_is_believed_before_the_log_was_read(join: Join, server: Server, table: Table) -> None:
    a = await join()
    table.write("s1", b"old")
    await a.sessions.get("s1")
    new = table.write("s1", b"new")  # a change that Redis never heard of
    late = Process(server.port, table)
    try:
        await late.link.start()
        assert await late.sessions.get("s1") == new
    finally:
        await late.stop()


async def test_a_change_that_has_to_be_confirmed_waits_for_a_replica(join: Join, server: Server, table: Table) -> None:
    a = await join(replicas=1)
    copy = table.write("s1")
    assert await a.cache.publish(key("s1"), copy, LIFE_MS, confirm=True) is False, "there is no replica"
    words = ("--replicaof", server.host, str(server.port), "--masterauth", server.password, "--appendonly", "no")
    with Server(server.kind, *words) as replica:
        await until(lambda: replica.ask("EXISTS", a.key("s1")) == 1)

        async def confirmed() -> bool:
            return await a.cache.publish(key("s1"), table.write("s1"), LIFE_MS, confirm=True)

        async with asyncio.timeout(30):
            while not await confirmed():  # noqa: ASYNC110 - after a failure none is waited for, for a second
                await asyncio.sleep(0.1)
        replica.stop()
        assert not await confirmed(), "it stands on the primary alone"
        assert await a.cache.publish(key("s2"), table.write("s2"), LIFE_MS), "nothing else waits for a replica"
        replica.cont()


# --- kinds that everybody is told of ----------------------------------------------------------------------------------


async def test_everybody_is_told_of_an_unlock_by_name(join: Join, table: Table) -> None:
    a, b = await join(), await join()
    unlock = CacheKey(Kind.UNLOCK, "subject-hash")
    for revision in (1, 2):
        b.told.clear()
        assert await a.cache.publish(unlock, Copy(revision, b"-"), LIFE_MS)
        await until(lambda: unlock in b.told)
    assert a.told.count(unlock) >= 2


async def test_a_flood_of_names_is_not_asked_about_all_at_once(join: Join, server: Server, table: Table) -> None:
    a, b = await join(), await join()
    before, most = len(asyncio.all_tasks()), 0
    flood = "for at = 1, 20000 do redis.call('SET', string.format('%stold:%032x', ARGV[1], at), 'x', 'PX', 60000) end"
    server.ask("EVAL", flood, 0, PREFIX)
    async with asyncio.timeout(60):
        while a.cache.counts.unusable < 100 or len(asyncio.all_tasks()) > before:
            most = max(most, len(asyncio.all_tasks()) - before)
            await asyncio.sleep(0)
    assert 0 < most < 2 * LEARNING_MAX + 100
    unlock = CacheKey(Kind.UNLOCK, "subject-hash")
    assert await a.cache.publish(unlock, Copy(1, b"-"), LIFE_MS)
    await until(lambda: unlock in b.told)


async def test_settings_are_told_and_read_like_the_rest(join: Join, table: Table) -> None:
    a, b = await join(), await join()
    setting = CacheKey(Kind.SETTING, "limits.login")
    readers = [process.cache.reader(Kind.SETTING, lambda copy: copy.value, table.read) for process in (a, b)]
    table.write("limits.login", b"10", Kind.SETTING)
    assert [await reader.get("limits.login") for reader in readers] == [b"10", b"10"]
    assert table.asked == 1
    copy = table.write("limits.login", b"20", Kind.SETTING)
    assert await a.cache.publish(setting, copy, LIFE_MS)
    await until(lambda: setting in b.told)
    assert await readers[1].get("limits.login") == b"20"
    assert table.asked == 1


async def test_changes_known_by_the_log_are_told_once(join: Join, table: Table) -> None:
    a = await join()
    change = Change(key("s9"), 2)
    a.told.clear()
    a.cache.forget([change])
    a.cache.forget([change])
    assert a.told == [key("s9")]
