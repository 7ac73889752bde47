"""The store that leadership uses, end to end on real servers: exchanges, word of releases, and whose the prefix is."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.record import Record, RecordState, vacant
from rppam.cluster.consensus.timing import PROFILES, Timing
from rppam.cluster.store import prefix_claim
from rppam.cluster.store.heartbeat_text import heartbeat_to_text
from rppam.cluster.store.ports import ExchangeOrder, StoreListener
from rppam.cluster.store.redis_store import RedisLeadershipStore
from rppam.crypto.store_mac import StoreMac
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.errors import StoreError
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions
from tests.support.raw_redis import Raw
from tests.support.redis_servers import PASSWORD, Server

pytestmark = [pytest.mark.integration, pytest.mark.server]

MARK = vacant(3, "c" * 16)
HELD = Record(RecordState.HELD, "node1", "a" * 16, 7, 1, "f" * 16)
READ = ExchangeOrder(None, None, MARK, None)


def unstamped(record: Record) -> Record:
    """``record`` without the server's time at the end of a vacant mark's nonce."""
    return record._replace(nonce=record.nonce[: len(MARK.nonce)])


TIMEOUT_MS = 2_000


def heartbeat(node: str, beat: int = 1) -> Heartbeat:
    return Heartbeat(node, "a" * 16, beat, Role.STANDBY, 7, "1.0.0", "höst", f"http://{node}:7101", 0, 0, 0)


class Client:
    """One node's store, and what it was told."""

    def __init__(self, store: RedisLeadershipStore) -> None:
        self.store = store
        self.ups: list[tuple[int, str]] = []
        self.downs: list[str] = []
        self.releases = 0
        self.foreign: list[str] = []
        self.told = asyncio.Event()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self.told.clear()
                await self.told.wait()

    def _note(self, what: Callable[[], object]) -> None:
        what()
        self.told.set()

    async def start(self) -> None:
        def release() -> None:
            self.releases += 1

        await self.store.start(
            StoreListener(
                lambda number, identity: self._note(lambda: self.ups.append((number, identity))),
                lambda _, reason: self._note(lambda: self.downs.append(reason)),
                lambda: self._note(release),
            )
        )


Join = Callable[..., Awaitable[Client]]


@pytest.fixture
async def join(server: Server) -> AsyncIterator[Join]:
    """``await join("node1", prefix=..., cluster=...)``: a started store on the server."""
    clients: list[Client] = []

    async def join_as(node: str, prefix: str = "rppam:", cluster: str = "lab", **macs: Any) -> Client:
        options = LinkOptions(
            endpoints=((server.host, server.port),),
            password=Secret(PASSWORD),
            abort_connect=False,
            command_timeout_ms=TIMEOUT_MS,
            reconnect_cap_ms=100,
        )
        link = Link(options, clock=SystemClock(), entropy=SystemEntropy())
        client: Client
        store = RedisLeadershipStore(
            link, prefix, cluster, node, lambda sentence: client._note(lambda: client.foreign.append(sentence)), **macs
        )
        client = Client(store)
        clients.append(client)
        await client.start()
        await client.until(lambda: client.ups or client.foreign)
        return client

    yield join_as
    for client in clients:
        await client.store.stop()


async def test_a_leadership_comes_is_seen_and_is_released(join: Join) -> None:
    one, two = await join("node1"), await join("node2")
    first = await one.store.exchange(READ, TIMEOUT_MS)
    assert (first.granted, first.was_absent, unstamped(first.record)) == (False, True, MARK)
    taken = await one.store.exchange(ExchangeOrder(first.record, HELD, MARK, heartbeat("node1")), TIMEOUT_MS)
    assert (taken.granted, taken.was_absent, taken.record) == (True, False, HELD)
    seen = await two.store.exchange(ExchangeOrder(MARK, HELD, MARK, heartbeat("node2")), TIMEOUT_MS)
    assert (seen.granted, seen.record) == (False, HELD)
    assert dict(seen.heartbeats) == {"node1": heartbeat("node1"), "node2": heartbeat("node2")}
    assert abs(seen.store_wall_ms - SystemClock().wall_ms()) < 5_000
    assert two.releases == 0
    released = HELD._replace(state=RecordState.RELEASED, seq=2)
    leaving = heartbeat("node1", 2)._replace(leaving=True)
    assert (await one.store.exchange(ExchangeOrder(HELD, released, MARK, leaving), TIMEOUT_MS)).granted
    await two.until(lambda: two.releases)
    last = await two.store.exchange(READ, TIMEOUT_MS)
    assert (last.record, dict(last.heartbeats)["node1"]) == (released, leaving)


