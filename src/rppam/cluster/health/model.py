"""The health of a cluster as one node sees it: the one schema of the shared page, the REST API and the commands.

Each type is its own JSON, in the product's camelCase names. A reader ignores fields that it does not know, and a field
that comes later has a default, so two releases understand each other.
"""

import json
from enum import StrEnum
from typing import ClassVar, Final

import msgspec
from msgspec import UnsetType, field

from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.kernel.finding import Finding, Severity

CONTROL_PROCESS: Final = "the control process of this node"
"""With this begins every reason that means: nobody can say how the cluster is, as that process is not there."""
OTHERS_MAX: Final = 100
"""How many nodes are shown beside those that vote, where not all can be."""
ALONE: Final = "this node runs alone, without Redis: redis.enabled is false"
"""Why such a node has no connection to Redis."""
FINE: Final = frozenset((MemberStatus.HEALTHY, MemberStatus.MAINTENANCE))


OF_THE_NAME: Final = tuple(f"RD-{number}" for number in range(633, 641))
"""Why the cluster's name in DNS does not follow the leader."""
UNHEALTHY: Final = frozenset(
    (
        *("RD-603", "RD-618", "RD-619", "RD-630", "RD-631", "RD-632", *OF_THE_NAME, "RD-641", "RD-707"),
        *("RD-902", "RD-908", "RD-956"),
    )
)
"""Findings with which no cluster is healthy, whatever its nodes say: a promise file that keeps nothing, a ledger that
is not what was recorded, an address or a name that is not where it should be, a program that did not move one, nodes
that answer no requests, have no vote, or lack the vault's master key or the signing keys. As notes they say less."""


def is_grave(found: Finding) -> bool:
    """Return whether no cluster is healthy with this finding."""
    return found.code in UNHEALTHY and found.severity is not Severity.NOTE


class SafetyLevel(StrEnum):
    """How strongly leadership is protected here. See docs/safety-levels.md."""

    SINGLE = "single"
    """The record alone decides."""
    REPLICATED = "replicated"
    """Every write of the record is confirmed by a replica."""
    VOTED = "voted"
    """A majority of members decides; no store can elect anybody."""


class VoterKind(StrEnum):
    """Who has a vote."""

    MEMBER = "member"
    WITNESS = "witness"
    STORE = "store"


class Value(msgspec.Struct, frozen=True, rename="camel"):
    """Base of all. ``schema_name`` is the name in the OpenAPI document, where it is not that of the class."""

    schema_name: ClassVar[str] = ""


class MemberView(Value, frozen=True):
    """One node as the answering node sees it."""

    schema_name: ClassVar[str] = "NodeShape"
    node: str = field(name="nodeName")
    hostname: str
    role: Role
    status: MemberStatus
    last_heartbeat: str | None
    """When the answering node last saw a new heartbeat of it; ISO 8601, UTC."""
    heartbeat_age_ms: int | None
    redis_connected: bool | UnsetType
    epoch: int
    version: str
    api_url: str = field(name="url")
    loop_lag_ms: int
    settings_revision: int | None = None
    """How many changes of settings, of all that there ever were, each of its processes obeys; the same number on all
    nodes means the same settings. null: not known, or a witness."""
    is_at_url: bool = field(name="addressProven", default=False)
    """Whether this node said `url` itself, on the member link that stands, on which each proves who it is; of itself
    the answering node knows. An address that is not proven stands in Redis alone: send no token there."""
    database_connected: bool | None = None
    """Whether every process of this node can work with the database, as it says itself. null: not known, or a
    witness."""
    has_vote: bool | None = None
    """Whether it is on the list of members that the answering node goes by: else it does not vote and cannot lead.
    null: members do not vote here, or there is no list yet."""
    has_virtual_ip: bool | None = None
    """Whether the virtual address is on its host, as it says itself. null: its config names none, or not known."""
    says_config: bool = field(name="tellsConfig", default=False)
    """Whether it says in its heartbeats what it has of the settings that must be the same everywhere."""


class AdminMemberView(MemberView, frozen=True, kw_only=True):
    """As `NodeShape`, with the product's name for the node's id."""

    schema_name: ClassVar[str] = "AdminNodeShape"
    node_id: str


class VoteView(Value, frozen=True):
    """One line of the vote ledger, as the answering node knows it; ask the leader for the most."""

    schema_name: ClassVar[str] = "VoteShape"
    voter: str
    """A node's name; `redis` for the leadership record in Redis."""
    kind: VoterKind
    votes: int
    promised_to: str | None
    """Whom it supports now; null when nobody, or not known."""
    promised_ms: int | None
    """For how long still, 0 when it supports nobody; null when not known."""
    is_reached: bool = field(name="reached")
    is_counted: bool = field(name="counted")
    """On the leader: its promise carries the leadership. Elsewhere: its vote could be won."""
    reason: str
    """Empty when counted; else why not."""


