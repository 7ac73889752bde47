"""The classic stories, on hosts of their own. Each leaves a timeline below build/faults.

Every story ends with the judgement of the watch: one leader at a time as seen from outside, and no write of an old one.
``FAULT_RUNS`` 10 or more pauses the leader for a whole minute.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.lab import disk
from tests.faults.lab.cluster import FaultLab, FaultNode, server_kind
from tests.faults.lab.net import CAN, WHY_NOT, Host
from tests.support.lab import CALM

pytestmark = [
    pytest.mark.integration,
    pytest.mark.server,
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.skipif(not (CAN and server_kind().find()) and not os.environ.get("CI"), reason=WHY_NOT),
]
MARGIN_S = 1.5
"""An election, and a machine that does other things too."""


@pytest.fixture(params=["record", "last-man-standing", "majority"])
def policy(request: pytest.FixtureRequest) -> str | None:
    """Each story is told three times: the record alone decides, and members vote by either policy."""
    return None if request.param == "record" else request.param


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path, policy: str | None) -> Iterator[FaultLab]:
    """Three nodes with patient times on the store that the test's parameter names (``aof`` else)."""
    store = getattr(request, "param", "aof")
    with FaultLab(tmp_path / "lab", store=store, policy=policy, times=CALM, disks="disk" in request.node.name) as made:
        made.start()
        time.sleep(made.lease_ms / 1000)
        yield made


def within_a_lease(lab: FaultLab) -> float:
    """How long a dead leader may be missed, in s."""
    return lab.lease_ms / 1000 + MARGIN_S


def test_a_host_dies(lab: FaultLab) -> None:
    with lab.watched("host dies") as watch:
        first = lab.wait_for_leader()
        time.sleep(1)
        lab.power_off(first)
        second = lab.wait_for_leader(other_than=first, within_s=within_a_lease(lab))
        time.sleep(2)
        lab.boot(first)
        watch.settle()
        lab.wait_until_healthy()
        assert lab.leaders() == [second], "the old one comes back as a standby"


def test_the_leader_is_isolated(lab: FaultLab) -> None:
    with lab.watched("leader isolated") as watch:
        first = lab.wait_for_leader()
        time.sleep(1)
        lab.isolate(first)
        second = lab.wait_for_leader(other_than=first, within_s=within_a_lease(lab))
        assert not first.leads()
        time.sleep(2)
        watch.settle()
        lab.wait_until_healthy()
        assert lab.leaders() == [second]


def test_the_leaders_cable_is_pulled_and_put_back_again_and_again(lab: FaultLab) -> None:
    with lab.watched("cable pulled") as watch:
        for pulled_s in (0.3, 0.6, 2.5, 0.3, 4.0):
            leader = lab.wait_for_leader()
            lab.pull_cable(leader)
            time.sleep(pulled_s)
            lab.rejoin(leader)
            time.sleep(0.7)
        watch.settle()


@pytest.mark.parametrize("way", ["to", "from"])
def test_one_way_to_the_store_is_cut(lab: FaultLab, way: str) -> None:
    with lab.watched(f"cut one way {way} the store") as watch:
        first = lab.wait_for_leader()
        time.sleep(1)
        for host in lab.store_side:
            ends = (first, host) if way == "to" else (host, first)
            lab.cut_one_way(*ends)
        time.sleep(2 * within_a_lease(lab))
        watch.settle()
        lab.wait_until_healthy()


def test_the_leader_writes_and_never_hears_back(lab: FaultLab) -> None:
    """Its renewals arrive, their replies do not: what it does not know, it may not use."""
    with lab.watched("replies lost") as watch:
        first = lab.wait_for_leader()
        time.sleep(1)
        lab.tell_proxy(first.name, words="replies lost", hold="replies")
        time.sleep(2 * within_a_lease(lab))
        watch.settle()


def test_redis_is_killed_and_comes_back_empty(lab: FaultLab) -> None:
    with lab.watched("redis killed and empty") as watch:
        lab.wait_for_leader()
        for away_s in (0.3, 0.3, 2 * within_a_lease(lab)):
            time.sleep(1.5)
            lab.kill_store()
            time.sleep(away_s)
            lab.start_store(empty=True)
        watch.settle()
        lab.wait_until_healthy()
    led = [span.epoch for span in watch.spans()]
    assert led == sorted(set(led)), "epochs rise, whatever the store forgets"


def test_a_short_outage_of_redis_changes_no_leader(lab: FaultLab) -> None:
    with lab.watched("redis away for a moment") as watch:
        leader = lab.wait_for_leader()
        for number in range(4):
            lab.kill_store()
            time.sleep(0.3)
            lab.start_store(empty=number % 2 == 1)
            time.sleep(1.2)
        watch.settle()
        lab.wait_until_healthy()
    assert {span.node for span in watch.spans()} == {leader.name}
    assert len(watch.spans()) == 1


def test_an_outage_of_redis_of_any_length_changes_no_leader_while_all_members_are_up(lab: FaultLab) -> None:
    if lab.quorum_policy is None:
        pytest.skip("without votes nothing carries the lease but Redis")
    with lab.watched("redis away for long") as watch:
        leader = lab.wait_for_leader()
        lab.kill_store()
        time.sleep(4 * within_a_lease(lab))
        lab.start_store(empty=True)
        time.sleep(within_a_lease(lab))
        lab.pause_store()
        time.sleep(2 * within_a_lease(lab))
        lab.resume_store()
        watch.settle()
        lab.wait_until_healthy()
    assert [span.node for span in watch.spans()] == [leader.name]


