"""Nodes as people run them, behind Sentinel: leadership survives or comes again, and epochs only rise."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.authority import DAY, NOW, Authority
from tests.support.lab import CALM, Lab, eventually
from tests.support.lab_fixtures import KIND, LABS
from tests.support.ports import free_port
from tests.support.redis_servers import need
from tests.support.sentinels import NAME, PASSWORD, SENTINEL_PASSWORD, SentinelLab
from tests.support.watching import Eyes

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.alone, pytest.mark.sentinel]


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[SentinelLab]:
    """TLS with client certificates everywhere, and a password of the sentinels' own."""
    need(KIND)
    with SentinelLab(KIND, authority=Authority(tmp_path), sentinel_password=SENTINEL_PASSWORD) as lab:
        yield lab


def behind(sentinels: SentinelLab, folder: Path, request: pytest.FixtureRequest, nodes: int = 2) -> Lab:
    """Nodes that reach Redis through these sentinels."""
    assert sentinels._authority is not None
    pfx = sentinels._authority.pfx("node", password="pfx word", until=NOW + 12 * DAY)
    lab = Lab(folder / "lab", 1, nodes=nodes, times=CALM)
    for node in lab.nodes:
        node.config["redis"] |= {
            "connectionString": f"{sentinels.connection_string},abortConnect=false",
            "password": PASSWORD,
            "tlsEnabled": True,
            "tlsCaPath": str(sentinels._authority.path),
            "tlsCertPath": str(pfx),
            "tlsCertPassword": "pfx word",
        }
    request.node.stash.setdefault(LABS, []).append(lab)
    return lab


def test_failovers_of_every_kind_leave_one_leader_and_no_lower_epoch(
    sentinels: SentinelLab, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with behind(sentinels, tmp_path, request) as lab:
        lab.start()
        health = lab.health()
        assert health["safetyLevel"] == "replicated"
        warnings = " ".join(health["warnings"])
        assert "(CN=node) expires in 1" in warnings
        assert "the certificate of the server at 127.0.0.1:" in warnings
        ends = {one["certificate"]: one["daysLeft"] for one in health["certificates"]}
        assert ends["redis client"] == 11
        servers = {name: days for name, days in ends.items() if name.startswith("redis server 127.0.0.1:")}
        assert len(servers) == 4, "the primary and three sentinels"
        assert all(0 <= days <= 30 for days in servers.values())
        epochs = [health["epoch"]]
        pids = [node.process.pid for node in lab.nodes if node.process]
        with Eyes({node.name: node.port for node in lab.nodes}, every_ms=20) as eyes:
            sentinels.failover()
            lab.wait_until_healthy()
            epochs.append(lab.health()["epoch"])
            sentinels.settle()

            frozen = sentinels.primary
            frozen.stop()
            eventually(lambda: sentinels.primary is not frozen, within_s=90, what="a promotion", say=lab.logs)
            lab.wait_until_healthy()
            epochs.append(lab.health()["epoch"])
            frozen.cont()
            sentinels.settle()

            killed = sentinels.primary
            killed.kill()
            eventually(lambda: sentinels.primary is not killed, within_s=90, what="a promotion", say=lab.logs)
            killed.restart()
            lab.wait_until_healthy()
            epochs.append(lab.health()["epoch"])
            time.sleep(0.5)
        eyes.check()
        assert epochs == sorted(epochs), "an epoch went down"
        assert [node.process.pid for node in lab.nodes if node.process] == pids, "a node was restarted"
        assert all(node.is_running for node in lab.nodes)


def test_a_service_name_that_nobody_knows_ends_the_start_with_the_names_there_are(
    sentinels: SentinelLab, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    lab = behind(sentinels, tmp_path, request, nodes=1)
    (node,) = lab.nodes
    string = node.config["redis"]["connectionString"].replace(NAME, "other").replace("=false", "=true")
    node.config["redis"]["connectionString"] = f"{string},connectRetry=1"
    node.config["api"]["port"] = free_port()
    node.start()
    assert node.wait() == 69
    assert f"do not know 'other'; they know: {NAME}" in node.log()
    assert PASSWORD not in node.log()