async def test_a_dead_node_is_taken_off_the_list_and_a_living_one_lists_itself_again(join: Join) -> None:
    one, two = await join("node1"), await join("node2")
    for client, name in ((one, "node1"), (two, "node2")):
        await client.store.exchange(READ._replace(heartbeat=heartbeat(name)), TIMEOUT_MS)
    await one.store.unregister(("node2", "node9"), TIMEOUT_MS)
    assert set(dict((await one.store.exchange(READ, TIMEOUT_MS)).heartbeats)) == {"node1"}
    again = await two.store.exchange(READ._replace(heartbeat=heartbeat("node2", 2)), TIMEOUT_MS)
    assert set(dict(again.heartbeats)) == {"node1", "node2"}


async def test_a_lost_script_cache_is_no_error(join: Join, server: Server) -> None:
    one = await join("node1")
    for _ in range(3):
        server.ask("SCRIPT", "FLUSH")
        assert unstamped((await one.store.exchange(READ, TIMEOUT_MS)).record) == MARK


async def test_a_restart_is_another_connection_to_another_identity(join: Join, server: Server) -> None:
    one = await join("node1")
    await one.store.exchange(ExchangeOrder(None, None, MARK, heartbeat("node1")), TIMEOUT_MS)
    while b"aof_buffer_length:0\r" not in server.ask("INFO", "persistence"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # while a sync to the disk goes on, the server holds back what it acknowledged
    server.kill()
    await one.until(lambda: one.downs)
    with pytest.raises(StoreError):
        await one.store.exchange(READ, TIMEOUT_MS)
    server.restart()
    await one.until(lambda: len(one.ups) > 1)
    (number, identity), (number_after, identity_after) = one.ups[0], one.ups[-1]
    assert number_after != number
    assert identity_after != identity
    answer = await one.store.exchange(READ, TIMEOUT_MS)
    assert (unstamped(answer.record), answer.was_absent) == (MARK, False), "the append-only file kept the record"


@pytest.mark.parametrize("key", ["rppam:heartbeat:node2", "rppam:members"])
async def test_odd_neighbours_are_no_heartbeats_and_no_crash(join: Join, server: Server, key: str) -> None:
    one = await join("node1")
    with Raw(server) as raw:
        raw("SADD", "rppam:members", "node2", b"\xff\xfe", "x" * 70, "")
        answer = await one.store.exchange(READ, TIMEOUT_MS)
        assert "rppam:members listed names that no node can have" in answer.moved_aside
        if key != "rppam:members":
            for text in ("garbage", '{"node": 1}', "[" * 4_000, '{"node":"node2"}', b"\xff"):
                raw("SET", key, text)
                answer = await one.store.exchange(ExchangeOrder(None, None, MARK, heartbeat("node1")), TIMEOUT_MS)
                assert dict(answer.heartbeats)["node2"] is None
            raw("DEL", key)
            raw("RPUSH", key, "a list")
        answer = await one.store.exchange(ExchangeOrder(None, None, MARK, heartbeat("node1")), TIMEOUT_MS)
        beats = dict(answer.heartbeats)
        assert beats["node1"] == heartbeat("node1")
        assert beats == {"node1": heartbeat("node1"), "node2": None}, "what no node can be called is nobody"


@pytest.mark.parametrize(
    "changes",
    [
        {"node": "node1"},
        {"boot_id": "x" * 16},
        {"boot_id": "a" * 15},
        {"boot_id": 7},
        {"hostname": "\ud800"},
        {"hostname": "host\x1b]0;gone\x07"},
        {"hostname": "host\nnode1 is healthy"},
        {"api_url": "http://node2\u202e:7101"},
        {"version": "1\x9b2J"},
        {"epoch": -1},
        {"role": "king"},
        {"settings_revision": -1},
        {"settings_revision": "7"},
    ],
)
async def test_a_heartbeat_is_its_own_node_s_and_printable(
    join: Join, server: Server, changes: dict[str, object]
) -> None:
    one = await join("node1")
    fine = heartbeat("node2")
    with Raw(server) as raw:
        raw("SADD", "rppam:members", "node2")
        for fields, expected in ((fine._asdict(), fine), (fine._asdict() | changes, None)):
            raw("SET", "rppam:heartbeat:node2", json.dumps(fields))
            answer = await one.store.exchange(READ, TIMEOUT_MS)
            assert dict(answer.heartbeats)["node2"] == expected


async def test_a_heartbeat_of_a_release_that_did_not_tell_its_settings_is_read(join: Join, server: Server) -> None:
    one = await join("node1")
    told = heartbeat("node2")._replace(settings_revision=7)
    untold = {name: value for name, value in told._asdict().items() if name != "settings_revision"}
    with Raw(server) as raw:
        raw("SADD", "rppam:members", "node2")
        for fields, expected in ((told._asdict(), told), (untold, told._replace(settings_revision=None))):
            raw("SET", "rppam:heartbeat:node2", json.dumps(fields))
            answer = await one.store.exchange(READ, TIMEOUT_MS)
            assert dict(answer.heartbeats)["node2"] == expected


async def test_what_was_moved_aside_is_said(join: Join, server: Server) -> None:
    one = await join("node1")
    server.ask("SET", "rppam:leader", "garbage")
    answer = await one.store.exchange(READ, TIMEOUT_MS)
    assert "rppam:leader held text that is not a record" in answer.moved_aside
    assert (await one.store.exchange(READ, TIMEOUT_MS)).moved_aside == ""


# ---- whose prefix is it? ---------------------------------------------------------------------------------------------


async def test_another_cluster_under_the_same_prefix_is_refused(join: Join) -> None:
    assert (await join("node1", cluster="one")).ups
    second = await join("node1", cluster="two")
    assert not second.ups
    assert "'rppam:' is used by the cluster 'one'" in second.foreign[0]
    assert "'rppam-two:'" in second.foreign[0], "it proposes one that is free"


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        ("rppam:", "rppam:staging:", "lies within 'rppam:'"),
        ("rppam:staging:", "rppam:", "contains 'rppam:staging:'"),
        ("rppam:", "rppam:a:b:", "lies within 'rppam:'"),
        ("rppam:a:b:", "rppam:", "contains 'rppam:a:b:'"),
    ],
)
async def test_a_nested_prefix_is_refused_and_leaves_no_trace(
    join: Join, server: Server, first: str, second: str, word: str
) -> None:
    assert (await join("node1", prefix=first, cluster="one")).ups
    late = await join("node1", prefix=second, cluster="two")
    assert not late.ups
    assert word in late.foreign[0]
    assert server.ask("KEYS", "*") == [f"{first}cluster-id".encode()]
    assert (await join("node2", prefix=first, cluster="one")).ups, "the rightful cluster's nodes still come back"


