"""That a cluster is not healthy is said with the reason."""

from msgspec.structs import replace

from rppam.catalogue.table import finding
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.db.condition import found
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


def test_it_says_why_nobody_leads() -> None:
    members = (seen_member("node1", Role.STANDBY), seen_member("node2", Role.STANDBY, MemberStatus.UNREACHABLE))
    view = replace(
        seen_health("node1", None, 7, members, healthy=False), no_leader_reason="node2 holds a promise for 3 s"
    )
    report = Report()
    judge(view, report, redis_enabled=True)
    [found] = [one for one in report.findings if one.code == "RD-703"]
    assert "no node leads: node2 holds a promise for 3 s" in found.evidence


def test_what_a_dead_node_said_last_is_no_news() -> None:
    members = (
        seen_member("node1", Role.LEADER),
        replace(
            seen_member("node2", Role.STANDBY, MemberStatus.UNREACHABLE),
            redis_connected=False,
            database_connected=False,
        ),
        replace(seen_member("node3", Role.STANDBY), redis_connected=False),
    )
    report = Report()
    judge(seen_health("node1", "node1", 7, members, healthy=False), report, redis_enabled=True)
    (alive,) = [one for one in report.findings if one.code == "RD-705"]
    assert alive.evidence == "node3 (healthy): redisConnected false"
    (cluster,) = [one for one in report.findings if one.code == "RD-703"]
    assert "node2 is unreachable" in cluster.evidence
    assert "RD-629" not in {one.code for one in report.findings}


def test_what_a_healthy_node_warns_of_is_told_once() -> None:
    members = (seen_member("node1", Role.LEADER), seen_member("node2", Role.STANDBY))
    view = replace(seen_health("node1", "node1", 7, members), warnings=("api.host: no TLS", "the licence ends soon"))
    report = Report()
    report.add(finding("RD-613", "api.host: no TLS"))
    judge(view, report, redis_enabled=True)
    assert [one.evidence for one in report.findings if one.code == "RD-708"] == ["the licence ends soon"]
    assert not [one for one in report.findings if one.code == "RD-703"]


def test_the_fix_is_that_of_the_node_which_knows_what_its_database_is() -> None:
    members = (seen_member("node1", Role.LEADER),)
    own = found("RD-607", "the file is not there any more", is_file=True)
    view = replace(seen_health("node1", "node1", 7, members, healthy=False), findings=(own,))
    report = Report()
    judge(view, report, redis_enabled=False)
    (told,) = [one for one in report.findings if one.code == "RD-607"]
    assert told.evidence == "the running node says: the file is not there any more"
    assert told.fix == own.fix


def test_redis_is_a_reason_and_a_warning_is_none() -> None:
    members = (
        seen_member("node1", Role.STANDBY),
        replace(seen_member("node2", Role.STANDBY, MemberStatus.UNREACHABLE), redis_connected=False),
    )
    why = "1 of 3 votes can be won, 2 are needed"
    view = replace(
        seen_health("node1", None, 7, members, healthy=False),
        redis_connected=False,
        redis_reason="connection refused",
        quorum_reason=why,
        no_leader_reason=f"{why}; start node2",
        warnings=("the licence ends soon",),
    )
    report = Report()
    judge(view, report, redis_enabled=True)
    told = {one.code: one.evidence for one in report.findings}
    assert told["RD-703"].count(why) == 1
    assert "no connection to Redis: connection refused" in told["RD-703"]
    assert "licence" not in told["RD-703"]
    assert told["RD-708"] == "the licence ends soon"
    assert "node2 (unreachable): not heard now" in told["RD-706"], "what it said last is no news"
