"""How the demo speaks on a terminal, in a pipe, and to a machine."""

import io
import json
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from rppam.cli.screen import age
from rppam.cluster.consensus.heartbeat import Role
from rppam.demo.children import Child
from rppam.demo.events import Event
from rppam.demo.files import DemoFiles
from rppam.demo.follow import Follower
from rppam.demo.redis_server import RedisServer
from rppam.demo.screen import Ready, Reporter, RunningNode
from rppam.kernel.secret import Secret
from tests.support.health import seen_health, seen_member

ELECTED = Event("leader-elected", "node1", 7, "node1 leads, epoch 7.", {"withoutLeaderMs": 3})
AT = "2026-11-23T23:00:00.000Z"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def ready(tmp_path: Path) -> Ready:
    with subprocess.Popen(["true"]) as process:
        redis = RedisServer(Child("Redis", process, tmp_path / "redis.log"), 6379, Secret("r"), Secret("n"))
    files = DemoFiles(
        {},
        ("witness1",),
        "admin",
        Secret("p"),
        {"node1": 7102},
        tmp_path / "admin.header",
        tmp_path / "rppam.db",
        lambda: Secret("t"),
    )
    nodes = (RunningNode("node1", "http://127.0.0.1:7101", 2, 3, (4, 5), (7,)), RunningNode("witness1", "", 6))
    return Ready(nodes, "node1", 7, files, redis, "root", str(tmp_path), 1_500)


def reported(reporter: Reporter, ready: Ready) -> None:
    reporter.ready(ready)
    reporter.event(ELECTED, AT)
    members = (seen_member("node1", Role.LEADER, age_ms=0), seen_member("node2", Role.STANDBY, age_ms=300))
    reporter.tick(seen_health("node1", "node1", 7, members), "http://127.0.0.1:7101")
    reporter.close()


def test_a_terminal_shows_the_status_of_the_cluster_below_guide_and_events(ready: Ready) -> None:
    file = Terminal()
    reported(Reporter(Console(file=file, force_terminal=True, width=100, height=40, color_system=None)), ready)
    shown = file.getvalue()
    guide, _, rest = shown.partition("Ctrl-C ends all.")
    assert "kill -STOP 2" in guide
    assert "kill -CONT 2" in guide
    assert rest.index("node1 leads, epoch 7.") < rest.index("● node1")
    assert "Seen by" in rest


def test_a_pipe_gets_plain_lines_and_no_picture(ready: Ready) -> None:
    file = io.StringIO()
    reported(Reporter(Console(file=file)), ready)
    assert file.getvalue().splitlines()[-1].endswith("node1 leads, epoch 7.")
    assert "\x1b" not in file.getvalue()
    assert "Seen by" not in file.getvalue()


def test_a_machine_gets_one_object_a_line_and_people_the_sentences(ready: Ready) -> None:
    people, machine = io.StringIO(), io.StringIO()
    reported(Reporter(Console(file=people), machine), ready)
    first, second = map(json.loads, machine.getvalue().splitlines())
    assert first["nodes"] == [
        {
            "nodeName": "node1",
            "url": "http://127.0.0.1:7101",
            "pid": 2,
            "supervisorPid": 2,
            "controlPid": 3,
            "workerPids": [4, 5],
            "gatewayPids": [7],
            "sshPort": 7102,
            "role": "leader",
        },
        {"nodeName": "witness1", "role": "witness", "pid": 6},
    ]
    assert list(first) == [
        *("event", "nodes", "adminUser", "adminPassword", "adminToken", "revealFactor", "redis"),
        *("gateway", "leader", "epoch", "directory", "startedInMs"),
    ]
    told = {"event": "leader-elected", "time": AT, "node": "node1", "epoch": 7, "text": "node1 leads, epoch 7."}
    assert second == {**told, "withoutLeaderMs": 3}
    assert "node1 leads, epoch 7." in people.getvalue()


async def test_the_leaders_own_view_is_shown_and_else_that_of_the_highest_epoch(ready: Ready) -> None:
    urls = {name: f"http://{name}" for name in ("node1", "node2", "node3")}
    children = dict.fromkeys(urls, ready.redis.child)
    follower = Follower(urls, children, ready.redis.child, lambda: Secret("t"))
    assert follower.best_view() == (None, "")
    views = {name: seen_health(name, "node1", epoch, ()) for name, epoch in (("node2", 7), ("node3", 6))}
    follower._answers = {name: (follower._now(), view) for name, view in views.items()}
    assert follower.best_view() == (views["node2"], "http://node2")
    follower.watch.leader = "node3"
    assert follower.best_view() == (views["node3"], "http://node3")


def test_an_age_is_short() -> None:
    assert [age(None), age(0), age(1_250), age(119_000), age(180_000)] == ["-", "0.0 s", "1.2 s", "119.0 s", "3 min"]
