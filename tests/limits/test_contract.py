"""Limits on real servers: the script equals its oracle, admits no one too many, and its errors are the store's."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from rppam.kernel.limit import EVENTS_MAX, PERIOD_MS_MAX, Charge, Limit, Shape
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.limits.arithmetic import merged, reset_us, step_us, take, to_ms
from rppam.limits.limiter import Limiter, MemoryLimits
from rppam.limits.redis_store import LIMITS, RedisLimits
from rppam.redis.errors import StoreDown, StoreError, StoreNoPermission, StoreOutOfMemory, StoreReplyError
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions
from rppam.setup.redis_acl import NODE_COMMANDS
from tests.support.examples import examples
from tests.support.raw_redis import Raw
from tests.support.redis_servers import PASSWORD, Server

pytestmark = [pytest.mark.integration, pytest.mark.server]

KEY = b"k" * 32
LOGIN = Limit("login-user", Shape.WINDOW, 10, 900_000)
ADDRESS = Limit("login-address", Shape.WINDOW, 20, 900_000)
API = Limit("api-user", Shape.SMOOTH, 100, 60_000)
START_US = 1_795_000_000_000_000
LONGER_MS = 600_000
TIMED = (
    LIMITS.text.replace("redis.call('TIME')", "{ table.remove(ARGV), '0' }")
    .replace("* 1000000", "")
    .replace("ms(resets[at])", f"{LONGER_MS} + ms(resets[at])")
    .replace("ms(left)", f"{LONGER_MS} + ms(left)")
)
"""The script with the time as its last argument, in microseconds; by the server's own clock its keys live longer."""

LIMIT = st.builds(
    Limit,
    st.sampled_from(["a", "b"]),
    st.sampled_from(Shape),
    st.sampled_from([1, 2, 5, 10, 33, EVENTS_MAX]),
    st.sampled_from([1, 7, 1_000, 900_000, PERIOD_MS_MAX]),
)
TEXTS = st.one_of(
    st.text("ws0123456789:,", max_size=40),
    st.builds(
        lambda at, counts: f"w{at}:{','.join(map(str, counts))}",
        st.integers(0, 10**15),
        st.lists(st.integers(0, 10**7), max_size=13),
    ),
    st.builds(lambda at: f"s{at}", st.integers(0, 10**17)),
)
COUNTS = st.one_of(st.integers(0, 4), st.sampled_from([10**7 - 1, 10**7]))
NEAR = st.tuples(st.integers(0, 3), st.integers(-1, 12), st.lists(COUNTS, min_size=1, max_size=13))
STEP = st.one_of(
    st.tuples(st.just("take"), st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=4)),
    st.tuples(st.just("forget"), st.lists(st.tuples(st.integers(0, 3), st.just(1)), min_size=1, max_size=2)),
    st.tuples(st.just("put"), st.tuples(st.integers(0, 3), TEXTS)),
    st.tuples(st.just("near"), NEAR),
    st.tuples(st.just("wait"), st.tuples(st.integers(0, 12), st.integers(-(10**7), 10**7))),
)


def link_to(server: Server, **options: Any) -> Link:
    made = LinkOptions(
        endpoints=((server.host, server.port),), password=Secret(PASSWORD), abort_connect=False, **options
    )  # fmt: skip
    return Link(made, clock=SystemClock(), entropy=SystemEntropy())


@asynccontextmanager
async def limits_on(server: Server) -> AsyncIterator[RedisLimits]:
    link = link_to(server)
    await link.start()
    try:
        yield RedisLimits(link, "rppam:", KEY)
    finally:
        await link.stop()


class Twin:
    """A server and the oracle, taken through the same steps at the same times."""

    def __init__(self, raw: Raw, limits: list[Limit]) -> None:
        self.raw, self.limits = raw, limits
        self.texts: dict[Limit, str | None] = dict.fromkeys(limits)
        self.now_us = START_US
        raw("FLUSHALL")

    def run(self, verb: str, charges: list[Charge]) -> Any:
        words: list[str | int] = [verb]
        for limit, _, cost in charges:
            words += ["w" if limit.shape is Shape.WINDOW else "s", limit.events, step_us(limit), cost]
        keys = [f"{limit}" for limit, *_ in charges]
        return self.raw("EVAL", TIMED, len(keys), *keys, *words, self.now_us)

    def step(self, verb: str, detail: Any) -> None:
        if verb == "wait":
            tenths, us = detail
            self.now_us = max(1, self.now_us + max(step_us(limit) for limit in self.limits) * tenths + us)
            return
        if verb in {"put", "near"}:
            limit = self.limits[detail[0] % len(self.limits)]
            self.texts[limit] = text = detail[1] if verb == "put" else self.near(limit, *detail[1:])
            self.raw("SET", f"{limit}", text)
            return
        picked = [(self.limits[at % len(self.limits)], cost) for at, cost in detail]
        charges = list(merged([Charge(one, "x", min(cost, one.events)) for one, cost in dict(picked).items()]))
        before = dict(self.texts)
        reply = self.run(verb, charges)
        if verb == "take":
            taken = take(charges, [self.texts[one.limit] for one in charges], self.now_us)
            said = taken.decision
            assert charges[reply[1] - 1].limit == said.limit
            assert reply[:1] + reply[2:] == [
                said.allowed, said.remaining, said.retry_after_ms, said.reset_after_ms
            ]  # fmt: skip
            self.texts.update((one.limit, text) for one, text in zip(charges, taken.texts, strict=True) if text)
        else:
            self.texts.update((one.limit, None) for one in charges)
            assert reply == 0
        written = verb != "take" or bool(reply[0])
        for limit in (one.limit for one in charges):
            self.same(limit, written=written or self.texts[limit] != before[limit])

    def near(self, limit: Limit, passed: int, counts: list[int]) -> str:
        """A text that a moment ago may have left."""
        if limit.shape is Shape.SMOOTH:
            return f"s{self.now_us + step_us(limit) * (sum(counts) - passed)}"
        return f"w{max(0, self.now_us // step_us(limit) - passed)}:{','.join(map(str, counts))}"

    def same(self, limit: Limit, *, written: bool) -> None:
        """The same text; what was just written lives as long as it says anything."""
        found = self.raw("GET", f"{limit}")
        text = self.texts[limit]
        assert (found.decode() if found is not None else None) == text
        if written and text is not None:
            life_ms = self.raw("PTTL", f"{limit}") - LONGER_MS
            assert 0 <= to_ms(reset_us(limit, text, self.now_us)) - life_ms < 30_000


