"""Failover tests of real nodes that cannot keep a promise: what is broken is named, and why, and no other promise.

Once the lease is longer than a promotion may take, and the database forgets every third write of the test after it has
acknowledged it. Then an administrator comes between, as happens to clusters: pauses failover, ends sessions, puts the
old leader into maintenance. What no node does is shown by nodes that are made up (``test_doctored.py``).
"""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rppam.failover_test.page import report_in
from tests.support import prefork
from tests.support.lab import CALM, Lab, LabNode
from tests.support.lab_fixtures import MakeLab

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair, pytest.mark.long]

SLOW = {**CALM, "leaseMs": 17_000}
FORGETS = """
CREATE TRIGGER forgets AFTER INSERT ON failover_test_writes WHEN NEW.number % 3 = 0 BEGIN
  DELETE FROM failover_test_writes WHERE test_id = NEW.test_id AND number = NEW.number;
END
"""


def test_what_a_cluster_cannot_keep_is_named_with_what_shows_it(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab(times=SLOW)
    for node in lab.nodes:
        node.config["settings"]["failoverTest/allowedMethods"] = {"kill": True}
    lab.start()
    with sqlite3.connect(lab.folder / "rppam.db", timeout=30) as database:
        database.execute(FORGETS)
    database.close()
    urls = [word for one in lab.nodes for word in ("--url", f"http://127.0.0.1:{one.port}")]
    page = tmp_path / "broken.html"
    words: list[str | Path] = [
        "failover-test",
        "--config",
        lab.nodes[0].file,
        *urls,
        "--method",
        "kill",
        "--seconds",
        "6",
        "--yes",
    ]
    environment = prefork.clean(XDG_STATE_HOME=str(tmp_path))
    ran = prefork.run(*words, "--json", "--report", page, environment=environment)
    assert ran.returncode == 1, f"{ran.stdout}\n{ran.stderr}\n{lab.logs()}"
    report = json.loads(ran.stdout)
    why = {one["promise"]: one["why"] for one in report["verdicts"] if not one["held"]}
    assert set(why) == {2, 3}, why
    assert "later than the 15000 ms that are promised" in why[2]
    assert report["promotedAfterMs"] > 15_000
    assert "acknowledged writes some are gone" in why[3]
    assert "(3, 6, 9" in why[3]
    assert report_in(page.read_text()) == report
    assert "<h1>A promise was broken</h1>" in page.read_text()
    shown = prefork.run("failover-report", page, environment=environment)
    assert "later than the 15000 ms" in shown.stdout


UNDER_WAY = "writes are under way"


def paused(lab: Lab, _leader: LabNode) -> None:
    """Nobody may take over any more."""
    answer = lab.nodes[0].ask("/api/v1/admin/cluster/pause", method="PUT", send={"paused": True}, token=lab.new_token())
    assert answer.status == 200, answer


def resumed(lab: Lab, leader: LabNode) -> None:
    """They may again."""
    there = next(node for node in lab.nodes if node is not leader)
    answer = there.ask("/api/v1/admin/cluster/pause", method="PUT", send={"paused": False}, token=lab.new_token())
    assert answer.status == 200, answer


def signed_out(lab: Lab, leader: LabNode) -> None:
    """Everybody's sessions are ended, on a node that is there."""
    there = next(node for node in lab.nodes if node is not leader)
    answer = there.ask("/api/v1/sessions?all=true", method="DELETE", token=lab.new_token())
    assert answer.status == 200, answer


def put_aside(lab: Lab, leader: LabNode) -> None:
    """The old leader is to stand no more."""
    path = f"/api/v1/admin/nodes/{leader.name}/maintenance"
    answer = leader.ask(path, method="PUT", send={"maintenance": True}, token=lab.new_token())
    assert answer.status == 200, answer


@pytest.mark.parametrize(
    ("method", "acts", "broken"),
    [
        (
            "kill",
            {UNDER_WAY: paused, "nobody was promoted": resumed},
            {1: "no standby was promoted while the test watched", 2: "there was no new leader at all"},
        ),
        ("kill", {"ms after the fault": signed_out}, {4: "sessions opened before the fault were refused afterwards"}),
        ("isolate", {"ms after the fault": put_aside}, {5: "others see it as maintenance"}),
    ],
    ids=["promotion", "sessions", "return"],
)
def test_what_an_administrator_breaks_is_named_and_nothing_else(
    make_lab: MakeLab,
    tmp_path: Path,
    method: str,
    acts: dict[str, Callable[[Lab, LabNode], None]],
    broken: dict[int, str],
) -> None:
    lab = make_lab(times="default")
    for node in lab.nodes:
        node.config["settings"]["failoverTest/allowedMethods"] = {method: True}
    lab.start()
    lab.wait_until_healthy()
    report = interrupted(lab, method, tmp_path, acts)
    assert {one["promise"]: one["why"] for one in report["verdicts"] if not one["held"]}.keys() == broken.keys(), report
    for promise, why in broken.items():
        assert why in report["verdicts"][promise - 1]["why"]
    assert report["passed"] is False


def interrupted(lab: Lab, method: str, folder: Path, acts: dict[str, Callable[[Lab, LabNode], None]]) -> dict[str, Any]:
    """The report of a test; as soon as it says one of the words, what belongs to them is done, once."""
    leader = lab.wait_for_leader()
    urls = [word for one in lab.nodes for word in ("--url", f"http://127.0.0.1:{one.port}")]
    words = ["failover-test", "--config", str(lab.nodes[0].file), *urls, "--method", method, "--seconds", "6"]
    command, environment = [sys.executable, "-m", "rppam", *words, "--yes", "--json"], prefork.clean()
    environment["XDG_STATE_HOME"] = str(folder)
    left, said = dict(acts), []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as tester:
        assert tester.stdout is not None
        assert tester.stderr is not None
        for line in tester.stderr:  # its end closes it
            said.append(line)
            for words_of_it in [some for some in left if some in line]:
                left.pop(words_of_it)(lab, leader)
        out = tester.stdout.read()
    assert tester.returncode == 1, f"{out}\n{''.join(said)}\n{lab.logs()}"
    assert not left, said
    report: dict[str, Any] = json.loads(out)
    return report
