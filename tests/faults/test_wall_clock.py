"""The wall clock of Redis' host steps; it is worth nothing, so nothing changes."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.clock import SteppedClock, offset_s
from tests.faults.conftest import leaders_record, watch
from tests.support.lab import Lab, LabNode
from tests.support.lab_fixtures import KIND
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.alone, pytest.mark.slow]

both_profiles = pytest.mark.parametrize("lab", ["default", "lan"], indirect=True)
Unchanged = Callable[[], LabNode]

STEPS_S = (60, 0, 86_400, 0, -3_600, 0, 8 * 86_400, -8 * 86_400, 0)
"""Forth and back: past the life of a heartbeat, of a day, and of the record's own garbage collection."""


@pytest.fixture
def clock(tmp_path: Path) -> SteppedClock:
    return SteppedClock(tmp_path)


@pytest.fixture
def own_redis(clock: SteppedClock) -> Iterator[Server]:
    """A server with a wall clock of its own."""
    with Server(clock.kind(KIND)) as running:
        yield running


def test_the_shim_moves_the_servers_clock_and_its_expiry(own_redis: Server, clock: SteppedClock) -> None:
    assert abs(offset_s(own_redis)) < 1
    own_redis.ask("SET", "a", "b", "EX", 30)
    clock.step(60)
    assert abs(offset_s(own_redis) - 60) < 1
    assert own_redis.ask("GET", "a") is None
    clock.step(-3_600)
    assert abs(offset_s(own_redis) + 3_600) < 1


@both_profiles
def test_a_step_of_redis_wall_clock_changes_nothing(
    lab: Lab, own_redis: Server, unchanged: Unchanged, clock: SteppedClock
) -> None:
    for step_s in STEPS_S:
        clock.step(step_s)
        time.sleep(lab.lease_ms / 1000 + 0.5)
        assert abs(offset_s(own_redis) - step_s) < 1
        assert own_redis.ask("GET", f"{lab.prefix}leader").decode().split()[2] == unchanged().name


@both_profiles
def test_a_leader_that_dies_while_the_clock_steps_is_replaced_once(
    lab: Lab, own_redis: Server, clock: SteppedClock
) -> None:
    for step_s in (86_400, -3_600, 60):
        lab.wait_until_healthy()
        leader, before = lab.wait_for_leader(), leaders_record(lab, own_redis)
        with watch(lab) as eyes:
            killed_ns = time.monotonic_ns()
            leader.kill()
            clock.step(step_s)
            answer = eyes.wait_for_yes(killed_ns, other_than=leader.name, within_s=4 * lab.lease_ms / 1000)
            assert (answer.received_ns - killed_ns) / 1e6 > lab.lease_ms - 700, "a step of a clock frees nothing"
            assert answer.epoch > before.epoch
        eyes.check()
        leader.start()
