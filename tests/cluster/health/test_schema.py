"""One schema of health: what the page holds, the REST API answers and the commands read are the same values."""

import json
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from rppam.cli.view import parse_view
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.health.members_view import heard_at
from rppam.cluster.health.model import (
    CertificateView,
    ClusterHealth,
    ClusterSnapshot,
    DiskRoom,
    MemberView,
    NameView,
    VoterKind,
    VoteView,
    from_text,
    to_text,
)
from rppam.kernel.finding import Finding, Severity
from rppam.kernel.instant import WallMs
from rppam.manager.health_api import cluster_health, cluster_status
from tests.support.health import seen_member

FULL = ClusterSnapshot(
    cluster_id="c",
    leader="node1",
    epoch=7,
    quorum_met=True,
    quorum_reason="",
    quorum_policy="majority",
    votes=(VoteView("node2", VoterKind.WITNESS, 1, None, 0, True, False, "why"),),
    paused=True,
    paused_by="eve",
    paused_since="2026-03-01T12:00:00Z",
    redis_connected=True,
    redis_reason="",
    redis_password_mark="ab",
    safety_level="replicated",
    node="node1",
    role=Role.LEADER,
    time="2026-03-01T12:00:01Z",
    store_clock_offset_ms=5,
    warnings=("one", "zwei \u20ac"),
    virtual_ip="10.0.0.9/24",
    virtual_ip_here=True,
    dns_name=NameView("pam.example.com", ("10.0.1.11",), "node1", 7, "2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"),
    refused={"forged": 4},
    findings=(Finding("RD-101", Severity.ERROR, "what", "evidence", "fix"),),
    certificates=(CertificateView("api", "2026-04-01T00:00:00Z", 31),),
    members=(seen_member("node1", Role.LEADER, age_ms=0), seen_member("node2", Role.WITNESS, MemberStatus.SUSPECT)),
    redis_enabled=True,
    ready=True,
    worker_redis_connected=False,
    rooms=(DiskRoom("data", "/var/lib", 1, 2, 3, 4),),
    keeps_promises=True,
)


def test_the_page_the_answer_and_the_command_hold_the_same_values() -> None:
    seen = from_text(to_text(FULL))
    assert seen == FULL
    assert isinstance(seen.members[0].role, Role)
    answer = to_text(cluster_health(seen, None, "no note"))
    told = parse_view(json.loads(answer))
    assert told == msgspec.json.decode(answer, type=ClusterHealth) == cluster_health(FULL, None, "no note")
    assert [told.members[1].status, told.votes[0].kind] == [MemberStatus.SUSPECT, VoterKind.WITNESS]


def test_an_answer_holds_nothing_that_only_this_node_s_processes_need() -> None:
    only_here = {"redisEnabled", "ready", "rooms", "keepsPromises", "workerRedisConnected"}
    assert only_here <= set(json.loads(to_text(FULL)))
    for answer in (cluster_health(FULL, None, ""), cluster_status(FULL, None, "")):
        assert not only_here & set(json.loads(to_text(answer)))


def with_more(value: Any) -> Any:
    """As a newer release might tell it: each object has a field that nobody knows."""
    if isinstance(value, dict):
        return {"fromTomorrow": {"x": [1]}, **{name: with_more(one) for name, one in value.items()}}
    return [with_more(one) for one in value] if isinstance(value, list) else value


def test_fields_of_a_newer_release_are_passed_over_on_the_page_and_by_the_commands() -> None:
    plain = replace(FULL, refused={})  # its keys are reasons, no fields
    assert from_text(json.dumps({**with_more(json.loads(to_text(plain))), "membersRefused": {}}).encode()) == plain
    answer = cluster_health(plain, None, "")
    body = {**with_more(json.loads(to_text(answer))), "membersRefused": {}}
    assert parse_view(body) == answer


def test_a_word_of_a_newer_release_is_shown_as_it_is_and_what_is_missing_is_not_known() -> None:
    body = {"clusterHealthy": True, "nodes": [{"nodeName": "node1", "role": "observer", "status": "resting"}, {}]}
    told = parse_view(body)
    assert told is not None
    assert [f"{one.node} {one.role} {one.status}" for one in told.members] == ["node1 observer resting", "  unknown"]
    assert (told.leader, told.epoch, told.quorum_met, told.note, told.role) == (None, 0, False, None, "")


@pytest.mark.parametrize(
    ("changes", "healthy"),
    [
        ({}, True),
        ({"leader": None}, False),
        ({"quorum_met": False}, False),
        ({"redis_connected": False}, False),
        ({"redis_connected": False, "redis_enabled": False}, True),
        ({"members": (seen_member("node2", Role.STANDBY, MemberStatus.MAINTENANCE),)}, True),
        ({"members": (seen_member("node2", Role.STANDBY, MemberStatus.UNREACHABLE),)}, False),
    ],
)
def test_a_snapshot_says_itself_whether_it_is_healthy(changes: dict[str, Any], healthy: bool) -> None:
    calm = replace(FULL, members=(seen_member("node1", Role.LEADER),))
    seen = replace(calm, **changes)
    assert (seen.healthy, from_text(to_text(seen)).healthy) == (healthy, healthy)


def test_half_a_character_in_a_name_costs_no_answer() -> None:
    odd: MemberView = replace(FULL.members[0], hostname="a\ud800b")
    assert from_text(to_text(replace(FULL, members=(odd,)))).members[0].hostname == "a?b"


def test_what_is_no_snapshot_is_refused() -> None:
    for text in (b"", b"[]", b"{}", b'{"clusterId": 3}', to_text(FULL).replace(b'"leader"', b'"king"')):
        with pytest.raises(ValueError, match=r".+"):
            from_text(text)


def test_a_heartbeat_is_never_from_the_future_where_the_clock_was_set_back() -> None:
    now = WallMs(1_795_000_000_000)
    assert heard_at(None, now) == (None, None)
    assert heard_at(WallMs(now - 1_500), now) == ("2026-11-18T11:06:38Z", 1_500)
    assert heard_at(WallMs(now + 60_000), now) == ("2026-11-18T11:07:40Z", 0)
