"""Tries to sign in on real servers: the script equals its oracle, and lets in no one too many."""

import asyncio
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from rppam.access.lockouts.redis_tries import RedisTries
from rppam.access.lockouts.tries import LEASE_MS, Watched
from rppam.kernel.limit import Limit, Shape
from rppam.limits.arithmetic import step_us
from rppam.limits.redis_store import LIMITS, RedisLimits
from rppam.setup.redis_acl import NODE_COMMANDS
from tests.access.lockouts.oracle import Texts, enter, fail, leave, renew
from tests.limits.test_contract import KEY, LONGER_MS, START_US, limits_on, link_to
from tests.support.examples import examples
from tests.support.raw_redis import Raw
from tests.support.redis_servers import PASSWORD, Server

pytestmark = [pytest.mark.integration, pytest.mark.server]

USER: Final = Watched(Limit("login-user-wrong", Shape.WINDOW, 10, 900_000), "ann")
ADDRESS: Final = Watched(Limit("login-address-wrong", Shape.WINDOW, 20, 900_000), "10.0.0.1")
NAMES: Final = [f"{number:016x}" for number in range(200)]
TIMED: Final = (
    LIMITS.text.replace("redis.call('TIME')", "{ table.remove(ARGV), '0' }")
    .replace("* 1000000", "")
    .replace("ms(newest_forgotten(counts, step))", f"{LONGER_MS} + ms(newest_forgotten(counts, step))")
    .replace("last - now_ms)", f"{LONGER_MS} + last - now_ms)")
)
"""The script with the time as its last argument, in microseconds; by the server's own clock its keys live longer."""
ORACLES: Final = {"enter": enter, "renew": renew, "leave": leave, "fail": fail}
LIMIT = st.builds(
    Limit, st.just("a"), st.just(Shape.WINDOW), st.sampled_from([1, 2, 5]), st.sampled_from([1_000, 900_000])
)
ODD: Final = st.one_of(
    st.text("t0123456789abcdefA:,", max_size=60),
    st.builds(
        lambda pairs: "t" + ",".join(f"{NAMES[name]}:{START_US // 1_000 + ms}" for name, ms in pairs),
        st.lists(st.tuples(st.integers(0, 3), st.integers(-10, 3 * LEASE_MS)), max_size=4),
    ),
)
STEP = st.one_of(
    st.tuples(st.sampled_from(sorted(ORACLES)), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.integers(-5_000, 9_000)),
    st.tuples(st.just("put"), ODD),
)


def test_the_script_is_its_oracle(server: Server) -> None:
    with Raw(server) as raw:

        @settings(max_examples=examples(300), deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(LIMIT, min_size=1, max_size=2), st.lists(STEP, min_size=3, max_size=25))
        def same(limits: list[Limit], steps: list[Any]) -> None:
            raw("FLUSHALL")
            texts, now_us = tuple(Texts() for _ in limits), START_US
            keys = [key for at, _ in enumerate(limits) for key in (f"wrong{at}", f"leases{at}")]
            for verb, detail in steps:
                if verb == "wait":
                    now_us += detail * 1_000
                    continue
                if verb == "put":
                    raw("SET", "leases0", detail)
                    texts = (texts[0]._replace(leases=detail), *texts[1:])
                    continue
                after = ORACLES[verb](limits, texts, now_us, NAMES[detail])
                words = [word for limit in limits for word in (limit.events, step_us(limit))]
                reply = raw("EVAL", TIMED, len(keys), *keys, verb, NAMES[detail], LEASE_MS, *words, now_us)
                assert reply == [after.entry.allowed, *(number for one in after.entry.standings for number in one)]
                texts = after.texts
                found = [(raw("GET", key) or b"").decode() for key in keys]
                assert found == [text for one in texts for text in one], verb

        same()


async def test_each_try_is_let_in_once_and_a_wrong_one_stays_counted(server: Server) -> None:
    async with limits_on(server) as limits:
        tries, both = RedisTries(limits), (USER, ADDRESS)
        entries = await asyncio.gather(*(tries.enter(both, name) for name in NAMES[:50]))
        assert sum(entry.allowed for entry in entries) == 10
        let_in = [name for name, entry in zip(NAMES, entries, strict=False) if entry.allowed]
        for name in let_in[:4]:
            await tries.fail(both, name)
        for name in let_in[4:]:
            await tries.leave(both, name)
        assert await tries.look(both) == ((4, 0, 0), (4, 0, 0))
        await tries.forget([USER])
        assert await tries.look(both) == ((0, 0, 0), (4, 0, 0))


async def test_what_is_under_way_tells_nothing_and_expires_within_seconds(server: Server) -> None:
    async with limits_on(server) as limits:
        tries = RedisTries(limits)
        await tries.enter((USER, ADDRESS), NAMES[1])
        with Raw(server) as raw:
            names = sorted(name.decode() for name in raw("KEYS", "*"))
            assert names == sorted(tries.leases_key(one.subject) for one in (USER, ADDRESS))
            assert all(0 < raw("PTTL", name) <= LEASE_MS for name in names)
        assert all("ann" not in name and "10.0.0.1" not in name for name in names)


async def test_a_lease_that_somebody_made_up_for_ever_counts_for_nothing(server: Server) -> None:
    async with limits_on(server) as limits:
        tries = RedisTries(limits)
        with Raw(server) as raw:
            forged = ",".join(f"{name}:999999999999999" for name in NAMES[:50])
            raw("SET", tries.leases_key(USER.subject), f"t{forged}")
        assert (await tries.enter((USER,), NAMES[60])).standings == ((0, 1, LEASE_MS),)


async def test_the_commands_of_the_generated_acl_suffice(server: Server) -> None:
    with Raw(server) as raw:
        commands = [f"+{name}" for name in NODE_COMMANDS]
        raw("ACL", "SETUSER", "rppam", "on", f">{PASSWORD}", "resetchannels", "~rppam:*", "-@all", *commands)
    link = link_to(server, user="rppam")
    await link.start()
    try:
        tries = RedisTries(RedisLimits(link, "rppam:", KEY))
        for end in (tries.leave, tries.fail, tries.renew):
            assert (await tries.enter((USER,), NAMES[0])).allowed
            await end((USER,), NAMES[0])
        await tries.forget((USER,))
    finally:
        await link.stop()
