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
            node.config["settings"]["failoverTest/allowedMethods"] = {"redisFailover": True, "kill": True}
            node.config["redis"] |= {
                "connectionString": f"{sentinels.connection_string},abortConnect=false",
                "password": PASSWORD,
                "tlsEnabled": True,
                "tlsCaPath": str(sentinels._authority.path),
                "tlsCertPath": str(pfx),
                "tlsCertPassword": "pfx word",
            }
        lab.start()
        words = ["failover-test", "--config", str(lab.nodes[0].file), "--yes", "--json"]
        environment = prefork.clean(XDG_STATE_HOME=str(tmp_path))
        for method in ("redis-failover", "kill"):
            ran = prefork.run(*words, "--method", method, environment=environment)
            assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}\n{lab.logs()}"
            report = json.loads(ran.stdout)
            assert [one["held"] for one in report["verdicts"]] == [True] * 5
            assert report["promoted"] not in {"", report["leader"]}
