"""What a worker says of the node: the picture while it is one of now, and the truth about it when it is not."""

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest
from msgspec.structs import replace

from rppam.app.board import Board
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.health.model import (
    OTHERS_MAX,
    ClusterSnapshot,
    MemberView,
    NameView,
    SafetyLevel,
    VoterKind,
    VoteView,
    from_text,
    to_text,
)
from rppam.cluster.health.ports import Authority
from rppam.cluster.health.shared_status import ALIVE_WITHIN_US, FRESH_US, RESTARTING, PageStatus
from rppam.cluster.health.view import NodeView
from rppam.kernel.instant import Instant
from rppam.kernel.system_clock import SystemClock
from rppam.process.control_channel import ControlChannel
from rppam.process.shared_state import CONTROL, Permission, Picture, SharedState

LEADS = Authority(42, "0123456789abcdef")
NOW_US = 50_000_000
HEARD = "2026-11-18T11:06:40Z"


class StillClock(SystemClock):
    """Stands at ``at``, on the host's clock."""

    def __init__(self) -> None:
        super().__init__(offset_us=0)
        self.at = NOW_US

    def now(self) -> Instant:
        return Instant(self.at)


def member(name: str, role: Role, heard: str | None = HEARD) -> MemberView:
    age_ms = None if heard is None else 7
    return MemberView(name, "host", role, MemberStatus.HEALTHY, heard, age_ms, True, 42, "1.0.0", "http://h:1", 3)


SEEN = ClusterSnapshot(
    cluster_id="c",
    node="node1",
    role=Role.LEADER,
    leader="node1",
    epoch=42,
    members=(member("node1", Role.LEADER), member("node2", Role.STANDBY, heard=None)),
    redis_enabled=True,
    redis_connected=True,
    redis_reason="",
    quorum_met=True,
    quorum_reason="",
    safety_level=SafetyLevel.REPLICATED,
    ready=True,
    time="2026-11-18T11:06:41Z",
    store_clock_offset_ms=None,
    warnings=("a sentence with \u2028 and \U0001f600",),
)
NOTHING = replace(SEEN, role=Role.STANDBY, leader=None, members=(), redis_connected=False, ready=False, warnings=())


@pytest.fixture
def page() -> Iterator[SharedState]:
    descriptor = SharedState.make()
    made = SharedState(descriptor)
    made.stamp(CONTROL, NOW_US)
    made.show(Picture(1, NOW_US, to_text(SEEN)))
    made.permit(Permission(1, LEADS, NOW_US + 700_000))
    yield made
    os.close(descriptor)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def status(page: SharedState, clock: StillClock) -> PageStatus:
    return PageStatus(page, clock, NOTHING)


def test_a_snapshot_travels_whole() -> None:
    assert from_text(to_text(SEEN)) == SEEN
    assert from_text(to_text(replace(SEEN, store_clock_offset_ms=-7, leader=None))).store_clock_offset_ms == -7
    assert isinstance(from_text(to_text(SEEN)).members[0].status, MemberStatus)


def test_while_it_leads_it_says_so(status: PageStatus) -> None:
    assert status.snapshot() == SEEN
    assert status.may_lead() == 42
    assert status.authority() == LEADS
    assert status.is_alive()


def test_permission_that_ended_since_the_picture_takes_the_leader_out_of_it(
    status: PageStatus, clock: StillClock
) -> None:
    clock.at += 700_000
    assert status.may_lead() is None
    seen = status.snapshot()
    assert (seen.role, seen.leader) == (Role.STANDBY, None)
    assert seen.members[0].role is Role.STANDBY
    assert seen.redis_connected, "nothing else is taken back"


def test_a_withdrawn_permission_ends_at_once_and_is_told(status: PageStatus, page: SharedState) -> None:
    assert status.snapshot().leader == "node1"
    page.withdraw(1)
    assert status.may_lead() is None
    assert status.authority() is None
    seen = status.snapshot()
    assert (seen.role, seen.leader, seen.quorum_met, seen.redis_connected) == (Role.STANDBY, None, False, False)
    assert seen.redis_reason == seen.quorum_reason == RESTARTING
    assert RESTARTING in seen.warnings
    assert not seen.healthy
    assert seen.ready, "requests that need no control process are answered"
    assert {seen_member.status for seen_member in seen.members} == {MemberStatus.UNKNOWN}


