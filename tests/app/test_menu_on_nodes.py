"""The menu of ``rppam-ha-manager`` on a real terminal, with a real cluster behind it."""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from rppam.failover_test.page import report_in
from tests.app.test_menu import Terminal
from tests.support import prefork
from tests.support.lab import Lab, eventually
from tests.support.lab_fixtures import MakeLab

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair, pytest.mark.long]

SAID_S = 120.0
"""A command starts anew for each item, and a failover test waits for a lease."""
STEP_S = 2.0
"""A form is drawn before it takes keys, and a busy machine takes them to the next field late."""


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    made = make_lab(times="default")
    made.start()
    return made


@pytest.fixture
def terminal(lab: Lab, tmp_path: Path) -> Iterator[Terminal]:
    one = Terminal(tmp_path, lab.nodes[0].file)
    yield one
    one.process.kill()
    one.process.wait()
    os.close(one.ours)


def is_said(lab: Lab, name: str, status: str) -> bool:
    return any(one["nodeName"] == name and one["status"] == status for one in lab.health()["nodes"])


def fill(terminal: Terminal, *keys: str) -> None:
    """Type into a form, and confirm."""
    for one in (*keys, "\t", "\r"):
        time.sleep(STEP_S)
        terminal.type(one)


def test_a_cluster_is_looked_at_changed_and_tested_by_keys_alone(lab: Lab, terminal: Terminal, tmp_path: Path) -> None:
    leader = lab.wait_for_leader()
    standby = next(node for node in lab.nodes if node is not leader).name
    terminal.wait_for("8) Node Maintenance Mode", SAID_S)
    terminal.type("1")
    assert leader.name in terminal.wait_for("exit code 0", SAID_S)

    terminal.type("8")
    terminal.wait_for("on or off")
    fill(terminal, standby, "\t")
    terminal.wait_for(f"maintenance {standby} on")
    terminal.type("y")
    terminal.wait_for("exit code 0", SAID_S, behind=f"$ rppam-ha-manager maintenance {standby} on")
    eventually(partial(is_said, lab, standby, "maintenance"), within_s=20, what=f"{standby} is in maintenance")
    ended = prefork.run("cluster", "maintenance", standby, "off", "--config", leader.file)
    assert ended.returncode == 0, ended.stderr
    lab.wait_until_healthy()
    report = tmp_path / "report.html"
    terminal.type("5")
    terminal.wait_for("Report file")
    fill(terminal, "\t", str(report))
    terminal.wait_for("failover-test --yes")
    terminal.type("y")
    terminal.wait_for("exit code 0", SAID_S, behind="all five promises were kept")
    assert [one["held"] for one in report_in(report.read_text())["verdicts"]] == [True] * 5
    assert lab.wait_for_leader() is not leader
    terminal.type("0")
    assert terminal.process.wait(30) == 0
