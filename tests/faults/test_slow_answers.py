"""A request through the virtual address is answered, although the leader is told to go before it is."""

import http.client
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.lab.cluster import FaultLab, FaultNode
from tests.faults.lab.net import CAN, WHY_NOT, Host
from tests.faults.lab.observers import API_PORT
from tests.faults.lab.wire import Kernels

pytestmark = [
    pytest.mark.integration,
    pytest.mark.server,
    pytest.mark.pair,
    pytest.mark.skipif(not CAN and not os.environ.get("CI"), reason=WHY_NOT),
]
SHARED = "10.78.0.200"
SWITCHED_S, STOPPED_S = 1.3, 0.7
"""How long the request takes: less than an order waits for, more than a lease leaves."""


def asked(client: Host, token: str, takes_s: float, meanwhile: Callable[[], object]) -> int:
    """Ask with a body that comes ``takes_s`` late; do the deed in between, and return the status."""
    body = json.dumps({"username": "somebody without the rest"}).encode()
    link = http.client.HTTPConnection("rppam", timeout=10)
    link.sock = client.connect(SHARED, API_PORT, 5.0)
    link.putrequest("POST", "/api/v1/users")
    link.putheader("Authorization", f"Bearer {token}")
    link.putheader("Content-Type", "application/json")
    link.putheader("Content-Length", str(len(body)))
    link.endheaders()
    time.sleep(0.4)  # so that it is no newcomer any more
    deed = threading.Thread(target=meanwhile)
    deed.start()
    time.sleep(takes_s)
    link.send(body)
    answer = link.getresponse()
    answer.read()
    link.close()
    deed.join()
    return answer.status


def test_an_order_waits_for_what_is_being_answered(tmp_path: Path) -> None:
    with FaultLab(tmp_path / "lab", times="default", policy="majority", virtual_ip=f"{SHARED}/24") as lab:
        lab.start()
        client = lab.net.add("client")
        with Kernels([node.host for node in lab.nodes], SHARED) as kernels:
            first = settled(lab)
            assert asked(client, lab.token, SWITCHED_S, lambda: lab.switch_over(first)) == 400
            second = lab.wait_for_leader(other_than=first)
            assert settled(lab) == second
            assert asked(client, lab.token, STOPPED_S, second.term) == 400
            second.wait()
            lab.wait_for_leader(other_than=second)
        assert kernels.violations() == []


def settled(lab: FaultLab) -> FaultNode:
    lab.wait_until_healthy()
    time.sleep(lab.lease_ms / 1000)
    return lab.wait_for_leader()
