"""The measurements of the gateway in short: they run on three real nodes, and tell what they are meant to find."""

import asyncio
import random
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import gateway
from benchmarks.gateway_live import Gateways, Spread, commands, idle, strict, watches
from benchmarks.vault_ways import installed
from tests.support import postgres
from tests.support.redis_servers import available

pytestmark = [
    pytest.mark.integration,
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.pair,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not available(), reason="no Redis-protocol server is on this machine"),
    pytest.mark.skipif(postgres.binaries() is None, reason="no server of PostgreSQL is on this machine"),
    pytest.mark.skipif(shutil.which("ssh") is None, reason="no OpenSSH is on this machine"),
]


@pytest.fixture
def gateways() -> Iterator[Gateways]:
    with installed(sqlite=True, level="Warning") as place:
        yield Gateways(place)


def test_each_part_finds_what_it_measures(gateways: Gateways) -> None:
    async def all_parts() -> None:
        for fresh in (False, True):
            told = await commands(gateways, rate=1, seconds=4, fresh=fresh)
            assert (told["took"].size, told["failed"]) == (4, []), told
            assert 0 < told["took"].p50 <= told["took"].p99 <= told["took"].max < 30_000
            assert told["beats"] >= 12
            assert told["late"] >= 0, "each node was seen"
            assert "| 4 | " in gateway.commands_page(told)
        small = await idle(gateways, sessions=12, hold_s=0.5)
        assert (small["alive"], small["filesLeft"] <= 0) == (12, True), small
        assert 0 < small["moreMb"] < gateway.IDLE_MB
        assert gateway.idle_page(small).endswith("met.")
        seen = {"with Redis": await watches(gateways, 1)}
        assert all(one.size == 3 and 0 < one.p50 < 30_000 for one in seen["with Redis"].values()), seen
        assert gateway.watches_page(seen).count("| with Redis |") == 3
        whole = await strict(gateways, 3, random.Random(7))
        assert gateway.is_whole(whole), whole
        assert whole["shown"] <= whole["recorded"]
        assert "| 3 | " in gateway.strict_page(whole)

    asyncio.run(all_parts())


def test_what_is_asked_for_can_be_missed() -> None:
    bad: dict[str, Any]
    fine = {"took": Spread(9, 1, 2, 3), "failed": [], "late": 0, "leaderStayed": True}
    assert gateway.is_quick(fine)
    for bad in (
        {"took": Spread(9, 1, 151, 200)},
        {"failed": ["x"]},
        {"late": 1},
        {"late": -1},
        {"leaderStayed": False},
    ):
        assert not gateway.is_quick(fine | bad), bad
    idle_ = {"sessions": 1_000, "alive": 1_000, "moreMb": 99.0, "filesLeft": 0}
    assert gateway.is_small(idle_)
    for bad in ({"alive": 999}, {"moreMb": 100.0}, {"filesLeft": 1}):
        assert not gateway.is_small(idle_ | bad), bad
    whole = {"lost": 0, "problems": [], "shown": 1}
    assert gateway.is_whole(whole)
    for bad in ({"lost": 1}, {"problems": ["x"]}, {"shown": 0}):
        assert not gateway.is_whole(whole | bad), bad
    soon = {how: {"ended by an order": Spread(1, 1, most - 1, most - 1)} for how, most in gateway.KILL_MS.items()}
    assert gateway.is_soon(soon)
    assert not gateway.is_soon(soon | {"with Redis": {"ended by an order": Spread(1, 1, 500, 500)}})
    carried = {gateway.BARE: [80.0], "gateway, recording bounded": [64.0]}
    assert gateway.is_carried(carried)
    assert not gateway.is_carried(carried | {"gateway, recording bounded": [63.0]})
    assert not gateway.is_carried({gateway.BARE: [60.0], "gateway, recording bounded": [59.0]})


async def test_bytes_are_carried_by_every_way() -> None:
    found = await gateway.carry(2, 1)
    assert len(found) == 5
    assert all(len(values) == 1 and values[0] > 0 for values in found.values()), found
    assert gateway.carried_page(found, 2).count("| gateway, recording ") == 3
