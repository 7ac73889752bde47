"""A failover test of Redis behind real Sentinels, over TLS: the replica serves, and nothing is lost."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import prefork
from tests.support.authority import DAY, NOW, Authority
from tests.support.lab import CALM, Lab
from tests.support.lab_fixtures import KIND
from tests.support.redis_servers import need
from tests.support.sentinels import PASSWORD, SENTINEL_PASSWORD, SentinelLab

ALLOWED = ("redisFailover", "switchover", "stop", "kill", "isolate")
METHODS = ("redis-failover", "switchover", "stop", "kill", "isolate")

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.alone, pytest.mark.sentinel]


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[SentinelLab]:
    need(KIND)
    with SentinelLab(KIND, authority=Authority(tmp_path), sentinel_password=SENTINEL_PASSWORD) as lab:
        yield lab


def test_sentinel_promotes_a_replica_and_all_five_promises_are_kept(sentinels: SentinelLab, tmp_path: Path) -> None:
    assert sentinels._authority is not None
    pfx = sentinels._authority.pfx("node", password="pfx word", until=NOW + 12 * DAY)
    with Lab(tmp_path / "lab", 1, nodes=2, times=CALM) as lab:
        for node in lab.nodes:
            node.config["settings"]["failoverTest/allowedMethods"] = dict.fromkeys(ALLOWED, True)
            node.config["redis"] |= {
                "connectionString": f"{sentinels.connection_string},abortConnect=false",
                "password": PASSWORD,
                "tlsEnabled": True,
                "tlsCaPath": str(sentinels._authority.path),
                "tlsCertPath": str(pfx),
                "tlsCertPassword": "pfx word",
            }
        lab.start()
        topology = lab.nodes[0].ask("/api/v1/admin/cluster/failover-tests/redis", token=lab.token).body
        seen = topology["sentinels"]
        assert len(seen) == len(sentinels.sentinels), topology
        assert {(one["primary"], one["problem"]) for one in seen} == {(topology["primary"], "")}
        assert len(topology["replicas"]) == len(sentinels.servers) - 1, topology
        words = ["failover-test", "--config", str(lab.nodes[0].file), "--yes", "--json", "--seconds", "6"]
        environment = prefork.clean(XDG_STATE_HOME=str(tmp_path))
        for method in METHODS:
            ran = prefork.run(*words, "--method", method, environment=environment, timeout=150)
            assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}\n{lab.logs()}"
            report = json.loads(ran.stdout)
            assert [one["held"] for one in report["verdicts"]] == [True] * 5
            assert report["promoted"] not in {"", report["leader"]}
