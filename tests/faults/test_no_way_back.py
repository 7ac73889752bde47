"""A node whose packets arrive, and to which no packet comes back, is named where an administrator looks."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.faults.lab.cluster import FaultLab, FaultNode, server_kind
from tests.faults.lab.net import CAN, WHY_NOT
from tests.support import prefork

pytestmark = [
    pytest.mark.integration,
    pytest.mark.server,
    pytest.mark.pair,
    pytest.mark.skipif(not (CAN and server_kind().find()) and not os.environ.get("CI"), reason=WHY_NOT),
]

NO_ANSWER = "no answer: look whether that host runs and whether the firewall allows the member port between all nodes"


def member(lab: FaultLab, seen_by: FaultNode, name: str) -> dict[str, Any]:
    return next((one for one in lab.health(seen_by)["nodes"] if one["nodeName"] == name), {})


def doctor(node: FaultNode, log: Path) -> dict[str, str]:
    """What it finds, run on the node's own host: evidence by code."""
    node.host.start_rppam(("doctor", "--config", str(node.file), "--json"), log, prefork.clean()).wait(300)
    (line,) = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return {one["code"]: one["evidence"] for one in json.loads(line)["findings"]}


def test_a_newcomer_that_nobody_reaches_is_named_and_counts_once_somebody_does(tmp_path: Path) -> None:
    with FaultLab(tmp_path / "lab", policy="majority", times="default") as lab:
        first, second, third = lab.nodes
        lab.store.start()
        first.start()
        second.start()
        lab.wait_for_leader()
        for one in (first, second):
            lab.net.cut(one.host, third.host)
        third.start()
        lab.wait_until(
            lambda: NO_ANSWER in json.dumps(lab.health(first)) and member(lab, first, "node3"),
            "health names the node that nobody reaches",
            90,
        )
        found = doctor(first, tmp_path / "doctor")
        assert "node3" in found["RD-912"], found
        lab.net.heal()
        lab.wait_until_healthy(within_s=90)
