"""Failover tests of real nodes: each way in which the leader is lost, and a tester that dies."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rppam.failover_test.page import report_in
from tests.support import prefork
from tests.support.lab import Lab, eventually
from tests.support.lab_fixtures import MakeLab

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.alone]

ALL = dict.fromkeys(("switchover", "stop", "kill", "isolate", "redisFailover"), True)


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    made = make_lab(times="default")
    for node in made.nodes:
        node.config["settings"]["failoverTest/allowedMethods"] = ALL
    made.start()
    return made


def words(lab: Lab, method: str, *more: str | Path) -> list[str | Path]:
    node = lab.nodes[0]
    urls = [word for one in lab.nodes for word in ("--url", f"http://127.0.0.1:{one.port}")]
    return ["failover-test", "--config", node.file, *urls, "--method", method, "--yes", "--json", *more]


def kept_all(lab: Lab, folder: Path, method: str, *more: str | Path) -> dict[str, Any]:
    environment = prefork.clean(XDG_STATE_HOME=str(folder))
    ran = prefork.run(*words(lab, method, *more), environment=environment)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}\n{lab.logs()}"
    report: dict[str, Any] = json.loads(ran.stdout)
    return report


def test_each_way_to_lose_the_leader_keeps_all_five_promises(lab: Lab, tmp_path: Path) -> None:
    for method in ("switchover", "stop", "kill", "isolate"):
        lab.wait_until_healthy()
        page = tmp_path / f"{method}.html"
        more = [] if method == "switchover" else ["--seconds", "6"]
        report = kept_all(lab, tmp_path, method, "--report", page, *more)
        assert [one["held"] for one in report["verdicts"]] == [True] * 5
        assert report["writesAcknowledged"] > 5
        assert report_in(page.read_text()) == report
        if method == "switchover":
            assert report["failed"] == 0
    first, page = lab.nodes[0], tmp_path / "isolate.html"
    shown = prefork.run("failover-report", page, "--verify", "--config", first.file, environment=prefork.clean())
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "verified: the ledger's event" in shown.stdout
    page.write_text(json.dumps({**report_in(page.read_text()), "failed": 0, "requests": 1}))
    changed = prefork.run("failover-report", page, "--verify", "--config", first.file, environment=prefork.clean())
    assert changed.returncode == 1
    assert "NOT what was recorded" in changed.stderr


def test_a_node_comes_back_by_itself_when_the_tester_dies(lab: Lab, tmp_path: Path) -> None:
    before = lab.wait_for_leader()
    assert before.process is not None
    command = [sys.executable, "-m", "rppam", *map(str, words(lab, "stop", "--seconds", "5"))]
    with (tmp_path / "out").open("wb") as out:
        tester = subprocess.Popen(command, stdout=out, stderr=out, env=prefork.clean(XDG_STATE_HOME=str(tmp_path)))
    state = tmp_path / "rppam" / "failover-test.json"

    def is_made() -> bool:
        return state.exists() and "stopped" in state.read_text()

    eventually(is_made, within_s=30, what="the fault", say=(tmp_path / "out").read_text)
    tester.send_signal(signal.SIGKILL)
    tester.wait()
    lab.wait_for_leader(other_than=before)
    began = time.monotonic()
    eventually(
        lambda: before.is_running and before.status_of("/system/health/ready") == 200 and not before.leads(),
        within_s=30,
        what="the node again",
        say=lab.logs,
    )
    assert time.monotonic() - began > 2, "it was away"
    lab.wait_until_healthy()
    ran = prefork.run(*words(lab, "switchover"), environment=prefork.clean(XDG_STATE_HOME=str(tmp_path)))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "an earlier test (stop) was interrupted, as its command died after the fault" in ran.stderr
    listed = lab.running()[0].ask("/api/v1/admin/cluster/failover-tests", token=lab.token).body["items"]
    assert [one["state"] for one in listed] == ["finished", "interrupted"]
    users = lab.running()[0].ask("/api/v1/users?search=failover-test", token=lab.token).body
    assert users["total"] == 0
