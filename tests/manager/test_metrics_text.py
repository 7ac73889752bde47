"""The text of the metrics, line by line: dashboards and alerts depend on names, labels, types and the form of numbers.

``metrics_text.txt`` was made by the first release's own code.
"""

from pathlib import Path

from msgspec.structs import replace

from rppam import __version__
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.health.model import CertificateView, ClusterSnapshot, DiskRoom
from rppam.http.times import iso_utc
from rppam.kernel.finding import Finding, Severity
from rppam.kernel.instant import WallMs
from rppam.manager.metrics import metrics_of, metrics_text
from tests.support.health import seen_member

NOW = WallMs(1_795_000_000_500)
SEEN = ClusterSnapshot(
    cluster_id="c",
    node="node1",
    role=Role.LEADER,
    leader="node1",
    epoch=1_795_478_281_576,
    members=(
        seen_member("node1", Role.LEADER),
        seen_member("node2", Role.STANDBY, MemberStatus.SUSPECT),
        seen_member("w", Role.WITNESS),
    ),
    redis_enabled=True,
    redis_connected=True,
    redis_reason="",
    quorum_met=True,
    quorum_reason="",
    safety_level="single",
    ready=True,
    time=iso_utc(NOW),
    store_clock_offset_ms=-1_500,
    warnings=("a", "b"),
    findings=(Finding("RD-101", Severity.ERROR, "w", "e", "f"),),
    certificates=(
        CertificateView("api", iso_utc(WallMs(1_796_000_000_000)), 11),
        CertificateView("redis server 10.0.0.7:6379", iso_utc(WallMs(1_794_000_000_000)), -12),
        CertificateView("redis server 10.0.0.8:6379", iso_utc(WallMs(1_796_000_000_000)), 11),
    ),
    refused={"forged": 4, 'replayed "x"\\': 2},
    virtual_ip="10.0.0.9",
    virtual_ip_here=True,
    worker_redis_connected=True,
    rooms=(DiskRoom("data", "/d", 123_456_789_012, 2, 3, 4), DiskRoom("logs", "/l", problem="gone")),
    keeps_promises=True,
)


def test_the_text_is_the_first_release_s_to_the_letter() -> None:
    before = Path(__file__).with_name("metrics_text.txt").read_text(encoding="utf-8").replace("VERSION", __version__)
    assert metrics_text(metrics_of(SEEN, None, NOW)).decode() == before


def test_what_is_not_known_has_no_series() -> None:
    bare = replace(SEEN, refused={}, rooms=(), certificates=(), findings=(), keeps_promises=None)
    text = metrics_text(metrics_of(bare, 7, NOW)).decode()
    assert "rppam_leader 1\n" in text
    for name in ("refused", "disk", "certificate", "findings", "promises"):
        assert name not in text
