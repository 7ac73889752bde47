"""What the demo says when a process has ended, and when a cluster does not get ready."""

import asyncio
import io
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from rppam.cluster.consensus.heartbeat import Role
from rppam.demo.children import Child
from rppam.demo.events import Event
from rppam.demo.files import DemoOptions
from rppam.demo.follow import Follower
from rppam.demo.redis_server import RedisServer
from rppam.demo.run import READY_S, SLOW_S, _Demo
from rppam.demo.screen import Reporter
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from tests.support.health import seen_health, seen_member


@pytest.fixture
async def running(tmp_path: Path) -> tuple[_Demo, Follower]:
    """A demo of two nodes, of which the second answers."""
    with subprocess.Popen(["true"]) as process:  # noqa: ASYNC220  # nothing else runs in this loop
        nodes = {name: Child(name, process, tmp_path / f"{name}.log", f"again {name}") for name in ("node1", "node2")}
        redis = Child("Redis", process, tmp_path / "redis.log", "again Redis")
    demo = _Demo(DemoOptions(2, 7101, None, None), tmp_path, Reporter(Console(file=io.StringIO())), SystemClock())
    demo._children = nodes
    demo._ssh = {"http://127.0.0.1:7111": "ssh -p 7112 alice+web1@127.0.0.1"}
    demo._redis = RedisServer(redis, 6379, Secret("r"), Secret("n"))
    urls = {"node1": "http://127.0.0.1:7101", "node2": "http://127.0.0.1:7111"}
    follower = Follower(urls, nodes, redis, lambda: Secret("t"))
    view = seen_health("node2", "node2", 7, (seen_member("node2", Role.LEADER),), healthy=False)
    follower._answers["node2"] = (asyncio.get_running_loop().time(), view)
    return demo, follower


async def test_who_killed_something_reads_what_starts_it_again_and_who_answers(
    running: tuple[_Demo, Follower],
) -> None:
    demo, follower = running
    said = "\n".join(demo._hints(Event("node-exited", "node1", 7, "node1 ended."), follower))
    assert "again node1" in said
    assert "http://127.0.0.1:7111" in said, "one that answers, and not the dead one"
    assert "ssh -p 7112 " in said
    assert "7101" not in said
    assert "again Redis" in "\n".join(demo._hints(Event("redis-exited", None, 7, "Redis ended."), follower))
    assert demo._hints(Event("leader-elected", "node2", 7, "node2 leads."), follower) == []


async def test_a_cluster_that_does_not_get_ready_is_told_in_a_line_for_each_node(
    running: tuple[_Demo, Follower], tmp_path: Path
) -> None:
    demo, follower = running
    (tmp_path / "node1.log").write_text("a line of a log\n" * 60)
    follower.problems["node1"] = "connection refused"
    first, *lines, last = demo._why_not_ready(follower).splitlines()
    assert "too busy" in last
    assert first == f"the cluster was not ready within {READY_S:g} s:"
    assert lines == [
        f"  node1: connection refused. Its log: {tmp_path / 'node1.log'}",
        f"  node2: reports leader node2, clusterHealthy false, 1 nodes. Its log: {tmp_path / 'node2.log'}",
    ]
    assert READY_S > 4 * SLOW_S, "a slow machine is waited for"
