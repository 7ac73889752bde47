"""Real nodes: each leader has its program called, and what is wrong with it stands in health."""

from pathlib import Path

import pytest

from tests.support.lab import CALM, eventually
from tests.support.lab_fixtures import MakeLab

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]


def test_the_next_leader_has_its_program_called_and_a_broken_one_is_told(make_lab: MakeLab, tmp_path: Path) -> None:
    calls, program = tmp_path / "calls", tmp_path / "leader"
    calls.touch()
    program.write_text(f'#!/bin/sh\necho "$RPPAM_EVENT $RPPAM_NODE $RPPAM_EPOCH" >> {calls}\n')
    program.chmod(0o755)
    lab = make_lab(nodes=2, times=CALM)
    for node in lab.nodes:
        node.config["cluster"]["leaderHook"] = str(program)
    lab.start()
    first = lab.wait_for_leader()
    eventually(lambda: f"gained {first.name} " in calls.read_text(), within_s=20, what="a call", say=lab.logs)
    (second,) = (node for node in lab.nodes if node is not first)
    assert second.name not in calls.read_text()
    first.term()
    first.wait()
    assert lab.wait_for_leader(other_than=first) is second
    eventually(lambda: f"gained {second.name} " in calls.read_text(), within_s=20, what="the next", say=lab.logs)
    epochs = [int(line.split()[2]) for line in calls.read_text().splitlines() if line.startswith("gained")]
    assert epochs == sorted(set(epochs))
    program.chmod(0o777)
    first.start()

    def told() -> str:
        found = lab.health(first)["findings"] if first.status_of("/system/health/ready") == 200 else []
        return next((one["evidence"] for one in found if one["code"] == "RD-641"), "")

    evidence = eventually(told, within_s=60, what="a standby tells", say=lab.logs)
    assert evidence.startswith(f"{program}: others than its owner may change it")
