"""``--single-process``: the same node without a supervisor."""

import pytest

from rppam.process.linux import children_of
from tests.support import prefork
from tests.support.lab import CALM
from tests.support.lab_fixtures import MakeLab

pytestmark = [pytest.mark.integration, pytest.mark.server]


def test_a_node_in_a_single_process_leads_and_ends_with_0(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=1, times=CALM)
    [node] = lab.nodes
    node.write_config()
    with node.log_file.open("ab") as out:
        words = ("node", "--single-process", "--config", node.file)
        node.process = prefork.start(*words, output=out, environment=prefork.clean())
    assert lab.wait_for_leader() is node
    assert children_of(node.process.pid) == {}
    lab.wait_until_healthy()
    written = node.ask("/api/v1/admin/cluster/note", method="PUT", token=lab.token, send={"text": "alone"})
    assert written.status == 200
    node.term()
    assert node.wait() == 0
    assert "stopped" in node.log()
