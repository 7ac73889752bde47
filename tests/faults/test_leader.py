"""The leader is killed and frozen, on real processes, under eyes that look at every node each 5 ms."""

import asyncio
import threading
import time
from functools import partial
from http.client import HTTPConnection

import pytest

from rppam.cluster.consensus.timing import PROFILES
from rppam.db.database import Database
from rppam.kernel.fence import Fenced
from rppam.manager.note_store import SqlFencedNote
from tests.faults.conftest import Record, leaders_record, watch
from tests.faults.runs import kill_leader, terminate_leader
from tests.support.lab import HOST, Lab, LabNode, eventually
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.alone]

BOUND_MS = {"default": 5_000.0, "lan": 1_500.0}
"""What a killed leader may cost at p99: the product's promise, and "about 1 s"."""
both_profiles = pytest.mark.parametrize("lab", ["default", "lan"], indirect=True)


def says_no(node: LabNode) -> bool:
    return not node.leads()


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@both_profiles
def test_a_killed_leader_is_replaced_within_the_lease_and_half_a_second(
    lab: Lab, runs: int, request: pytest.FixtureRequest
) -> None:
    profile = request.node.callspec.params["lab"]
    shown = kill_leader(lab, runs, print)
    print(f"\nkill -9 of the leader, {profile}: {shown.sentence()}")
    assert shown.violations == ()
    assert shown.at(0.99) <= BOUND_MS[profile]
    lease, beat = PROFILES[profile].lease_ms, PROFILES[profile].heartbeat_ms
    assert min(shown.times_ms) >= lease - beat - 100, "nobody leads before the dead one's promise has ended"


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@both_profiles
def test_a_leader_that_is_asked_to_end_is_replaced_at_once(lab: Lab, runs: int) -> None:
    shown = terminate_leader(lab, runs, print)
    print(f"\nSIGTERM to the leader: {shown.sentence()}")
    assert shown.violations == ()
    assert shown.at(0.99) <= 300


def write_note(node: LabNode, token: str, answers: list[int]) -> threading.Thread:
    """Put a note in flight: the request waits in the frozen node's socket and is the first thing it reads."""
    link = HTTPConnection(HOST, node.port, timeout=30)
    link.request(
        "PUT",
        "/api/v1/admin/cluster/note",
        body='{"text": "from the grave"}',
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )

    def read() -> None:
        answers.append(link.getresponse().status)
        link.close()

    thread = threading.Thread(target=read)
    thread.start()
    return thread


async def guarded_write(url: str, record: Record) -> Fenced:
    """A write as the frozen leader would make it, straight at the database."""
    database = Database(url)
    await database.start()
    try:
        return await SqlFencedNote(database).write(
            record.epoch, record.holder, record.boot_id, "from the grave", "nobody"
        )
    finally:
        await database.stop()


@pytest.mark.slow
@both_profiles
def test_a_leader_frozen_for_two_leases_wakes_up_without_power(lab: Lab, own_redis: Server, runs: int) -> None:
    for run in range(1, min(runs, 5) + 1):
        lab.wait_until_healthy()
        leader = lab.wait_for_leader()
        record = leaders_record(lab, own_redis)
        assert record.holder == leader.name
        said = leader.ask("/api/v1/admin/cluster/note", method="PUT", token=lab.token, send={"text": f"run {run}"})
        assert said.status == 200
        with watch(lab) as eyes:
            time.sleep(0.3)
            leader.stop()
            frozen_ns = time.monotonic_ns()
            answers: list[int] = []
            writers = [write_note(leader, lab.token, answers) for _ in range(3)]
            successor = eyes.wait_for_yes(frozen_ns, other_than=leader.name, within_s=3 * lab.lease_ms / 1000)
            assert asyncio.run(guarded_write(lab.database, record)) is Fenced.REFUSED
            time.sleep(max(0.0, 2 * lab.lease_ms / 1000 - (time.monotonic_ns() - frozen_ns) / 1e9))
            leader.cont()
            for writer in writers:
                writer.join(30)
            eventually(partial(says_no, leader), within_s=2, what="the woken node's no", say=lab.logs)
            lab.wait_until_healthy()
        eyes.check()
        assert 200 not in answers, answers
        assert len(answers) == 3
        assert set(eyes.leaderships().values()) == {leader.name, successor.node}, "it did not fight its way back"
        note = leader.ask("/api/v1/admin/cluster/note", token=lab.token).body
        assert note["text"] == f"run {run}"
        assert asyncio.run(guarded_write(lab.database, record)) is Fenced.REFUSED
        print(f"run {run}: {leader.name} frozen for {2 * lab.lease_ms} ms; {successor.node} led after", end=" ")
        print(f"{(successor.received_ns - frozen_ns) / 1e6:.0f} ms; notes of the woken one: {answers}")


@pytest.mark.parametrize("lab", ["lan"], indirect=True)
def test_a_short_freeze_and_a_kill_in_one_breath(lab: Lab) -> None:
    """The smoke test of ``make test``: a leader frozen past its promise, and the next one killed."""
    first = lab.wait_for_leader()
    with watch(lab) as eyes:
        time.sleep(0.2)
        now_ns = time.monotonic_ns()
        first.stop()
        second = eyes.wait_for_yes(now_ns, other_than=first.name, within_s=10)
        first.cont()
        lab.wait_until_healthy()
        leader = lab.wait_for_leader()
        now_ns = time.monotonic_ns()
        leader.kill()
        third = eyes.wait_for_yes(now_ns, other_than=leader.name, within_s=10)
        assert third.epoch > second.epoch
    eyes.check()
