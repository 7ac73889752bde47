"""What a running node finds about the live Redis: in health, in the log, in rppam status, with the doctor's codes."""

from typing import Any

import pytest

from tests.support import prefork
from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import KIND, MakeLab
from tests.support.redis_servers import PASSWORD, Server

pytestmark = pytest.mark.integration


def codes(lab: Lab, node: LabNode) -> dict[str, dict[str, Any]]:
    return {one["code"]: one for one in lab.health(node)["findings"]}


def reconnect(server: Server) -> None:
    """The node comes back at once, and looks anew."""
    server.ask("CLIENT", "KILL", "TYPE", "pubsub")


def test_findings_come_and_go_with_the_server_and_never_show_the_password(make_lab: MakeLab) -> None:
    with Server(KIND) as server:
        lab = make_lab(nodes=1, votes=False, times=CALM, redis_port=server.port)
        (node,) = lab.nodes
        lab.start()
        leader = lab.health(node)["epoch"]
        eventually(lambda: "RD-309" in codes(lab, node), within_s=60, what="the first check", say=lab.logs)
        assert not {"RD-303", "RD-307", "RD-310"} & codes(lab, node).keys()

        server.ask("CONFIG", "SET", "appendonly", "no")
        server.ask("CONFIG", "SET", "maxmemory", str(300 * 1024 * 1024))
        server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        reconnect(server)
        found = eventually(
            lambda: codes(lab, node) if {"RD-303", "RD-307"} <= codes(lab, node).keys() else {},
            within_s=60, what="AOF and policy are found", say=lab.logs,
        )  # fmt: skip
        assert (found["RD-303"]["severity"], found["RD-306"]["severity"]) == ("error", "note")
        assert found["RD-303"]["evidence"] == "INFO persistence: aof_enabled:0"
        assert "appendonly yes" in found["RD-303"]["fix"]
        eventually(lambda: "RD-307 error:" in node.log(), within_s=60, what="the log has it", say=lab.logs)
        assert "RD-306" not in node.log(), "notes are not logged"
        screen = prefork.run("status", "--config", node.file).stdout
        assert "RD-303" in screen
        assert "RD-306" not in screen

        server.ask("CONFIG", "SET", "appendonly", "yes")
        server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        reconnect(server)
        eventually(lambda: not {"RD-303", "RD-307"} & codes(lab, node).keys(), within_s=60, what="gone", say=lab.logs)
        eventually(lambda: "RD-307 is no longer found" in node.log(), within_s=60, what="logged", say=lab.logs)
        assert lab.health(node)["epoch"] == leader, "looking cost no leadership"

        server.kill()
        eventually(lambda: "RD-101" in codes(lab, node), within_s=60, what="the reason as a finding", say=lab.logs)
        assert PASSWORD not in node.log()
        assert PASSWORD not in str(lab.health(node))


def test_a_server_that_hangs_in_the_middle_of_a_check_costs_the_node_nothing(make_lab: MakeLab) -> None:
    """The check waits in the background; health answers, and says why."""
    with Server(KIND) as server:
        lab = make_lab(nodes=1, votes=False, times=CALM, redis_port=server.port)
        (node,) = lab.nodes
        lab.start()
        server.stop()
        eventually(
            lambda: {"RD-105", "RD-102", "RD-111"} & codes(lab, node).keys(), within_s=60, what="silent", say=lab.logs
        )
        assert node.status_of("/system/health/live") == 200
        server.cont()
        eventually(lambda: lab.health(node)["redisConnected"], within_s=60, what="back", say=lab.logs)
        eventually(lambda: "RD-309" in codes(lab, node), within_s=60, what="checked again", say=lab.logs)
