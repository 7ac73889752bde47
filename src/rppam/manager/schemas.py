"""The JSON of the REST API: what requests may hold and what answers look like. Names are the product's camelCase.

What the product's page shows keeps its names exactly; what it does not show is ours (docs/reference/rest.md).
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.consensus.membership import MEMBERS_MAX
from rppam.cluster.health.model import VoterKind
from rppam.kernel.finding import Severity
from rppam.manager.note_model import NOTE_CHARS_MAX

PASSWORD_CHARS_MAX = 1024
NODE_NAME = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"


class Shape(BaseModel):
    """Base of all: the product's names, nothing unknown, nothing changed."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )


Flag = Annotated[bool, Field(strict=True)]
"""In a body: true or false, and no other word for it."""


class NoteRequest(Shape):
    """The new operator note. An empty text clears it."""

    text: Annotated[str, Field(max_length=NOTE_CHARS_MAX)]


class NewNodeRequest(Shape):
    """A node that is to join."""

    node_name: Annotated[str, Field(pattern=NODE_NAME)]
    """Its future `node.nodeName`: 1 to 63 of a-z, 0-9 and -, no - at either end."""


class NewNodeAnswer(Shape):
    """The node may join; nothing was changed yet."""

    node_name: str
    seats_free: int
    """Licence seats left once it has joined."""
    next: list[str]
    """What to run, in order: on this host, then on the new one."""


NodeName = Annotated[str, Field(pattern=NODE_NAME)]


class SwitchoverRequest(Shape):
    """Which node shall lead."""

    target: NodeName | None = None
    """Left out: the first in the order of succession (`cluster.priority`)."""


class MaintenanceRequest(Shape):
    """Whether the node is in maintenance."""

    maintenance: Flag


class PauseRequest(Shape):
    """Whether automatic failover is paused."""

    paused: Flag


class ForgetRequest(Shape):
    """Which members to remove."""

    members: Annotated[list[NodeName], Field(min_length=1, max_length=MEMBERS_MAX)]
    """One, unless `force` is set."""
    is_off: Annotated[bool, Field(alias="off", strict=True)] = False
    """You state that the member is switched off for good."""
    force: Flag = False
    """Remove them at the asked node by your word alone: a majority is lost for good."""
    back: Annotated[list[NodeName], Field(max_length=MEMBERS_MAX)] = []  # the library copies it
    """With `force`: nodes that are members again, where a list of members was taken over that nobody made."""
    back_witnesses: Annotated[list[NodeName], Field(alias="backWitnesses", max_length=MEMBERS_MAX)] = []
    """With `force`: witnesses that are members again."""


class OrderTaken(Shape):
    """An order that was taken."""

    said: str
    """What was begun, in one sentence."""
    node: str
    """Which node took it."""


class NodeTold(Shape):
    """What became of an order at another node."""

    node: str
    told: bool
    said: str
    """What it has begun, or why it was not told."""
    code: str | None
    """Of the error, where it was not told."""


class PauseTaken(OrderTaken):
    """A pause that was taken, and who else took it."""

    others: list[NodeTold]
    """Every other node; who was not told hears of it through Redis."""


class NodeReportShape(Shape):
    """What one node says of itself; null where it gave no answer."""

    node_name: str
    answered: bool
    reason: str
    """Why there is no answer; empty where there is one."""
    version: str | None = None
    role: Role | None = None
    leader_node: str | None = None
    """Who leads, as this node sees it."""
    epoch: int | None = None
    cluster_healthy: bool | None = None
    redis_connected: bool | None = None
    redis_password_mark: str | None = None
    """The same on two nodes that use the same Redis password. null: it stands in no file, or there is no cluster
    key."""
    paused: bool | None = None
    url: str | None = None
    """Where its REST API answers, as it says itself."""


class NodeReports(Shape):
    """What every node says of itself, asked over the member link."""

    answered_by: str
    nodes: list[NodeReportShape]


class HistoryEntryShape(Shape):
    """One thing that happened."""

    time: str
    """By the clock of the answering node, to the millisecond."""
    event: str
    """`elected`, `stepped-down`, `leader`, `no-leader`, `store-lost`, `member`, `order`, `control-ended`, ..."""
    sentence: str
    """For people; may be worded anew in another release."""
    facts: dict[str, str | int | bool | None]
    """For scripts: `epoch`, `leader`, `member`, `status`, `withoutLeaderMs`, `awayMs`, `by`, ..."""


class ClusterHistory(Shape):
    """What the answering node noted of leadership, the store, the members and its own processes."""

    node: str
    """The answering node; the others noted what they saw."""
    entries: list[HistoryEntryShape]
    """In the order in which they were noted, the newest last."""
    unreadable: int
    """Lines of the file that are no entries."""


class NoteShape(Shape):
    """The operator note."""

    text: str
    author: str | None
    epoch: int | None
    """The leadership under which it was written."""
    node: str | None
    written_at: str | None
    """By the database's clock."""


class NoteWritten(Shape):
    """A note that was accepted under the leader's fence."""

    text: str
    author: str
    epoch: int
    node: str


