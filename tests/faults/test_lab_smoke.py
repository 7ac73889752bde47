"""The lab itself, in short: one story with real nodes, and a planted split brain that it must find."""

import os
import re
import time
from pathlib import Path

import pytest

from tests.faults.lab.cluster import FaultLab, server_kind
from tests.faults.lab.net import CAN, WHY_NOT
from tests.faults.lab.watch import FOLDER
from tests.support.lab import eventually

pytestmark = [
    pytest.mark.integration,
    pytest.mark.server,
    pytest.mark.alone,
    pytest.mark.skipif(not (CAN and server_kind().find()) and not os.environ.get("CI"), reason=WHY_NOT),
]


def test_a_leader_that_is_isolated_is_replaced_and_comes_back_as_a_standby(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "timelines"))
    with FaultLab(tmp_path / "lab", times="lan") as lab:
        lab.start()
        with lab.watched("smoke") as watch:
            first = lab.wait_for_leader()
            lab.isolate(first)
            second = lab.wait_for_leader(other_than=first)
            eventually(lambda: not first.leads(), within_s=2, what="the isolated one's no", say=lab.logs)
            settled = watch.settle()
            lab.wait_until_healthy()
            assert lab.leaders() == [second], "no failback"
        assert settled.leader_ms < lab.lease_ms, "healing a standby's network takes no leader away"
        assert [span.node for span in watch.spans()] == [first.name, second.name]
        assert watch.facts()["writes_accepted"] > 0
        told = (tmp_path / "timelines" / "smoke.txt").read_text()
        assert f"{first.name}      isolated" in told
        assert f"{second.name}      leads at epoch" in told
        assert (tmp_path / "timelines" / "smoke.svg").read_text().count("leads at epoch") == 2


def test_a_planted_split_brain_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes that look at different records and different databases: both lead, and the judge says so."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "timelines"))
    with FaultLab(tmp_path / "lab", nodes=2, times="lan", shared_database=False) as lab:
        lab.nodes[1].config["redis"]["keyPrefix"] = "elsewhere:"
        lab.nodes[1].config["cluster"]["clusterId"] = "elsewhere"
        lab.store.start()
        for node in lab.nodes:
            node.start()
        eventually(lambda: len(lab.leaders()) == 2, within_s=20, what="two leaders", say=lab.logs)
        lab.shared = True  # a lie: what they write is judged as one register, and is none
        with pytest.raises(AssertionError, match=r"answered 200 for epoch"), lab.watched("split brain"):
            time.sleep(1.0)
    told = (tmp_path / "timelines" / "split-brain.txt").read_text()
    assert re.search(r"VIOLATION: .* answered 200 for epoch \d+ when asked .* ms after node", told)
    assert re.search(r"VIOLATION: node\d wrote .* at epoch \d+, .* ms after node\d wrote at", told)