def test_redis_is_paused(lab: FaultLab) -> None:
    with lab.watched("redis paused") as watch:
        lab.wait_for_leader()
        for paused_s in (0.4, 2 * within_a_lease(lab)):
            time.sleep(1)
            lab.pause_store()
            time.sleep(paused_s)
            lab.resume_store()
            time.sleep(1)
        watch.settle()
        lab.wait_until_healthy()


def test_the_leader_is_paused_for_a_minute(lab: FaultLab, runs: int) -> None:
    with lab.watched("leader paused") as watch:
        first = lab.wait_for_leader()
        time.sleep(1)
        lab.pause(first)
        second = lab.wait_for_leader(other_than=first, within_s=within_a_lease(lab))
        time.sleep(60 if runs >= 10 else 6)
        lab.resume(first)
        time.sleep(1)
        watch.settle()
        lab.wait_until_healthy()
        assert lab.leaders() == [second]


def test_latency_that_is_bearable_changes_no_leader(lab: FaultLab) -> None:
    with lab.watched("latency of 60 ms each way") as watch:
        leader = lab.wait_for_leader()
        lab.tell_proxy("all", words="+60 ms", delay_ms=60)
        time.sleep(8)
        watch.settle()
    assert [span.node for span in watch.spans()] == [leader.name]


def test_latency_beyond_every_timeout_and_lost_connections(lab: FaultLab) -> None:
    with lab.watched("latency of 700 ms and lost connections") as watch:
        first = lab.wait_for_leader()
        lab.tell_proxy(first.name, words="+700 ms", delay_ms=700)
        time.sleep(2 * within_a_lease(lab))
        for node in lab.nodes:
            lab.tell_proxy(node.name, words="", drop=True)
            time.sleep(0.2)
        watch.settle()


@pytest.mark.skipif(CAN and bool(disk.why_not()), reason=disk.why_not() if CAN else WHY_NOT)
def test_the_leaders_disk_freezes(lab: FaultLab) -> None:
    with lab.watched("disk frozen") as watch:
        first = lab.wait_for_leader()
        time.sleep(1)
        lab.freeze_disk(first)
        time.sleep(2 * within_a_lease(lab))
        lab.thaw_disk(first)
        time.sleep(1)
        watch.settle()
        lab.wait_until_healthy()


def test_wall_clocks_step(lab: FaultLab) -> None:
    with lab.watched("wall clocks step") as watch:
        leader = lab.wait_for_leader()
        everybody: tuple[FaultNode | Host, ...] = (leader, lab.store.hosts[0], *lab.nodes)
        for seconds in (86_400, -86_400, 45):
            for who in everybody:
                lab.step_clock(who, seconds)
                time.sleep(0.7)
        watch.settle()
    assert {span.node for span in watch.spans()} == {leader.name}


@pytest.mark.parametrize("policy", ["majority"])
def test_a_database_whose_clock_is_far_ahead_for_a_moment_signs_nobody_out_for_good(lab: FaultLab) -> None:
    """SQLite goes by its host's clock. A token is only asked of SQL where no copy of its session is left in Redis."""
    leader = lab.wait_for_leader()

    def answers() -> set[int]:
        """Of all its workers, very likely."""
        return {leader.ask("/api/v1/admin/cluster/note", token=lab.token).status for _ in range(10)}

    lab.wait_until(lambda: answers() == {200}, "answers", 5)
    lab.step_clock(leader, 30 * 86_400)
    lab.store.primary().ask("FLUSHALL")
    lab.wait_until(lambda: answers() == {401}, "refusals", 5)
    lab.step_clock(leader, 0)
    lab.wait_until(lambda: answers() == {200}, "answers, once the refusals have been forgotten", 15)


@pytest.mark.parametrize("lab", ["sentinel"], indirect=True)
def test_the_primarys_host_dies_behind_sentinel(lab: FaultLab) -> None:
    with lab.watched("sentinel: primary dies") as watch:
        lab.wait_for_leader()
        time.sleep(1)
        old = lab.store.primary()
        lab.kill_store(old.host)
        lab.wait_until(lambda: lab.store.primary() is not old, "a new primary", 30)
        time.sleep(within_a_lease(lab))
        watch.settle()
        lab.wait_until_healthy(within_s=40)
    if lab.quorum_policy == "majority":
        assert len(watch.spans()) == 1, "where most members decide, a failover of the store changes no leader"


@pytest.mark.parametrize("lab", ["sentinel"], indirect=True)
def test_the_primary_keeps_serving_while_cut_off_from_its_sentinels(lab: FaultLab) -> None:
    """The nodes still reach the old primary while Sentinel promotes the replica: two primaries for a while."""
    with lab.watched("sentinel: split primary") as watch:
        lab.wait_for_leader()
        time.sleep(1)
        old = lab.store.primary().host
        others = [host for host in lab.store.hosts if host is not old]
        for other in others:
            lab.cut_one_way(old, other)
            lab.cut_one_way(other, old)
        lab.wait_until(lambda: any(_named(lab, other) != old.address for other in others), "a new primary", 30)
        time.sleep(within_a_lease(lab))
        watch.settle()
        lab.wait_until_healthy(within_s=40)


def _named(lab: FaultLab, host: object) -> str:
    """The primary that the sentinel of this host names."""
    sentinel = next(one for one in lab.store.sentinels if one.host is host)
    address: bytes = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "rppam-primary")[0]
    return address.decode()
