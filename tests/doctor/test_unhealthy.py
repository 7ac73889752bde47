"""That a cluster is not healthy is said with the reason."""

from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.doctor.check_node import judge
from rppam.doctor.report import Report
from tests.support.health import seen_health, seen_member


def evidence(status: MemberStatus) -> str:
    members = (seen_member("node1", Role.LEADER), seen_member("node2", Role.STANDBY, status))
    report = Report()
    judge(seen_health("node1", "node1", 7, members, healthy=False), report, redis_enabled=True)
    return next(one.evidence for one in report.findings if one.code == "RD-703")


def test_it_names_who_is_missing() -> None:
    assert evidence(MemberStatus.UNREACHABLE) == "clusterHealthy: false; node2 is unreachable"


def test_maintenance_is_no_reason() -> None:
    assert evidence(MemberStatus.MAINTENANCE) == "clusterHealthy: false"
