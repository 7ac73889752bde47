"""What a node says ends up on a terminal: nothing of it may steer the terminal, fill the screen, or end the command."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from rppam.cli.view import TEXT_CHARS_MAX, parse_view
from rppam.cluster.health.model import ALONE
from rppam.manager.status_screen import status_picture

STEERING = "\x1b[2J", "\x1b]0;title\x07", "\r\nnode9 healthy", "\x9b31m", "\x7f", "\u202ereversed", "\ud800"


def shown(body: dict[str, Any], width: int = 200) -> str:
    view = parse_view(json.loads(json.dumps(body)))
    assert view is not None
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), width=width)
    with console.capture() as capture:
        console.print(status_picture(view, "http://node1:7101"))
    text = capture.get()
    text.encode("utf-8")
    return text


@pytest.mark.parametrize("text", STEERING)
def test_no_text_of_a_node_steers_the_terminal(text: str) -> None:
    evil = f"before{text}after"
    peer = {"nodeName": evil, "role": evil, "status": evil, "url": evil, "heartbeatAgeMs": 1}
    body: dict[str, Any] = {
        "answeredBy": evil,
        "clusterId": evil,
        "leaderNode": evil,
        "redisReason": evil,
        "quorumReason": evil,
    }
    body |= {"safetyLevel": evil, "warnings": [evil], "note": {"text": evil}, "nodes": [peer], "epoch": 10**400}
    screen = shown({"clusterHealthy": True, **body})
    assert screen.count("before") == screen.count("after") == 12
    assert not set(text) & set(screen) & set("\x1b\x07\r\x9b\x7f\u202e\ud800")
    assert not any(line.startswith("node9") for line in screen.splitlines())


def test_marks_of_the_screen_s_own_language_are_plain_text() -> None:
    peer = {"nodeName": "[red]n", "url": "http://[::1]:7101/[bold]x[/bold]"}
    screen = shown({"clusterHealthy": False, "safetyLevel": "[blink]x", "answeredBy": "[b]y", "nodes": [peer]})
    for text in ("[red]n", "http://[::1]:7101/[bold]x[/bold]", "[blink]x", "[b]y at http://node1:7101"):
        assert text in screen


def test_endless_texts_and_numbers_are_cut() -> None:
    body = {"clusterHealthy": False, "redisReason": "x" * 1_000_000, "nodes": [{"heartbeatAgeMs": 10**300}]}
    assert shown(body).count("x") <= TEXT_CHARS_MAX


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ({"leaderNode": "node1", "redisConnected": True, "quorumMet": True}, "cluster  needs attention"),
        (
            {
                "leaderNode": "node1",
                "redisConnected": True,
                "quorumMet": True,
                "nodes": [{"nodeName": "node1", "status": "healthy"}, {"nodeName": "node2", "status": "suspect"}],
            },
            "cluster  needs attention: node2 is suspect",
        ),
        (
            {"leaderNode": None, "nodes": [{"nodeName": "node2", "status": "unknown"}]},
            "cluster  no leader: Redis is not connected, node2 is unknown",
        ),
        ({"redisConnected": True}, "cluster  no leader: quorum is not met"),
    ],
)
def test_the_first_line_says_what_is_wrong(body: dict[str, Any], title: str) -> None:
    assert shown({"clusterHealthy": False, **body}).splitlines()[0].rstrip() == title


def test_the_votes_are_shown_with_what_is_missing() -> None:
    votes = [
        {"voter": "node1", "kind": "member", "votes": 1, "promisedTo": "node1", "promisedMs": 2_540, "counted": True},
        {"voter": "node2", "kind": "member", "votes": 1, "promisedTo": None, "counted": False, "reason": "refused"},
        {"voter": "redis", "kind": "store", "votes": 1, "promisedTo": None, "promisedMs": 0, "counted": True},
    ]
    lines = shown({"clusterHealthy": False, "votes": votes, "quorumPolicy": "majority"}).splitlines()
    rows = {line.split()[0]: line.split() for line in lines if line.strip()}
    assert rows["node1"] == ["node1", "1", "node1", "2.5", "s"]
    assert rows["node2"] == ["node2", "1", "?", "-", "refused"]
    assert rows["redis"] == ["redis", "1", "-", "-"]
    assert rows["Quorum"] == ["Quorum", "not", "met", "(majority)"]


def test_what_stands_in_the_head_is_not_said_again_and_a_finding_says_what_was_seen() -> None:
    refused = "connection refused by 127.0.0.1:6379; check that Redis runs there"
    short = f"2 of 5 votes can be won and 3 are needed. Redis: {refused}"
    votes = [{"voter": "redis", "kind": "store", "votes": 2, "counted": False, "reason": refused}]
    found = [
        {"code": "RD-101", "severity": "error", "what": "Redis refuses.", "evidence": refused, "fix": "Start Redis."},
        {
            "code": "RD-707",
            "severity": "error",
            "what": "A node is mute.",
            "evidence": "pam-3: none runs",
            "fix": "Read.",
        },
    ]
    body = {
        "quorumReason": short,
        "noLeaderReason": f"{short}. Bring back what is missing.",
        "quorumPolicy": "majority",
    }
    screen = shown({"clusterHealthy": False, "redisReason": refused, "votes": votes, "findings": found, **body})
    assert screen.count("2 of 5 votes") == 1
    assert screen.count(refused) == 2, "in the reason why nobody leads, and once of Redis"
    assert "RD-707  A node is mute. Seen: pam-3: none runs. Read." in screen
    assert "RD-101  Redis refuses. Start Redis." in screen
    led = shown({"clusterHealthy": False, "leaderNode": "node1", "quorumReason": short})
    assert "2 of 5 votes" in led


def test_a_pause_a_pending_change_and_a_missing_leader_are_loud() -> None:
    peer = {"nodeName": "node1", "status": "maintenance"}
    body = {"leaderNode": "node1", "redisConnected": True, "quorumMet": True, "paused": True, "pausedBy": "eve"}
    screen = shown({"clusterHealthy": True, "nodes": [peer], **body})
    assert screen.startswith("cluster  failover is paused")
    assert "paused by eve; rppam cluster resume" in screen
    assert "maintenance" in screen
    alone = shown({"clusterHealthy": False, "noLeaderReason": "2 of 5 votes", "pendingChange": "it waits for node3"})
    assert "none: 2 of 5 votes" in alone
    assert "it waits for node3" in alone


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            {"addresses": ["10.0.1.11", "fd00::11"], "node": "node1", "epoch": 7, "since": "2026-03-01T12:00:00Z"},
            "pam.example.com -> 10.0.1.11, fd00::11 (node1, epoch 7 since 2026-03-01T12:00:00Z)",
        ),
        ({"problem": "127.0.0.1 port 53: no answer"}, "pam.example.com -> nothing: 127.0.0.1 port 53: no answer"),
    ],
)
def test_the_name_in_dns_is_shown_with_what_it_points_to_and_what_is_wrong(name: dict[str, Any], line: str) -> None:
    lines = shown({"clusterHealthy": True, "dnsName": {"name": "pam.example.com", **name}}).splitlines()
    assert [one.split(maxsplit=1)[1].rstrip() for one in lines if one.startswith("Name ")] == [line]
    assert not [one for one in shown({"clusterHealthy": True}).splitlines() if one.startswith("Name ")]


def test_an_address_stays_whole_on_a_terminal_of_80_columns() -> None:
    node: dict[str, Any] = {
        "nodeName": "node1",
        "role": "standby",
        "status": "unreachable",
        "url": "https://10.0.1.11:7101",
    }
    node = {**node, "heartbeatAgeMs": 10_700, "hasVote": True}
    screen = shown({"clusterHealthy": False, "nodes": [node]}, width=80)
    assert any(line.rstrip().endswith(" https://10.0.1.11:7101") for line in screen.splitlines()), screen


@pytest.mark.parametrize(
    ("silent", "line"), [([], ""), (["node2"], "on node2"), (["node2", "node3"], "on each of node2, node3")]
)
def test_who_does_not_answer_is_named_with_where_to_look(silent: list[str], line: str) -> None:
    nodes = [
        {"nodeName": name, "role": "standby", "status": "unreachable" if name in silent else "healthy"}
        for name in ("node1", "node2", "node3")
    ]
    lines = shown({"clusterHealthy": not silent, "nodes": nodes}).splitlines()
    wanted = [f"Next  rppam doctor {line} says what keeps it from answering"] if silent else []
    assert [one.rstrip() for one in lines if one.startswith("Next ")] == wanted


@pytest.mark.parametrize("text", STEERING)
def test_nothing_in_the_votes_steers_the_terminal(text: str) -> None:
    evil = f"before{text}after"
    line = {"voter": evil, "kind": evil, "votes": 1, "promisedTo": evil, "promisedMs": 10**400, "reason": evil}
    told = {"noLeaderReason": evil, "pendingChange": evil, "pausedBy": evil, "paused": True, "quorumPolicy": evil}
    screen = shown({"clusterHealthy": False, "votes": [line, "x", None], **told})
    assert screen.count("before") == screen.count("after") == 7
    assert not set(text) & set(screen) & set("\x1b\x07\r\x9b\x7f\u202e\ud800")


@pytest.mark.parametrize(
    ("obeyed", "line"),
    [
        ([0, 0, None], "Settings  defaults, everywhere"),
        ([1, 1, 1], "Settings  1 change, everywhere"),
        ([5, 4, None], "Settings  5 changes, not yet obeyed by node2 (4)"),
        ([None, "7", -1], ""),
    ],
)
def test_who_obeys_which_settings(obeyed: list[object], line: str) -> None:
    nodes = [{"nodeName": f"node{number}", "settingsRevision": told} for number, told in enumerate(obeyed, 1)]
    lines = [text.rstrip() for text in shown({"clusterHealthy": True, "nodes": nodes}).splitlines()]
    assert [text for text in lines if text.startswith("Settings")] == ([line] if line else [])


def test_a_node_that_is_to_have_no_redis_is_not_told_to_miss_it() -> None:
    body = {
        "clusterHealthy": False,
        "leaderNode": "n1",
        "quorumMet": True,
        "redisReason": ALONE,
        "safetyLevel": "single",
    }
    screen = shown({**body, "databaseConnected": False, "databaseReason": "no file"})
    assert screen.splitlines()[0].strip() == "cluster  needs attention: the database cannot be worked with"
    assert ALONE in screen
    assert "not connected: this node" not in screen
    assert "this node alone decides" in screen
    elsewhere = shown({**body, "redisReason": "refused"})
    assert "not connected: refused" in elsewhere
    assert "the record in one Redis decides" in elsewhere
