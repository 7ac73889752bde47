"""What health says, over real HTTP, in every state that the node can be in."""

import asyncio
import re
from datetime import UTC, datetime

import httpx
import pytest
from starlette.types import Message, Scope

from rppam import __version__
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.health.model import SafetyLevel
from rppam.db.errors import DatabaseUnreachable
from tests.support.served import Served, member

pytestmark = pytest.mark.integration

PROBES = ("ping", "live", "ready", "leader")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


async def test_ping_needs_no_token_and_names_the_node(served: Served) -> None:
    answer = await served.http.get("/system/health/ping")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert set(document) == {"status", "node", "version", "time"}
    assert (document["status"], document["node"], document["version"]) == ("ok", "node1", __version__)
    told = datetime.strptime(document["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - told).total_seconds()) < 5


@pytest.mark.parametrize("probe", PROBES)
async def test_a_probe_answers_get_head_and_options_alike_and_is_never_cached(served: Served, probe: str) -> None:
    for permission, ready, alive in ((7, True, True), (None, False, False)):
        served.node.permission, served.node.alive = permission, alive
        served.node.set(ready=ready)
        got = await served.http.get(f"/system/health/{probe}")
        for method in ("HEAD", "OPTIONS"):
            same = await served.http.request(method, f"/system/health/{probe}")
            assert same.status_code == got.status_code, method
            assert same.headers["cache-control"] == "no-store"
            assert same.headers["allow"] == "GET, HEAD, OPTIONS"
            assert (same.content == b"") is (method == "HEAD")


@pytest.mark.parametrize("probe", PROBES)
async def test_a_probe_refuses_other_methods_with_405(served: Served, probe: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
        answer = await served.http.request(method, f"/system/health/{probe}")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS"), method
        assert answer.json()["code"] == "RPPAM-6004"


async def test_leader_answers_200_only_while_there_is_permission(served: Served) -> None:
    answer = await served.http.get("/system/health/leader")
    assert answer.status_code == 200
    assert answer.json() == {"status": "leader", "node": "node1", "epoch": 7}
    # The snapshot still says leader; only the permission of this moment counts.
    served.node.permission = None
    answer = await served.http.get("/system/health/leader")
    assert (answer.status_code, answer.json()["code"]) == (503, "RPPAM-6203")
    served.node.permission = 0
    assert (await served.http.get("/system/health/leader")).status_code == 200, "epoch 0 is an epoch"


async def test_the_permission_is_the_last_thing_asked_before_the_answer_leaves(served: Served) -> None:
    events: list[str] = []
    asked = served.node.may_lead

    def may_lead() -> int | None:
        events.append("asked")
        return asked()

    served.node.may_lead = may_lead  # type: ignore[method-assign]

    async def send(message: Message) -> None:
        events.append(str(message["type"]))

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/system/health/leader",
        "headers": [],
        "query_string": b"",
        "client": None,
    }
    # One step of the coroutine does it all: between asking and sending nothing is awaited that could suspend.
    with pytest.raises(StopIteration):
        served.app(scope, receive, send).send(None)
    assert events == ["asked", "http.response.start", "http.response.body"]


async def test_ready_is_200_on_a_standby_without_redis_and_503_while_draining(served: Served) -> None:
    served.node.permission = None
    served.node.set(role=Role.STANDBY, leader=None, redis_connected=False, redis_reason="refused", quorum_met=False)
    assert (await served.http.get("/system/health/ready")).status_code == 200
    served.node.set(ready=False)
    answer = await served.http.get("/system/health/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "RPPAM-6202")


async def test_live_follows_the_nodes_own_loop(served: Served) -> None:
    assert (await served.http.get("/system/health/live")).status_code == 200
    served.node.alive = False
    answer = await served.http.get("/system/health/live")
    assert (answer.status_code, answer.json()["code"]) == (503, "RPPAM-6201")


async def test_a_plain_user_is_told_in_short_how_the_cluster_stands(served: Served) -> None:
    short = (await served.http.get("/system/health/cluster", headers=served.bearer("pam_user"))).json()
    assert set(short) == {"clusterHealthy", "redisConnected", "quorumMet", "leaderNode", "nodes"}
    assert short["nodes"][0] == {"nodeName": "node1", "status": "healthy"}
    for role in ("pam_auditor", "security_admin"):
        assert "votes" in (await served.http.get("/system/health/cluster", headers=served.bearer(role))).json()


async def test_cluster_health_has_the_documented_shape(served: Served) -> None:
    answer = await served.http.get("/system/health/cluster", headers=served.bearer())
    assert answer.status_code == 200
    document = answer.json()
    for name in ("clusterHealthy", "quorumMet", "redisConnected"):
        assert document[name] is True
    assert (document["leaderNode"], document["epoch"], document["safetyLevel"]) == ("node1", 7, "single")
    assert (document["redisReason"], document["quorumReason"], document["warnings"]) == ("", "", [])
    assert document["note"] is None
    assert [node["nodeName"] for node in document["nodes"]] == ["node1", "node2", "node3"]
    first = document["nodes"][0]
    assert (first["role"], first["status"], first["redisConnected"]) == ("leader", "healthy", True)
    assert first["lastHeartbeat"] == "2026-03-01T11:59:59Z"
    assert first["heartbeatAgeMs"] == 300
    assert STAMP.fullmatch(document["time"])


async def test_admin_status_has_the_products_shape_exactly(served: Served) -> None:
    document = (await served.http.get("/api/v1/admin/cluster/status", headers=served.bearer())).json()
    product = {name: document[name] for name in ("clusterId", "status", "leaderNodeId", "quorum", "redisStatus")}
    assert product == {
        "clusterId": "cluster-001",
        "status": "healthy",
        "leaderNodeId": "node1",
        "quorum": True,
        "redisStatus": "connected",
    }
    keys = ("nodeId", "hostname", "role", "status", "lastHeartbeat")
    assert {name: document["nodes"][1][name] for name in keys} == {
        "nodeId": "node2",
        "hostname": "node2.corp.local",
        "role": "standby",
        "status": "healthy",
        "lastHeartbeat": "2026-03-01T11:59:59Z",
    }
    # One snapshot, two views: whatever health tells, the status tells too.
    health = (await served.http.get("/system/health/cluster", headers=served.bearer())).json()
    nodes = health.pop("nodes")
    assert {name: document[name] for name in health} == health
    assert [{name: node[name] for name in nodes[0]} for node in document["nodes"]] == nodes


async def test_a_cluster_without_leader_and_redis_still_answers_200_and_says_why(served: Served) -> None:
    reason = "Redis at 10.0.0.9:6379 does not answer; check the server and the firewall."
    served.node.permission = None
    served.node.set(
        role=Role.STANDBY,
        leader=None,
        redis_connected=False,
        redis_reason=reason,
        quorum_met=False,
        quorum_reason="Redis does not answer.",
        warnings=("The licence ends in 20 days.",),
        safety_level=SafetyLevel.REPLICATED,
        members=(member("node1", Role.STANDBY), member("node2", Role.STANDBY, MemberStatus.UNKNOWN)),
    )
    health = (await served.http.get("/system/health/cluster", headers=served.bearer())).json()
    assert (health["leaderNode"], health["clusterHealthy"], health["redisConnected"]) == (None, False, False)
    assert (health["quorumMet"], health["redisReason"], health["safetyLevel"]) == (False, reason, "replicated")
    assert health["warnings"] == ["The licence ends in 20 days."]
    status = (await served.http.get("/api/v1/admin/cluster/status", headers=served.bearer())).json()
    assert (status["status"], status["leaderNodeId"], status["redisStatus"]) == ("unavailable", None, "disconnected")


async def test_a_member_never_seen_is_shown_without_nonsense(served: Served) -> None:
    served.node.set(members=(member("node1", Role.LEADER, last_heartbeat=None, heartbeat_age_ms=None),))
    (node,) = (await served.http.get("/system/health/cluster", headers=served.bearer())).json()["nodes"]
    assert (node["lastHeartbeat"], node["heartbeatAgeMs"]) == (None, None)


async def test_a_suspect_member_makes_the_status_degraded(served: Served) -> None:
    served.node.set(members=(member("node1", Role.LEADER), member("node2", Role.STANDBY, MemberStatus.SUSPECT)))
    status = (await served.http.get("/api/v1/admin/cluster/status", headers=served.bearer())).json()
    assert (status["status"], status["clusterHealthy"]) == ("degraded", False)


async def test_a_silent_database_delays_health_briefly_and_then_not_at_all(served: Served) -> None:
    served.note.silent.clear()
    loop = asyncio.get_running_loop()
    began = loop.time()
    answers = await asyncio.gather(
        *(served.http.get("/system/health/cluster", headers=served.bearer()) for _ in range(20))
    )
    assert loop.time() - began < 2
    assert {answer.status_code for answer in answers} == {200}
    again = (await served.http.get("/system/health/cluster", headers=served.bearer())).json()
    assert again["note"] is None
    assert "did not answer" in again["noteReason"]


async def test_a_database_that_fails_is_named_beside_the_note_without_its_address(served: Served) -> None:
    served.note.failure = DatabaseUnreachable("postgres.corp.local:5432 refused")
    health = (await served.http.get("/system/health/cluster", headers=served.bearer())).json()
    assert health["note"] is None
    assert health["noteReason"] == DatabaseUnreachable.row.meaning


async def test_every_answer_carries_the_safe_headers_and_a_request_id(served: Served) -> None:
    answers: list[httpx.Response] = [
        await served.http.get("/system/health/ping"),
        await served.http.get("/nothing"),
        await served.http.get("/nothing", headers=served.bearer()),
        await served.http.post("/api/v1/auth/login", json={}),
        await served.http.get("/.well-known/jwks.json"),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers, "it helps nobody but who looks for known holes"
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
    kept = await served.http.get("/system/health/ping", headers={"X-Request-ID": "lb-42.a_b"})
    assert kept.headers["x-request-id"] == "lb-42.a_b"
    for odd in ("a" * 65, "a b", 'x"y', ""):
        replaced = await served.http.get("/system/health/ping", headers={"X-Request-ID": odd})
        assert re.fullmatch(r"[0-9a-f]{16}", replaced.headers["x-request-id"]), odd
