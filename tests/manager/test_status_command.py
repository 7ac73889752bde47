"""``rppam status`` against a real node: what it shows, and its exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.demo.running import demo
from tests.support import prefork
from tests.support.ports import free_base

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]


class Running(NamedTuple):
    ready: dict[str, Any]
    place: Path

    @property
    def url(self) -> str:
        return str(self.ready["nodes"][0]["url"])

    @property
    def config(self) -> str:
        return str(self.place / "node1" / "rppam.config")

    @property
    def header(self) -> str:
        return str(self.place / "admin.header")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("status")
    with demo(folder, "--dir", str(folder / "d"), nodes=1) as started:
        ready = started.ready()
        yield Running(ready, Path(ready["directory"]))
        started.process.send_signal(signal.SIGTERM)
        assert started.end() == 0


def status(*options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return prefork.run("status", *options, environment=prefork.clean(**environment))


def test_a_healthy_cluster_is_shown_and_exits_0(running: Running) -> None:
    done = status("--config", running.config)
    assert done.returncode == 0, done.stderr
    for word in ("healthy", "Leader", "node1", "Quorum", "met", "Redis", "connected", "Safety", "single", running.url):
        assert word in done.stdout
    assert "\x1b" not in done.stdout


def test_the_token_comes_from_a_file_or_the_environment_too(running: Running) -> None:
    by_file = status("--url", running.url, "--token-file", running.header, "--json")
    by_environment = status("--url", running.url, "--json", RPPAM_TOKEN=running.ready["adminToken"])
    for done in (by_file, by_environment):
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["leaderNode"] == "node1"


def test_a_cluster_without_redis_exits_1_and_says_why(running: Running) -> None:
    pid = running.ready["redis"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 15
        while (done := status("--config", running.config)).returncode != 1:
            assert time.monotonic() < deadline, done.stdout
        assert "not connected" in done.stdout
    finally:
        os.kill(pid, signal.SIGCONT)
    deadline = time.monotonic() + 20
    while status("--config", running.config).returncode != 0:
        assert time.monotonic() < deadline


def test_no_node_no_token_and_a_bad_token_exit_2(running: Running, tmp_path: Path) -> None:
    nobody = status("--url", f"http://127.0.0.1:{free_base(1)}", "--token-file", running.header)
    assert (nobody.returncode, nobody.stdout) == (2, "")
    assert "no node listens there" in nobody.stderr
    machine = status("--url", f"http://127.0.0.1:{free_base(1)}", "--token-file", running.header, "--json")
    assert "no node listens there" in json.loads(machine.stdout)["error"]
    (tmp_path / "token").write_text("abc.def.ghi")
    refused = status("--url", running.url, "--token-file", str(tmp_path / "token"))
    assert refused.returncode == 2
    assert "refused the token" in refused.stderr
    (tmp_path / "empty").write_text("\n")
    empty = status("--url", running.url, "--token-file", str(tmp_path / "empty"))
    assert (empty.returncode, "expected one token" in empty.stderr) == (2, True)
    none = status("--url", running.url)
    assert (none.returncode, "RPPAM_TOKEN" in none.stderr) == (2, True)
    no_redis = status("--url", f"http://127.0.0.1:{running.ready['redis']['port']}", "--token-file", running.header)
    assert no_redis.returncode == 2
    assert "does not speak HTTP" in no_redis.stderr or "the connection ended" in no_redis.stderr


def test_watching_goes_on_until_it_is_interrupted(running: Running) -> None:
    argv = [
        sys.executable,
        "-m",
        "rppam",
        "status",
        "--config",
        running.config,
        "--watch",
        "--json",
        "--interval",
        "0.2",
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            answers = [json.loads(process.stdout.readline()) for _ in range(3)]
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""
        finally:
            process.kill()
    assert {answer["leaderNode"] for answer in answers} == {"node1"}
