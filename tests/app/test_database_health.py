"""A database that is away: each node says so within seconds, everywhere, and says what goes on; and that it is back."""

import http.client
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.support import prefork
from tests.support.lab import CALM, HOST, Lab, LabNode, eventually
from tests.support.lab_fixtures import MakeLab
from tests.support.postgres import PASSWORD, Server

pytestmark = [pytest.mark.integration, pytest.mark.pair]

TOLD_S = 5.0


def metrics(node: LabNode) -> list[str]:
    link = http.client.HTTPConnection(HOST, node.port, timeout=5)
    try:
        link.request("GET", "/system/metrics")
        return link.getresponse().read().decode().splitlines()
    finally:
        link.close()


def codes(health: dict[str, Any]) -> set[str]:
    return {one["code"] for one in health["findings"]}


def told(lab: Lab, node: LabNode, holds: Callable[[dict[str, Any]], bool], within_s: float) -> dict[str, Any]:
    """The health of the node once it holds."""

    def look() -> dict[str, Any] | None:
        health = lab.health(node)
        return health if holds(health) else None

    return eventually(look, within_s=within_s, what=f"{node.name} tells it", say=lab.logs)


def cut_off(server: Server, name: str, *, allow: bool) -> None:
    with server.connect() as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allow}")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


def test_each_node_says_that_the_database_is_away_and_what_goes_on(
    make_lab: MakeLab, postgresql: Server, postgresql_url: str
) -> None:
    name = postgresql_url.rpartition("/")[2]
    url = f"postgresql://postgres:{quote(PASSWORD, safe='')}@{postgresql.host}:{postgresql.port}/{name}"
    lab = make_lab(nodes=2, times=CALM)
    for node in lab.nodes:
        node.config["database"]["url"] = url
        node.config["api"]["workers"] = 2
    lab.start()
    leader, epoch = lab.wait_for_leader(), lab.health()["epoch"]
    for node in lab.nodes:
        told(lab, node, lambda health: health["databaseConnected"] is True, 10)
        assert "rppam_database_connected 1" in metrics(node)

    cut_off(postgresql, name, allow=False)
    until = time.monotonic() + TOLD_S
    for node in lab.nodes:
        told(lab, node, lambda health: not health["clusterHealthy"], until - time.monotonic())
        health = told(lab, node, lambda health: "RD-607" in codes(health), until - time.monotonic())
        assert health["databaseConnected"] is False
        told(lab, node, lambda health: "not currently accepting connections" in health["databaseReason"], TOLD_S)
        assert "meanwhile nobody can log in" in health["databaseReason"]
        assert {"rppam_database_connected 0", "rppam_healthy 0"} <= set(metrics(node))
        assert not any("the database does not answer" in one for one in health["warnings"]), "said once"
    for node in lab.nodes:  # each hears it of the other, by its heartbeat
        told(lab, node, lambda health: all(one["databaseConnected"] is False for one in health["nodes"]), 5)
    shown = prefork.run("status", "--config", leader.file)
    assert shown.returncode == 1
    assert "the database cannot be worked with" in shown.stdout
    assert "RD-607" in shown.stdout
    examined = prefork.run("doctor", "--config", leader.file, "--json")
    assert "RD-607" in {one["code"] for one in json.loads(examined.stdout)["findings"]}
    assert "RD-607: The database cannot be reached" in leader.log()

    cut_off(postgresql, name, allow=True)
    lab.wait_until_healthy()

    def noted() -> list[tuple[str, str | None]]:
        past = leader.ask("/api/v1/admin/cluster/history", token=lab.token).body["entries"]
        return [(one["event"], one["facts"].get("code")) for one in past if one["event"].startswith("database-")]

    eventually(lambda: noted()[-1] == ("database-back", None), within_s=5, what="its end is noted", say=lab.logs)
    assert ("database-lost", "RD-607") in noted()
    assert lab.health(leader)["epoch"] == epoch, "who leads did not depend on it"
