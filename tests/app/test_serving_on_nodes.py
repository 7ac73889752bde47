"""Workers of a real node die again and again: it leaves leadership to another one, and the others name it."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND
from tests.support.redis_servers import Server, need

pytestmark = pytest.mark.integration

LASTS_S = 120
"""A process counts as dead after ten seconds, is missed for twelve, and starts later and later."""


def kill_workers_of(node: LabNode) -> None:
    """Their names tell them from the control process and the gateway."""
    for pid in node.pids():
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "rppam-worker":
                os.kill(pid, signal.SIGKILL)


def test_a_leader_that_answers_nobody_leads_no_more_and_is_named_until_it_does(tmp_path: Path) -> None:
    need(KIND)
    with Server(KIND) as server, Lab(tmp_path / "lab", server.port, nodes=3, times=CALM) as lab:
        lab.start()
        leader = lab.wait_for_leader()
        other = next(one for one in lab.nodes if one is not leader)

        def named() -> list[str]:
            found: list[dict[str, Any]] = lab.health(other)["findings"]
            return [one["evidence"] for one in found if one["code"] == "RD-707"]

        def named_while_they_die() -> list[str]:
            kill_workers_of(leader)
            return named()

        said = eventually(named_while_they_die, within_s=LASTS_S, what="the other node names it", say=lab.logs)
        assert said == [f"{leader.name}: none of its API workers runs, as it says itself"]
        kill_workers_of(leader)
        assert lab.health(other)["clusterHealthy"] is False
        assert lab.wait_for_leader(other_than=leader) is not leader
        eventually(lambda: not named(), within_s=LASTS_S, what="it answers again", say=lab.logs)