def test_the_script_is_its_oracle(server: Server) -> None:
    with Raw(server) as raw:

        @settings(max_examples=examples(400), deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            st.lists(LIMIT, min_size=1, max_size=3, unique=True),
            st.lists(NEAR, max_size=4),
            st.lists(STEP, min_size=3, max_size=25),
        )
        def same(limits: list[Limit], before: list[Any], steps: list[Any]) -> None:
            twin = Twin(raw, list(dict.fromkeys(limits)))
            for detail in before:
                twin.step("near", detail)
            for verb, detail in steps:
                twin.step(verb, detail)

        same()


async def test_one_decision_for_several_limits(server: Server) -> None:
    async with limits_on(server) as limits:
        charges = [Charge(LOGIN, "ann"), Charge(ADDRESS, "10.0.0.1")]
        for left in range(9, -1, -1):
            decision = await limits.take(charges)
            assert decision[:4] == (True, LOGIN, "ann", left)
        refused = await limits.take(charges)
        assert refused[:4] == (False, LOGIN, "ann", 0)
        assert 900_000 <= refused.retry_after_ms <= 990_000
        assert not refused.is_local
        other = await limits.take([Charge(LOGIN, "bob"), Charge(ADDRESS, "10.0.0.1")])
        assert other[:4] == (True, LOGIN, "bob", 9)
        # All or none: the refused try cost the address nothing.
        assert (await limits.take([Charge(ADDRESS, "10.0.0.1")])).remaining == 20 - 10 - 1 - 1


async def test_what_is_forgotten_can_be_taken_again(server: Server) -> None:
    async with limits_on(server) as limits:
        for limit in (LOGIN, API):
            charge = Charge(limit, "ann", limit.events)
            assert (await limits.take([charge])).allowed
            assert not (await limits.take([charge])).allowed
            await limits.reset([limit], "ann")
            assert (await limits.take([charge])).allowed
        await limits.reset([LOGIN, API], "ann")
        with Raw(server) as raw:
            assert raw("DBSIZE") == 0
        assert (await limits.take([Charge(LOGIN, "ann"), Charge(API, "ann")])).remaining == 9


async def test_keys_tell_nothing_and_expire(server: Server) -> None:
    async with limits_on(server) as limits:
        await limits.take([Charge(LOGIN, "ann"), Charge(API, "ann")])
        with Raw(server) as raw:
            names = [name.decode() for name in raw("KEYS", "*")]
            lives = sorted(raw("PTTL", name) for name in names)
        assert sorted(names) == sorted(limits.key_of(limit, "ann") for limit in (LOGIN, API))
        assert all(name.startswith("rppam:limit:") and len(name) == len("rppam:limit:") + 32 for name in names)
        assert 0 < lives[0] <= 600 < 800_000 < lives[1] <= 990_000
        elsewhere = RedisLimits(link_to(server), "rppam:", b"another key of 32 bytes.........")
        assert elsewhere.key_of(LOGIN, "ann") not in names


async def test_short_counters_come_back_by_the_servers_clock(server: Server) -> None:
    async with limits_on(server) as limits:
        for shape in Shape:
            charge = Charge(Limit("short", shape, 3, 300), "x")
            assert [(await limits.take([charge])).allowed for _ in range(3)] == [True] * 3
            refused = await limits.take([charge])
            if not refused.allowed:  # a very slow machine may have come past it already
                await asyncio.sleep(refused.retry_after_ms / 1000)
                assert (await limits.take([charge])).allowed