class NodeShape(Shape):
    """One node as the answering node sees it."""

    node_name: str
    hostname: str
    role: Role
    status: MemberStatus
    last_heartbeat: str | None
    """When the answering node last saw a new heartbeat of it; ISO 8601, UTC."""
    heartbeat_age_ms: int | None
    redis_connected: bool
    epoch: int
    version: str
    url: str
    loop_lag_ms: int
    settings_revision: int | None
    """How many changes of settings, of all that there ever were, each of its processes obeys; the same number on all
    nodes means the same settings. null: not known, or a witness."""
    address_proven: bool
    """Whether this node said `url` itself, on the member link that stands, on which each proves who it is; of itself
    the answering node knows. An address that is not proven stands in Redis alone: send no token there."""


class AdminNodeShape(NodeShape):
    """As :class:`NodeShape`, with the product's name for the node's id."""

    node_id: str


class VoteShape(Shape):
    """One line of the vote ledger, as the answering node knows it; ask the leader for the most."""

    voter: str
    """A node's name; `redis` for the leadership record in Redis."""
    kind: VoterKind
    votes: int
    promised_to: str | None
    """Whom it supports now; null when nobody, or not known."""
    promised_ms: int | None
    """For how long still, 0 when it supports nobody; null when not known."""
    reached: bool
    counted: bool
    """On the leader: its promise carries the leadership. Elsewhere: its vote could be won."""
    reason: str
    """Empty when counted; else why not."""


class FindingShape(Shape):
    """One thing that is wrong with Redis, or worth knowing: see docs/reference/doctor.md."""

    code: str
    """Such as `RD-303`; never changes its meaning."""
    severity: Severity
    what: str
    evidence: str
    """What was seen, as it was seen."""
    fix: str
    """What to do: the first line for all platforms, then one line for each."""


class CertificateShape(Shape):
    """A certificate that the answering node depends on."""

    certificate: str
    """`api`, `redis client`, `redis authority`, or `redis server` with its address (sentinels as well)."""
    expires_at: str
    days_left: int
    """Whole days; negative once it is over. From 30 on there is a warning."""


class _ClusterCommon(Shape):
    cluster_id: str
    leader_node: str | None
    """Name of the leader; null when there is none or it is not known."""
    epoch: int
    cluster_healthy: bool
    """A leader, quorum, Redis, and every registered node healthy or in maintenance."""
    no_leader_reason: str
    """Empty while there is a leader; else why there is none and what to do."""
    quorum_met: bool
    """The answering node sees promises, or reaches voters, worth more than half of all votes."""
    quorum_reason: str
    """Empty when met; else how many votes are missing and whose."""
    quorum_policy: str | None
    """`last-man-standing` or `majority`; null where members do not vote and the Redis record alone decides."""
    votes: list[VoteShape]
    """The vote ledger; empty where members do not vote."""
    electorate_version: str
    """Orders the lists of members: the leader's epoch and a step."""
    pending_change: str
    """Empty, or which change of the members is under way and what it waits for."""
    paused: bool
    """Automatic failover is paused."""
    paused_by: str
    paused_since: str | None
    redis_connected: bool
    redis_reason: str
    """Empty while connected; else what is wrong and what to do."""
    redis_password_since: str | None
    """When the file was written whose password Redis accepted from the answering node; null where it stands in none."""
    redis_password_mark: str | None
    """The same on two nodes that use the same Redis password, so that a change can be followed; it tells nothing of it
    without the cluster key. null where the password stands in no file, or without a cluster key."""
    safety_level: str
    """`single`, `replicated` or `voted`: see docs/safety-levels.md."""
    answered_by: str
    role: Role
    """The answering node's own."""
    time: str
    store_clock_offset_ms: int | None
    warnings: list[str]
    virtual_ip: str | None
    """The address that follows leadership (`cluster.virtualIp`); null where there is none."""
    virtual_ip_here: bool
    """Whether it is on the answering node's host."""
    members_refused: dict[str, int]
    """What the answering node refused on its member link since it started, by reason (`foreign`, `forged`, ...)."""
    findings: list[FindingShape]
    """What the answering node found about the live Redis and its own disks in the last minute."""
    certificates: list[CertificateShape]
    """For monitoring: when each certificate of the answering node ends, and of the Redis that it is connected to."""
    note: NoteShape | None
    note_reason: str
    """Empty while the note could be read; else why not."""


class ClusterHealth(_ClusterCommon):
    """`GET /system/health/cluster`."""

    nodes: list[NodeShape]


class ClusterStatus(_ClusterCommon):
    """`GET /api/v1/admin/cluster/status`: the product's shape, and all that `/system/health/cluster` tells."""

    status: str
    """`healthy`; `degraded`: led, but something is wrong; `unavailable`: no leader."""
    leader_node_id: str | None
    nodes: list[AdminNodeShape]
    quorum: bool
    redis_status: str
    """`connected`, `disconnected` or `disabled`."""


class JsonWebKey(Shape):
    """A public key (RFC 7517)."""

    model_config = ConfigDict(extra="allow")

    kty: str
    kid: str
    alg: str
    use: str


class JsonWebKeySet(Shape):
    """The public keys that verify this cluster's tokens."""

    keys: list[JsonWebKey]