def test_while_the_next_start_is_waited_for_the_reason_says_how_long(
    status: PageStatus, page: SharedState, clock: StillClock
) -> None:
    page.withdraw(1)
    page.plan_start(8, NOW_US + 30_000_000)
    clock.at += 2_500_000
    told = f"{RESTARTING}: it died 8 times in a row; the next start in 28 s"
    seen = status.snapshot()
    assert seen.redis_reason == seen.quorum_reason == seen.no_leader_reason == seen.warnings[-1] == told
    clock.at = NOW_US + 30_000_000
    assert status.snapshot().redis_reason == RESTARTING


def test_the_next_control_process_is_believed_again(status: PageStatus, page: SharedState) -> None:
    page.withdraw(1)
    standby = replace(SEEN, role=Role.STANDBY, leader="node2", epoch=43)
    page.show(Picture(2, NOW_US, to_text(standby)))
    assert status.snapshot() == standby


def test_a_control_process_that_does_not_turn_is_told(status: PageStatus, clock: StillClock) -> None:
    clock.at += FRESH_US + 1
    seen = status.snapshot()
    assert "has shown nothing for 3000 ms" in seen.redis_reason
    assert seen.leader is None
    assert status.is_alive()
    clock.at = NOW_US + ALIVE_WITHIN_US
    assert not status.is_alive()


def test_a_control_process_that_turns_and_shows_nothing_vouches_for_nothing(
    status: PageStatus, page: SharedState, clock: StillClock
) -> None:
    clock.at += FRESH_US + 1
    page.stamp(CONTROL, clock.at)
    seen = status.snapshot()
    assert (seen.leader, seen.redis_connected, seen.healthy) == (None, False, False)
    assert "has shown nothing for 3000 ms" in seen.no_leader_reason
    assert status.is_alive()


def test_nobody_vouches_for_the_virtual_address_of_a_past_picture(status: PageStatus, page: SharedState) -> None:
    page.show(Picture(1, NOW_US, to_text(replace(SEEN, virtual_ip="10.0.0.9/24", virtual_ip_here=True))))
    assert status.snapshot().virtual_ip_here
    page.withdraw(1)
    seen = status.snapshot()
    assert (seen.virtual_ip, seen.virtual_ip_here) == ("10.0.0.9/24", False)


def test_nobody_vouches_for_the_name_in_dns_of_a_past_picture(status: PageStatus, page: SharedState) -> None:
    name = NameView("pam.example.com", ("10.0.1.11",), "node1", 7, "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z")
    page.show(Picture(1, NOW_US, to_text(replace(SEEN, dns_name=name))))
    assert status.snapshot().dns_name == name
    page.withdraw(1)
    assert status.snapshot().dns_name == replace(name, problem=RESTARTING)


async def test_a_picture_that_is_too_large_is_shown_with_fewer_members_and_says_so(
    status: PageStatus, page: SharedState, clock: StillClock
) -> None:
    strangers = tuple(member(f"a-{number:05d}", Role.STANDBY) for number in range(8_000))
    ill = replace(member("z-ill", Role.STANDBY), status=MemberStatus.UNREACHABLE)
    line = VoteView("node2", VoterKind.MEMBER, 1, None, None, True, True, "")
    now = replace(SEEN, leader="node2", epoch=43, role=Role.STANDBY, members=(*strangers, *SEEN.members, ill))
    clock.at += FRESH_US + 1
    one, other = ControlChannel.pair()
    board = Board(page, one, 1, clock)
    board.shows(cast("NodeView", SimpleNamespace(snapshot=lambda: replace(now, votes=(line,)))))
    await board.start()
    for end in (one, other):
        end.close()
    seen = status.snapshot()
    names = [one.node for one in seen.members]
    assert (seen.leader, seen.epoch, names) == ("node2", 43, sorted(names))
    assert {"node1", "node2", "z-ill"} < set(names)
    assert len(names) == 2 + OTHERS_MAX
    assert not seen.healthy, "who is not well is not left out"
    assert seen.warnings[:-1] == SEEN.warnings
    assert f"8003 nodes are seen, more than can be shown, so {len(names)} are listed" in seen.warnings[-1]


def test_before_anything_was_shown_nothing_is_claimed(clock: StillClock) -> None:
    descriptor = SharedState.make()
    status = PageStatus(SharedState(descriptor), clock, NOTHING)
    os.close(descriptor)
    seen = status.snapshot()
    assert (seen.leader, seen.ready, seen.redis_reason) == (None, False, RESTARTING)
    assert not status.is_alive()


def test_a_draining_worker_is_not_ready(status: PageStatus) -> None:
    status.draining = True
    assert not status.snapshot().ready
