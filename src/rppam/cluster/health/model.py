"""The cluster as one node sees it at one moment: the single source of every health answer."""

from enum import StrEnum
from typing import Final, NamedTuple

from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.crypto.certificate_expiry import CertificateEnd
from rppam.kernel.finding import Finding
from rppam.kernel.instant import WallMs

CONTROL_PROCESS: Final = "the control process of this node"
"""With this begins every reason that means: nobody can say how the cluster is, as that process is not there."""
FINE: Final = frozenset((MemberStatus.HEALTHY, MemberStatus.MAINTENANCE))


class SafetyLevel(StrEnum):
    """How strongly leadership is protected here. See docs/safety-levels.md."""

    SINGLE = "single"
    """The record alone decides."""
    REPLICATED = "replicated"
    """Every write of the record is confirmed by a replica."""
    VOTED = "voted"
    """A majority of members decides; no store can elect anybody."""


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
    settings_revision: int | None = None
    """How many changes of hot configuration, of all that there ever were, it obeys; ``None``: not known."""
    is_at_url: bool = False
    """Whether it said ``api_url`` itself on the member link that stands, on which each proves who it is; of itself a
    node knows. What only Redis says of an address is shown, and trusted with nothing."""


class VoterKind(StrEnum):
    """Who has a vote."""

    MEMBER = "member"
    WITNESS = "witness"
    STORE = "store"


class VoteView(NamedTuple):
    """One line of the vote ledger, as far as this node knows: the leader knows most."""

    voter: str
    """A node's name; ``redis`` for the store."""
    kind: VoterKind
    votes: int
    """What it is worth; 0 for somebody who is leaving or belongs to the body before a change only."""
    promised_to: str | None
    """Whom it supports now; empty when nobody, ``None`` when this node does not know."""
    promised_ms: int | None
    """For how long still, at least; ``None`` when this node does not know."""
    is_reached: bool
    """Whether this node reaches it now."""
    is_counted: bool
    """On the leader: whether its promise carries the leadership. Elsewhere: whether its vote could be won."""
    reason: str
    """Empty when it is counted; else why not, and what to do."""


class RefusedCount(NamedTuple):
    """What the member link refused for one reason since the node's start."""

    reason: str
    """``foreign``, ``forged``, ``replayed``, ...: see :class:`rppam.cluster.link.rejections.Refused`."""
    times: int
    """How many connections or messages."""


class DiskRoom(NamedTuple):
    """What is left for this account on the disk of one place."""

    place: str
    """``data``, ``logs`` or ``database``."""
    path: str
    free_bytes: int = 0
    size_bytes: int = 0
    free_inodes: int = 0
    size_inodes: int = 0
    """0 where the file system has no fixed number of them."""
    problem: str = ""
    """Why it could not be seen; empty when it could."""


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
    quorum_policy: QuorumPolicy | None = None
    """``None`` where members do not vote and the record alone decides."""
    votes: tuple[VoteView, ...] = ()
    """Everybody who has a vote; empty where members do not vote."""
    electorate_version: str = ""
    """Orders the lists of members: the epoch of the leader that made it, and a step; empty where none is known."""
    pending_change: str = ""
    """Empty, or one sentence: which change of the members is under way, and what it waits for."""
    paused: bool = False
    """Automatic failover is paused: nobody takes over by himself."""
    paused_by: str = ""
    paused_since: WallMs | None = None
    findings: tuple[Finding, ...] = ()
    """What this node found about the live Redis, as ``rppam doctor`` would tell it."""
    redis_password_since: WallMs | None = None
    """When the file was written whose password Redis accepted from this node; ``None`` where it stands in no file."""
    redis_password_mark: str | None = None
    """The same on two members that use the same password; ``None`` where it stands in no file, or without a cluster
    key, without which it tells nothing of the password."""
    certificates: tuple[CertificateEnd, ...] = ()
    """The certificates of this node and of the Redis that it is connected to, for monitoring."""
    no_leader_reason: str = ""
    """Empty while there is a leader; else one sentence: why there is none, and what to do."""
    refused: tuple[RefusedCount, ...] = ()
    """What this node refused on its member link; empty where members do not vote."""
    virtual_ip: str = ""
    """The address that follows leadership; empty where there is none."""
    virtual_ip_here: bool = False
    """Whether it is on this node's host."""
    worker_redis_connected: bool | None = None
    """Whether the process that answers has its own connection to Redis, which is not leadership's; ``None`` where it
    needs none, and in what the control process shows."""

    rooms: tuple[DiskRoom, ...] = ()
    """What is left on the disks that this node writes to."""
    keeps_promises: bool | None = None
    """Whether its disk takes promises; ``None`` where members do not vote."""

    @property
    def healthy(self) -> bool:
        """A leader, quorum, Redis, and every registered node healthy, or in maintenance on purpose."""
        return (
            self.leader is not None
            and self.quorum_met
            and (self.redis_connected or not self.redis_enabled)
            and all(member.status in FINE for member in self.members)
        )