class CertificateView(Value, frozen=True):
    """A certificate that the answering node depends on."""

    schema_name: ClassVar[str] = "CertificateShape"
    certificate: str
    """`api`, `redis client`, `redis authority`, or `redis server` with its address (sentinels as well)."""
    expires_at: str
    days_left: int
    """Whole days; negative once it is over. From 30 on there is a warning."""


class NameView(Value, frozen=True):
    """The name in DNS that follows the leader, as the answering node read it from the name server."""

    schema_name: ClassVar[str] = "DnsNameShape"
    name: str
    addresses: tuple[str, ...] = ()
    """What it points to."""
    node: str | None = None
    """The leader that wrote them; null: none did, or not known."""
    epoch: int | None = None
    """At which it led."""
    since: str | None = None
    """When it wrote them, by its clock; null: not known."""
    read_at: str | None = None
    """When the answering node last read this; null: it could not yet."""
    problem: str = ""
    """Empty while it points to the leader, and the answering node could write it if it led; else what is wrong."""


class NoteView(Value, frozen=True):
    """The operator note."""

    schema_name: ClassVar[str] = "NoteShape"
    text: str = ""
    author: str | None = None
    epoch: int | None = None
    """The leadership under which it was written."""
    node: str | None = None
    written_at: str | None = None
    """By the database's clock."""


class GaugeView(Value, frozen=True):
    """A number of a feature, for monitoring."""

    name: str
    meaning: str
    value: float
    label: str = ""
    """The name of its label; empty: it has none."""
    labelled: str = ""


class DiskRoom(Value, frozen=True):
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


class LeadershipView(Value, frozen=True, kw_only=True):
    """Who leads, and by which votes."""

    cluster_id: str
    leader: str | None = field(name="leaderNode")
    """Name of the leader; null when there is none or it is not known."""
    epoch: int
    healthy: bool = field(name="clusterHealthy", default=False)
    """A leader, quorum, Redis, the database, a whole ledger, and every registered node healthy or in maintenance."""
    no_leader_reason: str = ""
    """Empty while there is a leader; else why there is none and what to do."""
    quorum_met: bool
    """The answering node sees promises, or reaches voters, worth more than half of all votes."""
    quorum_reason: str
    """Empty when met; else how many votes are missing and whose."""
    quorum_policy: str | None = None
    """`last-man-standing` or `majority`; null where members do not vote and the Redis record alone decides."""
    votes: tuple[VoteView, ...] = ()
    """The vote ledger; empty where members do not vote."""
    electorate_version: str = ""
    """Orders the lists of members: the leader's epoch and a step."""
    pending_change: str = ""
    """Empty, or which change of the members is under way and what it waits for."""


class RedisView(LeadershipView, frozen=True, kw_only=True):
    """The same, with what is kept in Redis."""

    paused: bool = False
    """Automatic failover is paused."""
    paused_by: str = ""
    paused_since: str | None = None
    redis_connected: bool
    redis_reason: str
    """Empty while connected; else what is wrong and what to do."""
    redis_password_since: str | None = None
    """When the file was written whose password Redis accepted from the answering node; null where it stands in none."""
    redis_password_mark: str | None = None
    """The same on two nodes that use the same Redis password, so that a change can be followed; it tells nothing of it
    without the cluster key. null where the password stands in no file, or without a cluster key."""
    safety_level: str
    """`single`, `replicated` or `voted`: see docs/safety-levels.md."""


class DatabaseView(RedisView, frozen=True, kw_only=True):
    """The same, with how the answering node stands with the database."""

    database_connected: bool | None = None
    """Each of its processes can work with the database: it answers in time, has the tables of this release, takes
    writes and has room. null: not looked yet."""
    database_reason: str = ""
    """Empty while connected; else what is wrong, and what goes on meanwhile."""
    database_latency_ms: int | None = None
    """How long the last look at it took, in the slowest process; null where it was not answered."""
    database_errors: int = 0
    """Calls that failed, in all processes of the node that run now, since each began."""


class ClusterCommon(DatabaseView, frozen=True, kw_only=True):
    """What every answer about the cluster holds."""

    node: str = field(name="answeredBy")
    role: Role
    """The answering node's own."""
    time: str
    store_clock_offset_ms: int | None = None
    warnings: tuple[str, ...] = ()
    virtual_ip: str | None = None
    """The address that follows leadership (`cluster.virtualIp`); null where there is none."""
    virtual_ip_here: bool = False
    """Whether it is on the answering node's host."""
    dns_name: NameView | None = None
    """The name in DNS that follows the leader (`dns.name`); null where there is none."""
    refused: dict[str, int] = field(name="membersRefused", default_factory=dict)
    """What the answering node refused on its member link since it started, by reason (`foreign`, `forged`, ...)."""
    findings: tuple[Finding, ...] = ()
    """What the answering node found about the live Redis and its own disks in the last minute."""
    certificates: tuple[CertificateView, ...] = ()
    """For monitoring: when each certificate of the answering node ends, and of the Redis that it is connected to."""
    note: NoteView | None = None
    note_reason: str = ""
    """Empty while the note could be read; else why not."""


