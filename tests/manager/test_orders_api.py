"""An administrator's orders over HTTP: who may give them, to whom they go, and how they are refused."""

import json
import logging

import pytest
from msgspec.structs import replace

from rppam.cluster.admin.errors import (
    CannotFollow,
    ChangePending,
    ControlSilent,
    LeaderPresent,
    MemberRuns,
    MemberUnknown,
    NobodyToFollow,
    NotStatedOff,
    OrdersUnwritable,
)
from rppam.cluster.consensus.heartbeat import MemberStatus
from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.health.model import VoterKind, VoteView
from rppam.http.errors import NotLeaderError
from rppam.http.times import iso_utc
from tests.support.served import NOON, Served

pytestmark = pytest.mark.integration

CLUSTER, NODES = "/api/v1/admin/cluster", "/api/v1/admin/nodes"
ORDERS = [
    ("POST", f"{CLUSTER}/switchover", {}, ("switch_over", None, "admin")),
    ("POST", f"{CLUSTER}/switchover", {"target": None}, ("switch_over", None, "admin")),
    ("POST", f"{CLUSTER}/switchover", {"target": "node2"}, ("switch_over", "node2", "admin")),
    ("PUT", f"{NODES}/node1/maintenance", {"maintenance": True}, ("set_maintenance", True, "admin")),
    ("PUT", f"{NODES}/node1/maintenance", {"maintenance": False}, ("set_maintenance", False, "admin")),
    ("PUT", f"{CLUSTER}/pause", {"paused": True}, ("pause", True, "admin")),
    ("POST", f"{CLUSTER}/forget", {"members": ["node3"]}, ("forget", "node3", False, "admin")),
    ("POST", f"{CLUSTER}/forget", {"members": ["node3"], "off": True}, ("forget", "node3", True, "admin")),
    (
        "POST",
        f"{CLUSTER}/forget",
        {"members": ["node2", "node3"], "force": True},
        ("force_forget", ["node2", "node3"], "admin"),
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "asked"), ORDERS)
async def test_an_order_reaches_the_node_with_the_name_of_who_gave_it(
    served: Served, method: str, path: str, body: dict[str, object], asked: tuple[object, ...]
) -> None:
    answer = await served.http.request(method, path, json=body, headers=served.bearer())
    told = answer.json()
    others = told.pop("others", [])  # of a pause, which is for all
    assert (answer.status_code, told) == (200, {"said": f"{asked[0]} is begun", "node": "node1"})
    assert not any(other["told"] for other in others), "there is no link here"
    assert served.orders.asked == [asked]


async def test_a_switchover_needs_no_body(served: Served) -> None:
    for headers in ({}, {"Content-Type": "application/json"}):
        answer = await served.http.post(f"{CLUSTER}/switchover", headers=served.bearer() | headers)
        assert answer.status_code == 200, answer.text
    assert served.orders.asked == [("switch_over", None, "admin")] * 2


@pytest.mark.parametrize(("method", "path", "body", "asked"), ORDERS)
async def test_nobody_but_an_administrator_gives_orders(
    served: Served, method: str, path: str, body: dict[str, object], asked: tuple[object, ...]
) -> None:
    del asked
    assert (await served.http.request(method, path, json=body)).status_code == 401
    plain = await served.http.request(method, path, json=body, headers=served.bearer("pam_user"))
    assert plain.status_code == 403
    assert served.orders.asked == []


