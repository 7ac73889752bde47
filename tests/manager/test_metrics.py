"""Metrics over real HTTP, read by the parser of Prometheus' own client."""

from typing import cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rppam import __version__
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.health.model import CertificateView
from rppam.http.serving_errors import MetricsElsewhereError
from rppam.http.times import iso_utc
from rppam.kernel.finding import Finding, Severity
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.manager.metrics import MetricsAccess
from rppam.manager.probes import Probes
from tests.support.served import NOON, Served, member

pytestmark = pytest.mark.integration

PATH = "/system/metrics"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def scraped(served: Served) -> Samples:
    answer = await served.http.get(PATH)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.headers["cache-control"] == "no-store"
    found: Samples = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation, family.name
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, "a series stands once"
            found[key] = sample.value
    return found


async def test_a_scraper_without_a_token_reads_how_the_cluster_stands(served: Served) -> None:
    found = await scraped(served)
    assert found["rppam_info", (("version", __version__),)] == 1
    assert {name: found[name, ()] for name in ("rppam_leader", "rppam_epoch", "rppam_quorum_met")} == {
        "rppam_leader": 1,
        "rppam_epoch": 7,
        "rppam_quorum_met": 1,
    }
    assert found["rppam_members", (("status", "healthy"),)] == 3
    assert found["rppam_members", (("status", "unreachable"),)] == 0
    for method in ("HEAD", "OPTIONS"):
        assert (await served.http.request(method, PATH)).status_code == 200
    assert (await served.http.post(PATH)).status_code == 405


async def test_what_is_wrong_shows(served: Served) -> None:
    served.node.permission = None
    served.node.set(
        leader=None,
        no_leader_reason="nobody answers",
        redis_connected=False,
        quorum_met=False,
        ready=False,
        paused=True,
        warnings=("one", "two"),
        store_clock_offset_ms=-1_500,
        members=(
            member("node1", Role.STANDBY),
            member("node2", Role.STANDBY, status=MemberStatus.UNREACHABLE),
            member("node3", Role.WITNESS),
        ),
        findings=(Finding("RD-101", Severity.ERROR, "what", "evidence", "fix"),),
        refused={"forged": 4},
    )
    found = await scraped(served)
    unlabelled = {name: value for (name, labels), value in found.items() if not labels}
    assert unlabelled == {
        "rppam_leader": 0,
        "rppam_leader_seen": 0,
        "rppam_epoch": 7,
        "rppam_ready": 0,
        "rppam_healthy": 0,
        "rppam_quorum_met": 0,
        "rppam_redis_connected": 0,
        "rppam_failover_paused": 1,
        "rppam_virtual_ip": 0,
        "rppam_witnesses": 1,
        "rppam_warnings": 2,
        "rppam_redis_clock_offset_seconds": -1.5,
    }
    assert found["rppam_members", (("status", "unreachable"),)] == 1
    assert found["rppam_findings", (("severity", "error"),)] == 1
    assert found["rppam_member_messages_refused_total", (("reason", "forged"),)] == 4


async def test_the_first_end_of_each_kind_of_certificate_shows_and_no_address_or_name(served: Served) -> None:
    day_ms = 86_400_000
    served.node.set(
        certificates=(
            CertificateView("api", iso_utc(WallMs(NOON + 30 * day_ms)), 0),
            CertificateView("redis authority", iso_utc(WallMs(NOON + 20 * day_ms)), 0),
            CertificateView("redis server 10.0.0.7:6379", iso_utc(WallMs(NOON + 9 * day_ms)), 0),
            CertificateView("redis server 10.0.0.8:6379", iso_utc(WallMs(NOON - day_ms)), 0),
        ),
        warnings=("the certificate of 10.0.0.8 has ended",),
    )
    found = await scraped(served)
    now_ms = served.clock.wall_ms()
    ends = {
        labels[0][1]: now_ms / 1000 + value
        for (name, labels), value in found.items()
        if name == "rppam_certificate_expires_in_seconds"
    }
    assert set(ends) == {"api", "redis authority", "redis server"}
    assert abs(ends["api"] - (NOON + 30 * day_ms) / 1000) < 60
    assert abs(ends["redis server"] - (NOON - day_ms) / 1000) < 60
    text = (await served.http.get(PATH)).text
    assert "10.0.0" not in text
    assert "node2" not in text


TOKEN = "a-token-of-metrics.0123456789"


def asking(served: Served, mode: str) -> None:
    """As ``api.metricsAccess`` says."""
    layer = next(layer for layer in served.app.user_middleware if cast("object", layer.cls) is Probes)
    layer.kwargs["metrics_access"] = MetricsAccess(mode, Secret(TOKEN))


async def test_with_a_token_of_metrics_nobody_else_reads_them(served: Served) -> None:
    asking(served, "token")
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        served.bearer(),
    ):
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = await served.http.request(method, PATH, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="rppam"')
            assert TOKEN not in answer.text
    answer = await served.http.get(PATH, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert "rppam_leader" in answer.text
    assert (await served.http.get("/api/v1/users", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 401
    assert (await served.http.get("/system/health/ping")).status_code == 200, "probes ask for nothing"


@pytest.mark.parametrize(
    ("client", "is_here"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.9", True), ("192.0.2.7", False), ("x", False), (None, False)],
)
def test_metrics_for_the_own_host_alone(client: str | None, is_here: bool) -> None:
    scope: dict[str, object] = {"type": "http", "headers": [], "client": None if client is None else (client, 1)}
    access = MetricsAccess("local")
    if is_here:
        access.check(scope)
    else:
        with pytest.raises(MetricsElsewhereError):
            access.check(scope)