def _take_many(port: int, tries: int, answers: "multiprocessing.Queue[int]") -> None:
    """One node: 64 tasks on one link."""

    async def run() -> int:
        options = LinkOptions(endpoints=(("127.0.0.1", port),), password=Secret(PASSWORD), command_timeout_ms=30_000)
        link = Link(options, clock=SystemClock(), entropy=SystemEntropy())
        await link.start()
        limits = RedisLimits(link, "rppam:", KEY)
        charges = [Charge(Limit("race", Shape.WINDOW, 100, 600_000), "one"), Charge(API._replace(events=10_000), "one")]
        taken = await asyncio.gather(*(limits.take(charges) for _ in range(tries)))
        await link.stop()
        return sum(decision.allowed for decision in taken)

    answers.put(asyncio.run(run()))


def test_none_too_many_under_concurrency(server: Server) -> None:
    spawn = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[int] = spawn.Queue()
    nodes = [spawn.Process(target=_take_many, args=(server.port, 500, answers)) for _ in range(3)]
    for node in nodes:
        node.start()
    admitted = [answers.get(timeout=60) for _ in nodes]
    for node in nodes:
        node.join(30)
    assert sum(admitted) == 100


FOREIGN = (
    ("HSET", "f", "v"),
    ("RPUSH", "a", "b"),
    ("SADD", "a"),
    ("ZADD", 1, "a"),
    ("XADD", "*", "f", "v"),
)


@pytest.mark.parametrize("limit", [LOGIN, API._replace(period_ms=PERIOD_MS_MAX)], ids=["window", "smooth"])
async def test_a_key_of_another_type_gives_way_and_is_counted_from_nothing(server: Server, limit: Limit) -> None:
    async with limits_on(server) as limits:
        name = limits.key_of(limit, "ann")
        with Raw(server) as raw:
            for verb, *words in FOREIGN:
                raw(verb, name, *words)
                decision = await limits.take([Charge(ADDRESS, "x"), Charge(limit, "ann")])
                assert decision.allowed
                assert raw("TYPE", name) == b"string"
                assert 0 < raw("PTTL", name) <= 990_000
                taken = await limits.take([Charge(limit, "ann", limit.events - 1)])
                assert (taken.allowed, taken.remaining) == (True, 0), verb
                assert not (await limits.take([Charge(limit, "ann")])).allowed, verb
                raw("DEL", name)
                raw(verb, name, *words)
                await limits.reset([limit], "ann")
                assert raw("EXISTS", name) == 0, verb


async def test_a_key_of_another_type_takes_the_store_from_nobody(server: Server) -> None:
    async with limits_on(server) as limits:
        with Raw(server) as raw:
            raw("RPUSH", limits.key_of(API, "ann"), "x")
        clock = SystemClock()
        limiter = Limiter(limits, MemoryLimits(clock), clock, lambda: 1)
        for subject in ("ann", "bob"):
            assert not (await limiter.take([Charge(API, subject)])).is_local


async def test_what_may_not_be_read_is_an_error_and_stays(server: Server) -> None:
    async with limits_on(server) as limits:
        with Raw(server) as raw:
            raw("RPUSH", limits.key_of(LOGIN, "ann"), "x")
            commands = [f"+{name}" for name in NODE_COMMANDS if name != "get"]
            raw("ACL", "SETUSER", "blind", "on", f">{PASSWORD}", "resetchannels", "~rppam:*", "-@all", *commands)
            link = link_to(server, user="blind")
            await link.start()
            try:
                with pytest.raises(StoreReplyError):
                    await RedisLimits(link, "rppam:", KEY).take([Charge(LOGIN, "ann")])
            finally:
                await link.stop()
            assert raw("DBSIZE") == 1


async def test_a_full_server_is_an_error(server: Server) -> None:
    async with limits_on(server) as limits:
        with Raw(server) as raw:
            raw("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreOutOfMemory):
            await limits.take([Charge(LOGIN, "ann")])


async def test_a_server_that_is_gone_is_an_error_at_once(server: Server) -> None:
    async with limits_on(server) as limits:
        await limits.take([Charge(LOGIN, "ann")])
        server.kill()
        with pytest.raises(StoreError):
            await limits.take([Charge(LOGIN, "ann")])
        with pytest.raises(StoreDown):
            await limits.take([Charge(LOGIN, "ann")])


async def test_the_commands_of_the_generated_acl_suffice(server: Server) -> None:
    with Raw(server) as raw:
        commands = [f"+{name}" for name in NODE_COMMANDS]
        raw("ACL", "SETUSER", "rppam", "on", f">{PASSWORD}", "resetchannels", "~rppam:*", "-@all", *commands)
        raw("ACL", "SETUSER", "other", "on", f">{PASSWORD}", "resetchannels", "~other:*", "-@all", *commands)
    for user, may in (("rppam", True), ("other", False)):
        link = link_to(server, user=user)
        await link.start()
        limits = RedisLimits(link, "rppam:", KEY)
        try:
            if may:
                assert (await limits.take([Charge(LOGIN, "ann"), Charge(API, "ann")])).allowed
                await limits.reset([LOGIN, API], "ann")
            else:
                with pytest.raises(StoreNoPermission):
                    await limits.take([Charge(LOGIN, "ann")])
        finally:
            await link.stop()
