"""Redis crashes and forgets; the leader stays whenever it could re-assert itself, and a neighbour notices nothing."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import record, watch
from tests.support.lab import Lab, LabNode
from tests.support.lab_fixtures import LABS
from tests.support.ports import free_port
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.alone, pytest.mark.slow]

both_profiles = pytest.mark.parametrize("lab", ["default", "lan"], indirect=True)
record_decides = pytest.mark.parametrize("lab", ["default/record", "lan/record"], indirect=True)
"""Members that vote carry a leader through any outage; without them it ends with the lease."""
Unchanged = Callable[[], LabNode]


@both_profiles
def test_a_crash_of_redis_and_its_append_only_file(
    lab: Lab, own_redis: Server, unchanged: Unchanged, runs: int
) -> None:
    for _ in range(min(runs, 10)):
        own_redis.restart()
        time.sleep(1.0)


@both_profiles
@pytest.mark.parametrize("what", ["FLUSHALL", "DEL"])
def test_a_redis_that_forgets_again_and_again(
    lab: Lab, own_redis: Server, unchanged: Unchanged, runs: int, what: str
) -> None:
    for run in range(3 * min(runs, 10)):
        own_redis.ask(*((what, f"{lab.prefix}leader") if what == "DEL" else (what,)))
        time.sleep(0.05 + 0.13 * (run % 7))


@both_profiles
def test_an_old_record_that_comes_back_is_overwritten(
    lab: Lab, own_redis: Server, unchanged: Unchanged, runs: int
) -> None:
    for run in range(min(runs, 10)):
        old = own_redis.ask("GET", f"{lab.prefix}leader")
        time.sleep(0.9)
        own_redis.ask("SET", f"{lab.prefix}leader", old)
        time.sleep(0.3 + 0.1 * run)


@record_decides
def test_an_outage_longer_than_the_promise_ends_one_leadership_and_begins_a_higher_one(
    lab: Lab, own_redis: Server
) -> None:
    before = record(own_redis, lab.prefix)
    with watch(lab) as eyes:
        own_redis.kill()
        time.sleep(2 * lab.lease_ms / 1000)
        assert lab.leaders() == []
        own_redis.restart()
        lab.wait_until_healthy()
    assert record(own_redis, lab.prefix).epoch > before.epoch
    eyes.check()


@record_decides
def test_a_crash_that_loses_everything_never_lowers_an_epoch(lab: Lab, own_redis: Server) -> None:
    before = record(own_redis, lab.prefix)
    with watch(lab) as eyes:
        own_redis.kill()
        time.sleep(1.5 * lab.lease_ms / 1000)
        own_redis.restart()
        own_redis.ask("FLUSHALL")
        lab.wait_until_healthy()
    assert min(epoch for epoch in eyes.leaderships() if epoch != before.epoch) > before.epoch
    eyes.check()


# ---- a Redis that answers, and refuses -------------------------------------------------------------------------------


def _replica(server: Server, lab: Lab) -> None:
    server.ask("REPLICAOF", "127.0.0.1", free_port())
    time.sleep(1.2)
    server.ask("REPLICAOF", "NO", "ONE")


def _full(server: Server, lab: Lab) -> None:
    server.ask("CONFIG", "SET", "maxmemory", 1)
    time.sleep(1.2)
    server.ask("CONFIG", "SET", "maxmemory", 0)


def _paused(server: Server, lab: Lab) -> None:
    server.ask("CLIENT", "PAUSE", 1_200, "ALL")
    time.sleep(1.2)


def _another_password(server: Server, lab: Lab) -> None:
    right = server.password
    server.ask("CONFIG", "SET", "requirepass", "another")
    server.password = "another"
    server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    time.sleep(1.0)
    server.ask("CONFIG", "SET", "requirepass", right)
    server.password = right


def _hanging_up(server: Server, lab: Lab) -> None:
    for _ in range(4):
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        time.sleep(0.4)


def _without_members(server: Server, lab: Lab) -> None:
    for _ in range(5):
        server.ask("DEL", f"{lab.prefix}members", *(f"{lab.prefix}heartbeat:{node.name}" for node in lab.nodes))
        time.sleep(0.2)


@pytest.mark.parametrize("refuse", [_replica, _full, _paused, _another_password, _hanging_up, _without_members])
def test_a_redis_that_refuses_for_less_than_the_promise(
    lab: Lab, own_redis: Server, unchanged: Unchanged, refuse: Callable[[Server, Lab], None]
) -> None:
    refuse(own_redis, lab)
    assert all("Traceback" not in node.log() for node in lab.nodes)


# ---- two clusters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lab", ["lan"], indirect=True)
def test_a_cluster_beside_a_suffering_one_notices_nothing(
    lab: Lab, own_redis: Server, unchanged: Unchanged, runs: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with Lab(tmp_path / "other", own_redis.port, times="lan", prefix="suffering:", cluster="suffering") as other:
        request.node.stash[LABS].append(other)
        other.start()
        told = {node.name: len(node.log()) for node in lab.nodes}
        with watch(other) as eyes:
            for run in range(min(runs, 6)):
                victim = other.wait_for_leader()
                victim.kill()
                if run % 2:
                    own_redis.ask("DEL", "suffering:leader", "suffering:members")
                else:
                    own_redis.ask("SET", "suffering:leader", "garbage")
                other.wait_for_leader(other_than=victim)
                victim.start()
                other.wait_until_healthy()
        eyes.check()
        new = {node.name: node.log()[told[node.name] :] for node in lab.nodes}
        assert set(new.values()) == {""}, new
        names = {key.split(b":")[0] for key in own_redis.ask("KEYS", "*")}
        assert names == {b"rppam", b"suffering"}