@pytest.mark.parametrize(
    ("path", "method", "body"),
    [
        (f"{CLUSTER}/switchover", "POST", {"target": "Node 2"}),
        (f"{CLUSTER}/switchover", "POST", {"to": "node2"}),
        (f"{CLUSTER}/pause", "PUT", {}),
        (f"{CLUSTER}/pause", "PUT", {"paused": "true"}),
        (f"{CLUSTER}/pause", "PUT", {"paused": 1}),
        (f"{CLUSTER}/forget", "POST", {"members": ["node3"], "off": "yes"}),
        (f"{CLUSTER}/forget", "POST", {"members": ["node3"], "force": "yes"}),
        (f"{NODES}/node1/maintenance", "PUT", {"maintenance": "yes"}),
        (f"{CLUSTER}/forget", "POST", {"members": []}),
        (f"{CLUSTER}/forget", "POST", {"members": ["node2", "node3"]}),
        (f"{CLUSTER}/forget", "POST", {"members": ["(store)"], "force": True}),
        (f"{NODES}/node1/maintenance", "PUT", {"maintenance": None}),
        (f"{NODES}/-/maintenance", "PUT", {"maintenance": True}),
    ],
)
async def test_an_order_that_is_none_is_refused_with_the_field(
    served: Served, path: str, method: str, body: dict[str, object]
) -> None:
    answer = await served.http.request(method, path, json=body, headers=served.bearer())
    assert (answer.status_code, answer.json()["code"]) == (400, "RPPAM-6010"), answer.text
    assert answer.json()["errors"][0]["field"]
    assert served.orders.asked == []


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (MemberUnknown("x"), 404),
        (ChangePending("x"), 409),
        (NobodyToFollow("x"), 409),
        (CannotFollow("x"), 409),
        (MemberRuns("x"), 409),
        (NotStatedOff("x"), 409),
        (LeaderPresent("x"), 409),
        (ControlSilent("x"), 503),
        (OrdersUnwritable("x"), 503),
        (NotLeaderError("node1", "node2", None), 421),
    ],
)
async def test_a_refusal_of_the_node_is_answered_with_its_row(
    served: Served, failure: MemberUnknown | NotLeaderError, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    served.orders.failure = failure
    with caplog.at_level(logging.INFO):
        answer = await served.http.post(f"{CLUSTER}/switchover", json={}, headers=served.bearer())
    document = answer.json()
    assert (answer.status_code, document["code"], document["detail"]) == (status, failure.row.code, str(failure))
    assert document["fix"] == failure.row.remedy
    if status == 421:
        assert (document["leader"], document["leaderUrl"]) == ("node2", None)
    assert failure.row.code in caplog.text


async def test_health_tells_the_ledger_the_pause_and_why_there_is_no_leader(served: Served) -> None:
    plain = (await served.http.get("/system/health/cluster", headers=served.bearer())).json()
    assert (plain["quorumPolicy"], plain["votes"], plain["paused"], plain["pausedSince"]) == (None, [], False, None)
    served.node.set(
        leader=None,
        quorum_policy=QuorumPolicy.MAJORITY,
        votes=(
            VoteView("node1", VoterKind.MEMBER, 1, "node1", 2_500, True, True, ""),
            VoteView("redis", VoterKind.STORE, 1, None, None, False, False, "refused"),
            VoteView("node2", VoterKind.MEMBER, 1, None, 0, True, True, ""),
        ),
        electorate_version="7.2",
        pending_change="the members become node1",
        paused=True,
        paused_by="eve",
        paused_since=iso_utc(NOON),
        no_leader_reason="paused by eve",
    )
    for path in ("/system/health/cluster", f"{CLUSTER}/status"):
        told = (await served.http.get(path, headers=served.bearer())).json()
        assert told["votes"] == [
            {
                "voter": "node1",
                "kind": "member",
                "votes": 1,
                "promisedTo": "node1",
                "promisedMs": 2_500,
                "reached": True,
                "counted": True,
                "reason": "",
            },
            {
                "voter": "redis",
                "kind": "store",
                "votes": 1,
                "promisedTo": None,
                "promisedMs": None,
                "reached": False,
                "counted": False,
                "reason": "refused",
            },
            {
                "voter": "node2",
                "kind": "member",
                "votes": 1,
                "promisedTo": None,
                "promisedMs": 0,
                "reached": True,
                "counted": True,
                "reason": "",
            },
        ]
        names = ("quorumPolicy", "electorateVersion", "pendingChange", "paused", "pausedBy", "noLeaderReason")
        assert [told[name] for name in names] == [
            "majority", "7.2", "the members become node1", True, "eve", "paused by eve",
        ]  # fmt: skip
        assert told["pausedSince"] == "2026-03-01T12:00:00Z"


async def test_a_node_in_maintenance_keeps_the_cluster_healthy_and_is_drained(served: Served) -> None:
    first, *rest = served.node.seen.members
    served.node.set(members=(replace(first, status=MemberStatus.MAINTENANCE), *rest), ready=False)
    told = (await served.http.get("/system/health/cluster", headers=served.bearer())).json()
    assert (told["clusterHealthy"], told["nodes"][0]["status"]) == (True, "maintenance")
    assert (await served.http.get("/system/health/ready")).status_code == 503


# ---- what happened ---------------------------------------------------------------------------------------------------


async def test_the_history_is_shown_to_whoever_may_read_and_is_bounded(served: Served) -> None:
    empty = await served.http.get(f"{CLUSTER}/history", headers=served.bearer())
    assert empty.json() == {"node": "node1", "entries": [], "unreadable": 0}
    entries = [
        {"at": 1_770_000_000_123 + number, "event": "elected", "sentence": f"no. {number}", "facts": {"epoch": number}}
        for number in range(5)
    ]
    served.history.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + "half a li")
    answer = await served.http.get(f"{CLUSTER}/history", params={"limit": 2}, headers=served.bearer())
    assert answer.json() == {
        "node": "node1",
        "entries": [
            {"time": "2026-02-02T02:40:00.126Z", "event": "elected", "sentence": "no. 3", "facts": {"epoch": 3}},
            {"time": "2026-02-02T02:40:00.127Z", "event": "elected", "sentence": "no. 4", "facts": {"epoch": 4}},
        ],
        "unreadable": 1,
    }
    for limit in ("0", "1001", "x"):
        wrong = await served.http.get(f"{CLUSTER}/history", params={"limit": limit}, headers=served.bearer())
        assert (wrong.status_code, wrong.json()["code"]) == (400, "RPPAM-6010"), wrong.text
    assert (await served.http.get(f"{CLUSTER}/history")).status_code == 401
    served.history.unlink()
    served.history.mkdir()
    broken = await served.http.get(f"{CLUSTER}/history", headers=served.bearer())
    assert (broken.status_code, broken.json()["code"]) == (503, "RPPAM-5213")
