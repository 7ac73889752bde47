"""Workers may be locked out of Redis while leadership's older connection stands: health warns of it."""

from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.lab import CALM, HOST, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND
from tests.support.redis_servers import PASSWORD, Server, need

pytestmark = pytest.mark.integration

SAID = "has no connection to Redis, while leadership has one"
ASKED = 8
"""Times in a row, so that each worker of the node is asked, whichever takes the connection."""
OTHER = "a-password-that-no-node-was-given"


def warned(lab: Lab) -> list[list[str]]:
    """The warnings of this kind in each answer."""
    answers = [lab.health()["warnings"] for _ in range(ASKED)]
    return [[one for one in warnings if SAID in one] for warnings in answers]


def gauge(node: LabNode, name: str = "rppam_worker_redis_connected") -> set[str]:
    """What several answers say, at first of the connection of who answers."""
    found: set[str] = set()
    for _ in range(ASKED):
        link = HTTPConnection(HOST, node.port, timeout=5)
        link.request("GET", "/system/metrics")
        lines = link.getresponse().read().decode().splitlines()
        link.close()
        found |= {line.split()[1] for line in lines if line.startswith(f"{name} ")}
    return found


def test_workers_that_redis_refuses_warn_while_leadership_goes_on(tmp_path: Path) -> None:
    need(KIND)
    with Server(KIND) as server, Lab(tmp_path / "lab", server.port, nodes=1, times=CALM) as lab:
        lab.start()
        (node,) = lab.nodes
        eventually(lambda: gauge(node) == {"1"}, within_s=20, what="all workers connected", say=node.log)
        assert not any(warned(lab))
        epoch = lab.health()["epoch"]
        server.ask("CONFIG", "SET", "requirepass", OTHER)
        server.password = OTHER
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        eventually(lambda: all(warned(lab)), within_s=30, what="every worker warns", say=node.log)
        assert gauge(node) == {"0"}
        health = lab.health()
        assert (health["redisConnected"], health["clusterHealthy"]) == (True, True), "leadership's connection stands"
        assert health["epoch"] == epoch
        (told,) = warned(lab)[0]
        assert "WRONGPASS" in told
        assert "Use the password of requirepass, or of the ACL user" in told
        assert PASSWORD not in told
        server.ask("CONFIG", "SET", "requirepass", PASSWORD)
        server.password = PASSWORD
        eventually(lambda: not any(warned(lab)), within_s=30, what="back, and nothing to warn of", say=node.log)
        assert gauge(node) == {"1"}
        assert lab.health()["epoch"] == epoch


def test_without_redis_nothing_is_said_of_it(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", None, nodes=1) as lab:
        (node,) = lab.nodes
        node.config["cluster"] = {"enabled": False}
        node.start()
        eventually(lambda: node.status_of("/system/health/ready") == 200, within_s=20, what="ready", say=node.log)
        assert gauge(node) == set() == gauge(node, "rppam_redis_clock_offset_seconds")
        assert not any(warned(lab))
