"""What is answered while the cache hangs: the database decides as long as it can, a genuine token alone only after."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rppam.app.api import bare_app
from rppam.cache.redis_cache import RedisCache
from rppam.cache.sealing import Sealer
from rppam.http.bounds import ApiLimits
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock, boot_ns
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions
from tests.support.cached import CLUSTER_KEY, PREFIX
from tests.support.redis_servers import PASSWORD as REDIS_PASSWORD, Server, available, missing
from tests.support.served import PASSWORD, Served

pytestmark = [pytest.mark.integration, pytest.mark.server]

ANSWERED_BLIND = bare_app().state.route_index.in_outage
PATIENT_MS = 120_000
"""The link never finds out that its server is frozen, so each read of the cache hangs for the whole test."""
STATUS = "/api/v1/admin/cluster/status"
OVER = (401, "RPPAM-6005")


class Pair(NamedTuple):
    """Two nodes on one database."""

    a: Served
    """Knows no cache."""
    b: Served
    """Its cache is on :attr:`redis`, and near it there is nothing yet."""
    redis: Server


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    kinds = available()
    if not kinds:
        missing("no Redis-protocol server is on this machine: make dev")
    with Server(kinds[0]) as redis:
        link = Link(
            LinkOptions(
                endpoints=((redis.host, redis.port),), password=Secret(REDIS_PASSWORD), command_timeout_ms=PATIENT_MS
            ),
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
        await link.start()
        cache = RedisCache(link, (Sealer(CLUSTER_KEY, "lab", PREFIX),), PREFIX, clock=SystemClock(), now_ns=boot_ns)
        cache.informed()
        a, b = (Served(tmp_path / "keys", ApiLimits(), cache=one) for one in (None, cache))
        nodes = (a, b)
        for node in nodes:
            await node.start()
        yield Pair(a, b, redis)
        redis.kill()
        for node in nodes:
            await node.stop()
        cache.stop()
        await link.stop()


async def signed_in(node: Served, username: str = "admin") -> dict[str, str]:
    answer = await node.http.post("/api/v1/auth/login", json={"username": username, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['accessToken']}"}


async def outcome(node: Served, headers: dict[str, str], path: str) -> tuple[int, str]:
    answer = await node.http.get(path, headers=headers)
    return answer.status_code, answer.json().get("code", "")


@pytest.mark.parametrize("path", sorted(ANSWERED_BLIND))
async def test_an_ended_session_is_refused_while_the_cache_hangs(pair: Pair, path: str) -> None:
    ended, live = await signed_in(pair.a), await signed_in(pair.a)
    assert (await pair.a.http.post("/api/v1/auth/logout", headers=ended)).status_code == 204
    pair.redis.stop()
    assert await outcome(pair.b, ended, path) == OVER
    assert await outcome(pair.b, live, path) == (200, "")
    host = pair.a.bearer()
    assert await outcome(pair.b, host, path) == (200, ""), "a token that is seen for the first time, too"


async def test_a_role_that_was_taken_away_is_gone_while_the_cache_hangs(pair: Pair) -> None:
    audrey = await signed_in(pair.a, "audrey")
    path = "/api/v1/users/id-audrey/roles"
    taken = await pair.a.http.put(path, headers=pair.a.bearer(), json={"roles": ["pam_user"]})
    assert taken.status_code == 200, taken.text
    pair.redis.stop()
    assert await outcome(pair.b, audrey, STATUS) == (403, "RPPAM-6002"), "the token itself still says pam_auditor"


@pytest.mark.parametrize("database", ["away", "hanging"])
async def test_a_genuine_token_is_enough_when_the_database_cannot_tell_either(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    ended, known = await signed_in(pair.a), await signed_in(pair.a)
    for headers in (ended, known):
        assert (await pair.a.http.post("/api/v1/auth/logout", headers=headers)).status_code == 204
    pair.redis.stop()
    assert await outcome(pair.b, known, STATUS) == OVER
    if database == "away":
        await pair.b.database.stop()
    else:

        async def never(*_: Any) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(pair.b.store, "find", never)
    for path in ANSWERED_BLIND:
        assert await outcome(pair.b, ended, path) == (200, ""), "nobody here knows that it is over"
        assert await outcome(pair.b, known, path) == OVER
