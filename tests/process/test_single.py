"""``--single-process``: the same node without a supervisor."""

import os
import subprocess
import sys

import pytest

from rppam.process.linux import children_of
from tests.support.lab import CALM
from tests.support.lab_fixtures import MakeLab

pytestmark = [pytest.mark.integration, pytest.mark.server]


def test_a_node_in_a_single_process_leads_and_ends_with_0(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=1, times=CALM)
    [node] = lab.nodes
    node.write_config()
    words = [sys.executable, "-m", "rppam", "node", "--single-process", "--config", str(node.file)]
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("RPPAM_", "NOTIFY_"))}
    with node.log_file.open("ab") as out:
        node.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=ours
        )
    assert lab.wait_for_leader() is node
    assert children_of(node.process.pid) == {}
    lab.wait_until_healthy()
    written = node.ask("/api/v1/admin/cluster/note", method="PUT", token=lab.token, send={"text": "alone"})
    assert written.status == 200
    node.term()
    assert node.wait() == 0
    assert "stopped" in node.log()
