"""The cluster as one node sees it at one moment: the single source of every health answer."""

from enum import StrEnum
from typing import NamedTuple

from rppam.domain.instant import WallMs
from rppam.domain.member import MemberStatus, Role


class SafetyLevel(StrEnum):
    """How strongly leadership is protected here. See docs/safety-levels.md."""

    SINGLE = "single"
    """The record alone decides."""
    REPLICATED = "replicated"
    VOTED = "voted"


class MemberView(NamedTuple):
    """One member, as this node sees it."""

    node: str
    hostname: str
    role: Role
    status: MemberStatus
    last_heartbeat: WallMs | None
    """When this node last saw a new heartbeat of it, by this node's wall clock."""
    redis_connected: bool
    epoch: int
    version: str
    api_url: str
    boot_id: str
    loop_lag_ms: int


class ClusterSnapshot(NamedTuple):
    """The whole view. ``role`` is what the node held when the snapshot was taken; for acting ask ``may_lead()``."""

    cluster_id: str
    node: str
    boot_id: str
    role: Role
    leader: str | None
    """Name of the leader, or ``None`` when there is provably none or it is not known."""
    epoch: int
    """The leader's epoch, or the highest epoch seen when there is no leader."""
    members: tuple[MemberView, ...]
    redis_enabled: bool
    redis_connected: bool
    redis_reason: str
    """Empty while connected; else one sentence: what is wrong and what to do."""
    quorum_met: bool
    quorum_reason: str
    safety_level: SafetyLevel
    ready: bool
    """Can serve authenticated requests: not draining, not in maintenance."""
    taken_at: WallMs
    store_clock_offset_ms: int | None = None
    """Store's wall clock minus this node's, for people; ``None`` when unknown."""
    warnings: tuple[str, ...] = ()
    """Sentences an administrator should read (licence, foreign data in Redis, ...)."""

    @property
    def healthy(self) -> bool:
        """A leader, quorum, Redis, and every registered node healthy."""
        return (
            self.leader is not None
            and self.quorum_met
            and (self.redis_connected or not self.redis_enabled)
            and all(member.status is MemberStatus.HEALTHY for member in self.members)
        )
