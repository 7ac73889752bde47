"""A real node's metrics and health tell how far a SIEM target is behind."""

import http.client
import re

import pytest

from tests.support.lab import CALM, HOST, LabNode, eventually
from tests.support.lab_fixtures import MakeLab
from tests.support.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.server]


def numbers(node: LabNode) -> dict[str, float]:
    link = http.client.HTTPConnection(HOST, node.port, timeout=5)
    try:
        link.request("GET", "/system/metrics")
        text = link.getresponse().read().decode()
    finally:
        link.close()
    lines = re.findall(r'^rppam_(siem_\w+)\{target="[^"]+"\} (\S+)$', text, re.MULTILINE)
    return {name: float(value) for name, value in lines}


def test_metrics_of_a_node_tell_how_much_waits_how_long_and_that_nothing_is_taken(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=1, times=CALM)
    lab.start()
    node = lab.wait_for_leader()
    assert numbers(node) == {}
    body = {"name": "logs", "kind": "syslog", "url": f"tcp://{HOST}:{free_port()}", "fromStart": True}
    body["options"] = {"flushSeconds": 0}
    made = node.ask("/api/v1/siem/targets", method="POST", send=body, token=lab.token)
    assert made.status == 201, made

    def seen() -> dict[str, float] | None:
        found = numbers(node)
        return found if found.get("siem_failing_seconds", 0) > 0 else None

    found = eventually(seen, within_s=90, what="the metrics name the target", say=lab.logs)
    assert found["siem_waiting_events"] >= 3
    assert found["siem_lag_seconds"] >= found["siem_failing_seconds"]
    shown = node.ask("/api/v1/siem/targets", token=lab.token).body["items"][0]
    assert shown["lagSeconds"] >= int(found["siem_lag_seconds"])
    assert "refused" in shown["problem"]
