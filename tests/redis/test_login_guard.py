"""The guard of sign-ins on several nodes: real Redis, a real database, and either of them lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from rppam.access.accounts.model import Account, AccountRole, StoredAccount
from rppam.access.accounts.store import SqlAccounts
from rppam.access.lockouts import guard as login_guard
from rppam.access.lockouts.guard import KNOWN_MAX, Guard, watched_of
from rppam.access.lockouts.model import LockKind, LockoutPolicy, address_suspect, user_suspect
from rppam.access.lockouts.redis_tries import RedisTries
from rppam.access.lockouts.service import Lockouts
from rppam.access.lockouts.sql_tries import SqlTries
from rppam.access.lockouts.store import SqlLockouts
from rppam.access.lockouts.tally import TOLD_AT
from rppam.access.lockouts.tries import LEASE_MS
from rppam.cache.model import CacheKey, Kind
from rppam.cache.no_cache import NoCache
from rppam.db.database import Database
from rppam.db.errors import DatabaseError
from rppam.http.errors import RateLimitedError
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.limits.redis_store import RedisLimits
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions
from tests.support.hot import DefaultSettings
from tests.support.redis_servers import PASSWORD, Server, available

pytestmark = [pytest.mark.integration, pytest.mark.server]

HERE = "192.0.2.1"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(available()[0]) as running:
        yield running


class Node:
    """One process: a link, a database and a guard of its own."""

    def __init__(self, place: Path, server: Server | None) -> None:
        self.database = Database(f"sqlite:///{place}/rppam.db", 20_000)
        self.link: Link | None = None
        clock = SystemClock()
        if server is not None:
            options = LinkOptions(
                endpoints=((server.host, server.port),), password=Secret(PASSWORD), command_timeout_ms=5_000,
                reconnect_cap_ms=200, abort_connect=False,
            )  # fmt: skip
            self.link = Link(options, clock=clock, entropy=SystemEntropy())
        shared = RedisLimits(self.link, "rppam:", b"k" * 32) if self.link else None
        self.cache = NoCache()
        self.store = SqlLockouts(self.database)
        self.tries = RedisTries(shared) if shared else None
        self.guard = Guard(
            self.tries, SqlTries(self.database), self.store, DefaultSettings(), self.cache, clock, SystemEntropy()
        )  # fmt: skip
        self.lockouts = Lockouts(self.store, SqlAccounts(self.database), self.guard, self.cache)

    async def start(self) -> None:
        await self.database.start()
        if self.link is not None:
            await self.link.start()

    async def stop(self) -> None:
        if self.link is not None:
            await self.link.stop()
        await self.database.stop()

    async def guess(self, name: str = "anna", client: str = HERE) -> bool:
        """A wrong password: whether it was even looked at."""
        return await self._try(name, client, right=False)

    async def sign_in(self, name: str = "anna", client: str = HERE) -> bool:
        """The right password: whether it was even looked at."""
        return await self._try(name, client, right=True)

    async def _try(self, name: str, client: str, *, right: bool) -> bool:
        try:
            attempt = await self.guard.enter(name, client)
        except RateLimitedError:
            return False
        await asyncio.sleep(0.001)
        await (attempt.succeeded() if right else attempt.failed())
        return True


Cluster = Callable[..., Awaitable[list[Node]]]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    made: list[Node] = []

    async def make(server: Server | None, count: int = 3) -> list[Node]:
        for _ in range(count):
            node = Node(tmp_path, server)
            await node.start()
            made.append(node)
        return made

    yield make
    for node in made:
        await node.stop()


async def wait_seconds(node: Node, name: str = "anna", client: str = HERE) -> int:
    with pytest.raises(RateLimitedError) as caught:
        await node.guard.enter(name, client)
    return caught.value.retry_after_s


async def test_ten_wrong_passwords_over_three_nodes_lock_the_user_everywhere(server: Server, cluster: Cluster) -> None:
    nodes = await cluster(server)
    for number in range(10):
        assert await nodes[number % 3].guess(client=f"192.0.2.{number}"), number
    for node in nodes:
        assert 800 < await wait_seconds(node, client="198.51.100.9") <= 900
        assert await node.sign_in("bob"), "nobody else is locked"
    assert [(one.kind, one.level) for one in await nodes[0].lockouts.all()] == [(LockKind.USER, 1)]


async def test_guesses_in_parallel_are_guesses(server: Server, cluster: Cluster) -> None:
    nodes = await cluster(server)
    looked_at = await asyncio.gather(*(nodes[at % 3].guess(client=f"192.0.2.{at}") for at in range(100)))
    assert sum(looked_at) == 10


async def test_twenty_wrong_passwords_from_one_address_lock_it_loopback_as_well(
    server: Server, cluster: Cluster
) -> None:
    nodes = await cluster(server)
    looked_at = [await nodes[at % 3].guess(f"user{at}", "::ffff:127.0.0.1") for at in range(25)]
    assert looked_at == [True] * 20 + [False] * 5
    assert not await nodes[1].sign_in("admin", "127.0.0.1")
    assert await nodes[1].sign_in("admin", "127.0.0.2")
    assert [one.shown for one in await nodes[2].lockouts.all()] == ["127.0.0.1"]


async def test_look_alikes_of_a_name_and_neighbours_of_an_address_are_one(server: Server, cluster: Cluster) -> None:
    (node,) = await cluster(server, 1)
    names = ["anna", "ANNA", "ａｎｎａ", "Anna", "𝐚𝐧𝐧𝐚"] * 2
    for number, name in enumerate(names):
        assert await node.guess(name, f"2001:db8:0:{number:x}::1")
    assert not await node.sign_in("anna")
    for number in range(20):
        assert await node.guess(f"user{number}", f"2001:db8:ffff:ffff::{number:x}")
    assert not await node.sign_in("bob", "2001:db8:ffff:ffff:1:2:3:4")
    assert await node.sign_in("bob", "2001:db8:ffff:fffe::1")


@pytest.mark.parametrize("name", ["", "аdmin", "no such user", "x" * 10_000, "\ud800", "\0"])
async def test_names_that_no_account_has_are_counted_alike(server: Server, cluster: Cluster, name: str) -> None:
    (node,) = await cluster(server, 1)
    looked_at = [await node.guess(name, f"192.0.2.{number}") for number in range(12)]
    assert looked_at == [True] * 10 + [False] * 2
    assert [one.shown for one in await node.lockouts.all()] == [""]


@pytest.mark.parametrize("with_redis", [True, False], ids=["redis", "no-redis"])
async def test_right_passwords_are_not_limited_in_parallel_neither(
    server: Server, cluster: Cluster, with_redis: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_guard, "WAIT_MS", 120_000)  # one after the other, on a loaded machine
    nodes = await cluster(server if with_redis else None)
    for _ in range(9):
        assert await nodes[0].guess(client="198.51.100.7")
    let_in = await asyncio.gather(*(nodes[at % 3].sign_in() for at in range(24)))
    assert all(let_in)
    assert await nodes[1].guess(client="198.51.100.7"), "the tenth wrong one"
    assert not await nodes[2].sign_in()


async def test_who_waits_in_vain_for_others_is_told_which_limit_they_have_used_up(
    server: Server, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_guard, "WAIT_MS", 1)
    (node,) = await cluster(server, 1)
    running = [await node.guard.enter("anna", f"192.0.2.{number}") for number in range(10)]
    with pytest.raises(RateLimitedError) as caught:
        await node.guard.enter("anna", "198.51.100.9")
    headers = caught.value.headers()
    assert headers["RateLimit-Policy"] == '"login-user";q=10;w=900'
    assert headers["RateLimit"] == f'"login-user";r=0;t={headers["Retry-After"]}'
    for attempt in running:
        await attempt.succeeded()
    assert await node.sign_in()


async def test_a_flushed_redis_unlocks_nobody_and_a_lost_one_neither(server: Server, cluster: Cluster) -> None:
    nodes = await cluster(server)
    for _ in range(10):
        await nodes[0].guess()
    server.ask("FLUSHALL")
    assert [await node.sign_in() for node in nodes] == [False] * 3
    server.kill()
    assert [await node.sign_in() for node in nodes] == [False] * 3
    assert [await node.sign_in("bob") for node in nodes] == [True] * 3


async def test_without_redis_they_count_together_all_the_same(server: Server, cluster: Cluster) -> None:
    nodes = await cluster(server)
    server.kill()
    looked_at = await asyncio.gather(*(nodes[at % 3].guess(client=f"192.0.2.{at}") for at in range(30)))
    assert sum(looked_at) == 10
    assert 800 < await wait_seconds(nodes[2]) <= 900


async def test_a_frozen_redis_delays_and_lets_nobody_through(server: Server, cluster: Cluster) -> None:
    nodes = await cluster(server)
    server.stop()
    try:
        looked_at = [await nodes[at % 3].guess(client=f"192.0.2.{at}") for at in range(12)]
    finally:
        server.cont()
    assert looked_at == [True] * 10 + [False] * 2


async def test_an_unlock_holds_on_all_nodes_and_forgets_what_was_counted(server: Server, cluster: Cluster) -> None:
    nodes = await cluster(server)
    account = Account("id-anna", "anna", "", frozenset({AccountRole.ADMIN}), False, WallMs(1), WallMs(1))
    await SqlAccounts(nodes[0].database).create(StoredAccount(account, Secret("x")))
    for _ in range(9):
        await nodes[0].guess()
    assert await nodes[0].lockouts.unlock_user("id-anna", "root") is None
    for _ in range(10):
        assert await nodes[1].guess(client="192.0.2.2"), "the nine before are forgotten"
    assert [await node.sign_in() for node in nodes] == [False] * 3
    assert await nodes[2].lockouts.unlock_user("id-anna", "root") is not None
    assert await nodes[2].sign_in()
    # The others hear of it by their caches; what a cache's listener does is done here by hand.
    await nodes[0].cache.publish(CacheKey(Kind.UNLOCK, user_suspect("anna").subject), None, 0)  # type: ignore[arg-type]
    assert await nodes[0].sign_in()
    # And one that hears nothing asks SQL again soon.
    async with asyncio.timeout(30):
        while not await nodes[1].sign_in():  # noqa: ASYNC110 - there is nothing to wait for but time
            await asyncio.sleep(0.1)


async def test_each_lockout_is_longer_and_the_count_begins_anew(
    server: Server, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_guard, "KNOWN_MS", 0)
    (node,) = await cluster(server, 1)
    for level in (1, 2, 3):
        for _ in range(10):
            assert await node.guess(client=f"192.0.2.{level}")
        assert (await wait_seconds(node) - 1) // 60 == 15 * 2 ** (level - 1) - 1
        await ended(node)


async def ended(node: Node) -> None:
    """As if the lockouts had just ended."""
    sql = "UPDATE lockouts SET until = since + 1 WHERE until > since + 1"
    await node.database.write(lambda connection: connection.exec_driver_sql(sql).rowcount)


async def test_a_flood_of_refused_tries_costs_neither_redis_nor_sql_and_memory_is_bounded(
    server: Server, cluster: Cluster
) -> None:
    (node,) = await cluster(server, 1)
    for _ in range(10):
        await node.guess()
    assert await wait_seconds(node)
    calls = _calls(server)
    for _ in range(2_000):
        assert not await node.guess()
    assert _calls(server) - calls <= 4, "once in two seconds at most"
    assert len(node.guard._known) <= KNOWN_MAX


def _calls(server: Server) -> int:
    stats = server.ask("INFO", "commandstats").decode()
    line = next(line for line in stats.splitlines() if line.startswith("cmdstat_evalsha:"))
    return int(line.split("calls=")[1].split(",")[0])


async def test_with_sql_away_nobody_gets_in(server: Server, cluster: Cluster) -> None:
    (node,) = await cluster(server, 1)
    await node.database.stop()
    with pytest.raises(DatabaseError):
        await node.guard.enter("anna", HERE)


@pytest.mark.parametrize("with_redis", [True, False], ids=["redis", "no-redis"])
async def test_a_node_that_dies_with_tries_under_way_locks_nobody_out(
    server: Server, cluster: Cluster, with_redis: bool
) -> None:
    dying, living = await cluster(server if with_redis else None, 2)
    for number in range(20):
        await dying.guard.enter(f"user{number}" if number % 2 else "anna", HERE)
    await dying.stop()  # nothing of it is ended or renewed any more
    assert [standing[:2] for _, standing in await living.guard.look([address_suspect(HERE)])] == [(0, 20)]
    started = time.monotonic()
    assert await living.sign_in("anna", HERE), "it waits, and is not even refused"
    assert time.monotonic() - started < login_guard.WAIT_MS / 1000
    assert await living.lockouts.all() == []
    async with asyncio.timeout(30):
        while (await living.guard.look([address_suspect(HERE)]))[0][1] != (0, 0, 0):  # noqa: ASYNC110 - time passes
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("with_redis", [True, False], ids=["redis", "no-redis"])
async def test_a_check_that_takes_longer_than_a_lease_keeps_its_place(
    server: Server, cluster: Cluster, with_redis: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_guard, "WAIT_MS", 1)
    one, other = await cluster(server if with_redis else None, 2)
    running = [await one.guard.enter("anna", f"192.0.2.{number}") for number in range(10)]
    until = time.monotonic() + 2 * LEASE_MS / 1000
    while time.monotonic() < until:
        with pytest.raises(RateLimitedError, match="10 tries with this user name are under way"):
            await other.guard.enter("anna", "198.51.100.9")
        await asyncio.sleep(0.2)
    for attempt in running:
        await attempt.succeeded()
    assert await other.sign_in()


async def test_whoever_deletes_the_counters_in_redis_gains_two_guesses_a_process(
    server: Server, cluster: Cluster
) -> None:
    nodes = await cluster(server, 4)
    guesses = 0
    while await nodes[guesses % 4].guess(client=f"192.0.2.{guesses}"):
        guesses += 1
        server.ask("FLUSHALL")
        assert guesses <= 10 + (TOLD_AT - 1) * 4, "SQL locks"
    assert guesses >= 10
    assert [await node.sign_in() for node in nodes] == [False] * 4
    assert [(one.kind, one.level) for one in await nodes[0].lockouts.all()] == [(LockKind.USER, 1)]


async def test_whoever_deletes_them_all_the_time_gains_one_limit_a_process_even_in_parallel(
    server: Server, cluster: Cluster
) -> None:
    nodes = await cluster(server, 3)
    gone = asyncio.Event()

    async def delete() -> None:
        while not gone.is_set():
            await asyncio.to_thread(server.ask, "FLUSHALL")

    deleting = asyncio.create_task(delete())
    looked_at = await asyncio.gather(*(nodes[at % 3].guess(client=f"192.0.2.{at}") for at in range(120)))
    gone.set()
    await deleting
    assert 10 <= sum(looked_at) <= 10 * 3
    assert [await node.sign_in() for node in nodes] == [False] * 3


async def test_what_a_process_has_counted_ends_with_a_lockout_that_it_has_not_heard_of(
    server: Server, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_guard, "KNOWN_MS", 0)
    one, other = await cluster(server, 2)
    for _ in range(6):
        assert await one.guess()
    for _ in range(4):
        assert await other.guess(client="192.0.2.2")
    await ended(other)
    for number in range(10):
        assert await one.guess(client="192.0.2.3"), number
    assert not await one.sign_in()


async def test_too_many_wrong_ones_for_a_stricter_policy_are_a_lockout_that_is_listed(
    server: Server, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (node,) = await cluster(server, 1)
    for _ in range(5):
        assert await node.guess()
    stricter = LockoutPolicy(user_failures=5)
    monkeypatch.setattr(node.guard._settings, "current", lambda _: stricter)
    assert not await node.sign_in()
    assert [one.kind for one in await node.lockouts.all()] == [LockKind.USER]


async def test_whoever_writes_the_counters_in_redis_refuses_and_locks_nobody(server: Server, cluster: Cluster) -> None:
    one, other = await cluster(server, 2)
    suspects = [user_suspect("anna"), address_suspect(HERE)]
    watched = [watched_of(suspect, LockoutPolicy()) for suspect in suspects]
    assert one.tries is not None
    assert await one.guess(), "a slip of the user's own"
    for number in range(20):
        await one.tries.fail(watched, f"forged-{number}")
    assert [await node.sign_in() for node in (one, other)] == [False] * 2
    assert not await one.guess()
    assert all(now.is_used_up(limit) for limit, now in await other.guard.look(suspects)), "the tries show it"
    assert await other.lockouts.all() == [], "no lockout, so no level that doubles"
    await one.tries.forget(watched)
    assert [await node.sign_in() for node in (one, other)] == [True] * 2, "nothing is left behind"


async def test_a_slip_on_top_of_a_written_counter_locks_nobody(server: Server, cluster: Cluster) -> None:
    one, other = await cluster(server, 2)
    watched = [watched_of(user_suspect("anna"), LockoutPolicy())]
    assert one.tries is not None
    for slips in range(1, 5):
        await one.tries.forget(watched)
        for number in range(9):
            await one.tries.fail(watched, f"forged-{slips}-{number}")
        assert await (one, other)[slips % 2].guess(client=f"192.0.2.{slips}"), "nine leave one"
        assert not await other.sign_in(client="198.51.100.9")
    assert await one.lockouts.all() == []


async def test_wrong_ones_over_more_processes_than_tries_lock_all_the_same(server: Server, cluster: Cluster) -> None:
    nodes = await cluster(server, 10)
    for number, node in enumerate(nodes):
        assert await node.guess(client=f"192.0.2.{number}")
    assert [await node.sign_in(client="198.51.100.9") for node in nodes] == [False] * 10
    assert [(one.kind, one.level) for one in await nodes[0].lockouts.all()] == [(LockKind.USER, 1)]