@pytest.mark.parametrize(("first", "second"), [("rppam-prod:", "rppam-staging:"), ("a:", "ab:"), ("a:b:", "a:c:")])
async def test_prefixes_side_by_side_never_see_each_other(join: Join, server: Server, first: str, second: str) -> None:
    one, two = await join("node1", prefix=first, cluster="one"), await join("node1", prefix=second, cluster="two")
    marked = await one.store.exchange(ExchangeOrder(None, None, MARK, heartbeat("node1")), TIMEOUT_MS)
    await one.store.exchange(ExchangeOrder(marked.record, HELD, MARK, heartbeat("node1")), TIMEOUT_MS)
    other = await two.store.exchange(ExchangeOrder(None, None, MARK, heartbeat("node1")), TIMEOUT_MS)
    assert other.was_absent
    assert other.own_before is None
    released = HELD._replace(state=RecordState.RELEASED, seq=2)
    await one.store.exchange(ExchangeOrder(HELD, released, MARK, None), TIMEOUT_MS)
    await one.until(lambda: one.releases)
    assert two.releases == 0
    keys = server.ask("KEYS", "*")
    assert all(key.decode().startswith((first, second)) for key in keys), keys


@pytest.mark.parametrize("make", [("RPUSH", "rppam:cluster-id", "x"), ("HSET", "rppam:cluster-id", "f", "v")])
async def test_a_foreign_type_at_the_cluster_id_keeps_nobody_out(
    join: Join, server: Server, make: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    server.ask(*make)
    one = await join("node1")
    assert unstamped((await one.store.exchange(READ, TIMEOUT_MS)).record) == MARK
    assert "whose the prefix rppam: is" in caplog.text


async def test_a_running_node_does_not_end_when_somebody_spoils_the_cluster_id(
    join: Join, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    one = await join("node1")
    server.ask("SET", "rppam:cluster-id", "garbage")
    server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    await one.until(lambda: len(one.ups) > 1)
    assert one.foreign == []
    assert "garbage" in caplog.text


async def test_a_server_that_lost_its_data_is_claimed_again_by_who_notices(join: Join, server: Server) -> None:
    one = await join("node1", cluster="one")
    await one.store.exchange(READ, TIMEOUT_MS)
    server.ask("FLUSHALL")
    assert (await one.store.exchange(READ, TIMEOUT_MS)).was_absent
    async with asyncio.timeout(10):
        while server.ask("GET", "rppam:cluster-id") != b"one":  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)
    late = await join("node1", cluster="two")
    assert "'rppam:' is used by the cluster 'one'" in late.foreign[0]
    inner = await join("node1", prefix="rppam:inner:", cluster="three")
    assert "lies within 'rppam:'" in inner.foreign[0]


@pytest.mark.parametrize("after", ["GET", "SET"])
async def test_a_claim_that_vanishes_while_it_is_looked_at_is_nobody_s_and_is_made_again(
    join: Join, server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    untouched, emptied = Link.command, 0

    async def emptied_after(link: Link, *words: str, timeout_ms: int) -> object:
        nonlocal emptied
        reply = await untouched(link, *words, timeout_ms=timeout_ms)
        if words[:2] == (after, "rppam:cluster-id"):
            server.ask("FLUSHALL")
            emptied += 1
        return reply

    server.ask("SET", "rppam:cluster-id", "lab")
    monkeypatch.setattr(Link, "command", emptied_after)
    if after == "SET":
        server.ask("FLUSHALL")
    one = await join("node1")
    assert (len(one.ups), one.foreign) == (1, []), "a node that starts is not refused"
    await one.store.exchange(READ, TIMEOUT_MS)
    async with asyncio.timeout(10):
        while emptied < 3:
            await one.store.exchange(READ, TIMEOUT_MS)
            await asyncio.sleep(0.01)
    monkeypatch.setattr(Link, "command", untouched)
    async with asyncio.timeout(10):
        while server.ask("GET", "rppam:cluster-id") != b"lab":
            await one.store.exchange(READ, TIMEOUT_MS)
            await asyncio.sleep(0.01)
    assert "is used by" not in caplog.text


async def test_a_prefix_that_another_cluster_took_meanwhile_is_told_and_left_to_it(
    join: Join, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    one = await join("node1", cluster="one")
    await one.store.exchange(READ, TIMEOUT_MS)
    server.ask("FLUSHALL")
    server.ask("SET", "rppam:cluster-id", "two")
    await one.store.exchange(READ, TIMEOUT_MS)
    async with asyncio.timeout(10):
        while "used by the cluster 'two'" not in caplog.text:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)
    assert one.foreign == []
    assert server.ask("GET", "rppam:cluster-id") == b"two"


async def test_a_search_that_did_not_come_to_its_end_is_told(
    join: Join, server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    server.ask("EVAL", "for i = 1, 5000 do redis.call('SET', 'other:' .. i, 1) end", 0)
    assert (await join("node1", prefix="whole:")).ups
    assert "RD-503" not in caplog.text
    monkeypatch.setattr(prefix_claim, "SCAN_CALLS_MAX", 1)
    assert (await join("node1", prefix="partly:")).ups
    assert "RD-503: Redis holds so many keys that not all were searched" in caplog.text


async def test_a_heartbeat_lives_as_long_as_the_times_of_the_cluster_ask(server: Server) -> None:
    far_apart = Timing(2_000_000, 600_000, 10_000, 2_000, 5_000).check()
    for timing, expected_ms in ((PROFILES["default"], 30_000), (PROFILES["classic"], 30_000), (far_apart, 3_000_000)):
        link = Link(
            LinkOptions(endpoints=((server.host, server.port),), password=Secret(PASSWORD)),
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
        store = RedisLeadershipStore(
            link, "rppam:", "lab", "node1", pytest.fail, heartbeat_ttl_ms=timing.heartbeat_ttl_ms
        )
        await store.start(StoreListener(lambda *_: None, lambda *_: None, lambda: None))
        await store.exchange(ExchangeOrder(None, None, MARK, heartbeat("node1")), TIMEOUT_MS)
        await store.stop()
        left_ms = server.ask("PTTL", "rppam:heartbeat:node1")
        assert expected_ms - 20_000 < left_ms <= expected_ms


KEY = StoreMac("lab", Secret("1" * 64))


async def test_with_a_key_only_its_holders_heartbeats_are_believed(join: Join, server: Server) -> None:
    one, two = await join("node1", mac=KEY), await join("node2", mac=KEY)
    for beat in (1, 2):  # the first answer tells a node what time the store has
        for client, name in ((one, "node1"), (two, "node2")):
            await client.store.exchange(READ._replace(heartbeat=heartbeat(name, beat)), TIMEOUT_MS)
    answer = await one.store.exchange(READ, TIMEOUT_MS)
    assert [(name, beat and beat.beat) for name, beat in answer.heartbeats] in (
        [("node1", 2), ("node2", 2)],
        [("node2", 2), ("node1", 2)],
    )
    assert answer.unauthenticated == ()
    for name in ("node1", "node2", "made-up"):
        forged = json.dumps(heartbeat(name, 9)._asdict() | {"boot_id": "0" * 16})
        server.ask("SADD", "rppam:members", name)
        server.ask("SET", f"rppam:heartbeat:{name}", forged)
    answer = await one.store.exchange(READ, TIMEOUT_MS)
    assert answer.own_before is None, "no second node of this name"
    assert dict(answer.heartbeats) == {"node1": None, "node2": None, "made-up": None}
    assert sorted(answer.unauthenticated) == ["made-up", "node1", "node2"]


SEALING = StoreMac("lab", Secret("5" * 64))


async def test_who_has_the_cluster_key_alone_orders_nothing_in_a_node_s_name(join: Join, server: Server) -> None:
    one = await join("node1", mac=KEY, orders_mac=SEALING)
    two = await join("node2", mac=KEY, orders_mac=SEALING)
    witness = await join("witness", mac=KEY)
    orders = heartbeat("node2", 2)._replace(maintenance=True, pause_stamp=9, paused=True, paused_by="anna")
    for beat in (heartbeat("node2"), orders):  # the first answer tells a node what time the store has
        await two.store.exchange(READ._replace(heartbeat=beat), TIMEOUT_MS)
    for number in (1, 2):
        shown = heartbeat("witness", number)._replace(role=Role.WITNESS)
        await witness.store.exchange(READ._replace(heartbeat=shown), TIMEOUT_MS)
    answer = await one.store.exchange(READ, TIMEOUT_MS)
    found = dict(answer.heartbeats)["node2"]
    assert found is not None
    assert (found.maintenance, found.paused, found.paused_by) == (True, True, "anna")
    assert answer.unsealed == ()
    forged = heartbeat_to_text(orders._replace(beat=3, store_ms=answer.store_wall_ms), KEY)
    server.ask("SET", "rppam:heartbeat:node2", forged)
    answer = await one.store.exchange(READ, TIMEOUT_MS)
    found = dict(answer.heartbeats)["node2"]
    assert found is not None, "it shows life, as whoever has the cluster key can"
    assert (found.beat, found.maintenance, found.pause_stamp, found.paused, found.paused_by) == (3, None, 0, False, "")
    assert (answer.unauthenticated, answer.unsealed) == ((), ("node2",)), "a witness seals nothing, and nobody minds"


async def test_what_a_holder_wrote_long_ago_is_no_heartbeat_when_it_is_put_back(join: Join, server: Server) -> None:
    one = await join("node1", mac=KEY)
    now_ms = (await one.store.exchange(READ, TIMEOUT_MS)).store_wall_ms
    for age_ms, is_believed in ((0, True), (29_000, True), (31_000, False), (-31_000, False), (now_ms, False)):
        old = heartbeat("node2", 5)._replace(store_ms=max(0, now_ms - age_ms))
        server.ask("SADD", "rppam:members", "node2")
        server.ask("SET", "rppam:heartbeat:node2", heartbeat_to_text(old, KEY))
        found = dict((await one.store.exchange(READ, TIMEOUT_MS)).heartbeats)["node2"]
        assert (found == old) is is_believed, age_ms


async def test_five_thousand_names_are_gone_with_the_next_exchange_and_members_stay(join: Join, server: Server) -> None:
    one, two = await join("node1"), await join("node2")
    for client, name in ((one, "node1"), (two, "node2")):
        await client.store.exchange(READ._replace(heartbeat=heartbeat(name)), TIMEOUT_MS)
    server.ask("EVAL", "for i = 1, 5000 do redis.call('SADD', 'rppam:members', 'g' .. i) end", 0)
    order = READ._replace(heartbeat=heartbeat("node1", 2), first=("node1", "node2"))
    answer = await one.store.exchange(order, TIMEOUT_MS)
    assert dict(answer.heartbeats) == {"node1": heartbeat("node1", 2), "node2": heartbeat("node2")}
    assert "listed more names than any cluster has nodes" in answer.moved_aside
    assert server.ask("SCARD", "rppam:members") == 2