class ClusterHealth(ClusterCommon, frozen=True, kw_only=True):
    """`GET /system/health/cluster`."""

    members: tuple[MemberView, ...] = field(name="nodes", default=())

    def member(self, name: str) -> MemberView | None:
        """The member of that name, if it is listed."""
        return next((one for one in self.members if one.node == name), None)


class MemberSummary(Value, frozen=True):
    """One node, for people who do not look after the cluster."""

    schema_name: ClassVar[str] = "NodeSummary"
    node: str = field(name="nodeName")
    status: MemberStatus


class ClusterSummary(Value, frozen=True, kw_only=True):
    """`GET /system/health/cluster`, for people who do not look after the cluster."""

    healthy: bool = field(name="clusterHealthy")
    redis_connected: bool
    quorum_met: bool
    leader: str | None = field(name="leaderNode")
    members: tuple[MemberSummary, ...] = field(name="nodes")


class ClusterStatus(ClusterCommon, frozen=True, kw_only=True):
    """`GET /api/v1/admin/cluster/status`: the product's shape, and all that `/system/health/cluster` tells."""

    status: str
    """`healthy`; `degraded`: led, but something is wrong; `unavailable`: no leader."""
    leader_node_id: str | None
    members: tuple[AdminMemberView, ...] = field(name="nodes")
    quorum: bool
    redis_status: str
    """`connected`, `disconnected` or `disabled`."""


class ClusterSnapshot(ClusterHealth, frozen=True, kw_only=True):
    """The health as the processes of one node share it, with what only they need.

    ``role`` is what the node held when the snapshot was taken; for acting ask ``may_lead()``.
    """

    redis_enabled: bool
    ready: bool
    """Can serve authenticated requests: not draining, not in maintenance."""
    worker_redis_connected: bool | None = None
    """Whether the process that answers has its own connection to Redis, which is not leadership's; ``None`` where it
    needs none, and in what the control process shows."""
    rooms: tuple[DiskRoom, ...] = ()
    """What is left on the disks that this node writes to."""
    keeps_promises: bool | None = None
    """Whether its disk takes promises; ``None`` where members do not vote."""
    gauges: tuple[GaugeView, ...] = ()
    """Numbers of features."""
    knows_vault_key: bool = False
    """Whether this node has looked which master key the vault needs."""

    def __post_init__(self) -> None:
        healthy = (
            self.leader is not None
            and self.quorum_met
            and (self.redis_connected or not self.redis_enabled)
            and self.database_connected is not False
            and not any(is_grave(one) for one in self.findings)
            and all(member.status in FINE and member.database_connected is not False for member in self.members)
        )
        msgspec.structs.force_setattr(self, "healthy", healthy)


class NodeReport(msgspec.Struct, frozen=True):
    """What a node says of itself when another node asks it over the member link.

    Short on purpose: what cannot be learned of a node by its heartbeats, or not so that it can be relied on.
    """

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
    paused: bool
    url: str
    """Where its REST API answers."""
    warnings: tuple[str, ...] = ()
    """What it should tell an administrator and nobody else can; a node of the release before tells none."""


WARNINGS_MAX, WARNING_CHARS_MAX = 20, 600
"""Of a report, which has to fit into one answer."""


def report_of(seen: ClusterSnapshot) -> NodeReport:
    """Make the report of the node that ``seen`` is of."""
    own = seen.member(seen.node)
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
        tuple(one[:WARNING_CHARS_MAX] for one in seen.warnings[:WARNINGS_MAX]),
    )


from_text: Final = msgspec.json.Decoder(ClusterSnapshot).decode
"""Read a snapshot from a text. Raises msgspec.DecodeError, which is a ValueError."""


def to_text(value: Value) -> bytes:
    """Write one line of JSON. Half a character, which others may write into Redis, becomes a question mark."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), ensure_ascii=False).encode(errors="replace")


def text_within(snapshot: ClusterSnapshot, bytes_max: int) -> bytes:
    """As ``to_text``; where that is too long, of fewer members, with a warning that says so.

    This node, the leader and voters go first, then members that are not well, so that health does not look better than
    it is. Longer than ``bytes_max`` only where no list of members would fit.
    """
    text = to_text(snapshot)
    if len(text) <= bytes_max:
        return text
    known = {snapshot.node, snapshot.leader, *(line.voter for line in snapshot.votes)}
    ranked = sorted(snapshot.members, key=lambda one: (one.node not in known, one.status in FINE, one.node))
    count = min(len(ranked), sum(one.node in known for one in ranked) + OTHERS_MAX)
    while len(text) > bytes_max and count:
        shown = tuple(sorted(ranked[:count], key=lambda one: one.node))
        told = (
            f"{len(ranked)} nodes are seen, more than can be shown, so {count} are listed. Where some are none of your "
            "nodes, look who writes under this cluster's keys in Redis"
        )
        text = to_text(msgspec.structs.replace(snapshot, members=shown, warnings=(*snapshot.warnings, told)))
        count //= 2
    return text
