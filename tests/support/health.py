"""The health of a cluster as one node tells it, for tests of what is made of it."""

from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.health.model import ClusterHealth, MemberView


def seen_member(
    name: str, role: Role, status: MemberStatus = MemberStatus.HEALTHY, age_ms: int | None = None
) -> MemberView:
    return MemberView(name, "host", role, status, None, age_ms, True, 7, "1.0.0", "", 0)


def seen_health(
    node: str,
    leader: str | None,
    epoch: int,
    members: tuple[MemberView, ...],
    *,
    healthy: bool = True,
    redis: bool = True,
) -> ClusterHealth:
    return ClusterHealth(
        cluster_id="c",
        node=node,
        role=next((one.role for one in members if one.node == node), Role.STANDBY),
        leader=leader,
        epoch=epoch,
        healthy=healthy,
        members=members,
        quorum_met=redis,
        quorum_reason="",
        redis_connected=redis,
        redis_reason="" if redis else "connection refused",
        safety_level="single",
        time="2026-11-18T11:06:41Z",
    )
