"""What a node says of itself, when another node asks it over the member link."""

from typing import NamedTuple

from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.health.model import ClusterSnapshot


class NodeReport(NamedTuple):
    """Short on purpose: what cannot be learned of a node by its heartbeats, or not so that it can be relied on."""

    node: str
    version: str
    role: Role
    leader: str | None
    """Who leads, as it sees it."""
    epoch: int
    healthy: bool
    """Whether it sees a healthy cluster."""
    redis_connected: bool
    redis_password_mark: str | None
    """See :attr:`rppam.cluster.health.model.ClusterSnapshot.redis_password_mark`."""
    paused: bool
    url: str
    """Where its REST API answers."""


def report_of(seen: ClusterSnapshot) -> NodeReport:
    """What a node says of itself."""
    own = next((member for member in seen.members if member.node == seen.node), None)
    return NodeReport(
        seen.node,
        own.version if own else "",
        seen.role,
        seen.leader,
        seen.epoch,
        seen.healthy,
        seen.redis_connected,
        seen.redis_password_mark,
        seen.paused,
        own.api_url if own else "",
    )
