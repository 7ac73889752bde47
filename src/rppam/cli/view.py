"""What one node says of the cluster: the body of ``GET /system/health/cluster``, as far as watching needs it.

Tolerant on purpose: a field that is missing or of another type reads as "not known", because a screen that dies on an
unexpected answer is no help in an outage. And careful: what a node says is shown on a terminal, so texts are cut to a
sensible length, and characters that would steer the terminal are escaped.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from rppam.kernel.logging import one_line

LEADER = "leader"
HEALTHY = "healthy"
UNKNOWN = "unknown"
MAINTENANCE = "maintenance"
FINE: Final = frozenset((HEALTHY, MAINTENANCE))
TEXT_CHARS_MAX: Final = 1_000
NUMBER_MAX: Final = 2**53


class PeerView(NamedTuple):
    """One member as the answering node sees it."""

    name: str
    role: str
    status: str
    heartbeat_age_ms: int | None
    """How long ago the answering node saw its last heartbeat, or ``None``."""
    redis_connected: bool | None
    url: str
    epoch: int | None
    settings_revision: int | None = None
    """How many changes of settings it obeys, or ``None``."""
    address_proven: bool = False
    """Whether the answering node has proven that it is at ``url``; an older one does not tell."""


class VoteLine(NamedTuple):
    """One voter as the answering node sees it."""

    voter: str
    kind: str
    votes: int
    promised_to: str | None
    promised_ms: int | None
    counted: bool
    reason: str


class FindingLine(NamedTuple):
    """One finding of the answering node about Redis."""

    code: str
    severity: str
    what: str
    fix: str
    """Its first line."""
    evidence: str = ""


class View(NamedTuple):
    """The cluster as one node sees it."""

    node: str
    leader: str | None
    epoch: int
    healthy: bool
    quorum_met: bool
    redis_connected: bool
    redis_reason: str
    peers: tuple[PeerView, ...]
    safety_level: str = ""
    quorum_reason: str = ""
    note: str = ""
    warnings: tuple[str, ...] = ()
    cluster_id: str = ""
    no_leader_reason: str = ""
    quorum_policy: str = ""
    votes: tuple[VoteLine, ...] = ()
    electorate_version: str = ""
    pending_change: str = ""
    paused_by: str | None = None
    """Who paused automatic failover; ``None`` while it is not paused."""
    findings: tuple[FindingLine, ...] = ()
    virtual_ip: str = ""
    virtual_ip_here: bool = False
    """Whether it is on the answering node's host."""

    def peer(self, name: str) -> PeerView | None:
        """The member of that name, or ``None``."""
        return next((peer for peer in self.peers if peer.name == name), None)

    @property
    def role(self) -> str:
        """The answering node's own role, empty when it does not list itself."""
        own = self.peer(self.node)
        return own.role if own else ""


def _text(value: object) -> str:
    return one_line(value[:TEXT_CHARS_MAX]) if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= NUMBER_MAX else None


def _peer(entry: Mapping[str, object]) -> PeerView:
    connected = entry.get("redisConnected")
    return PeerView(
        name=_text(entry.get("nodeName")),
        role=_text(entry.get("role")),
        status=_text(entry.get("status")) or UNKNOWN,
        heartbeat_age_ms=_number(entry.get("heartbeatAgeMs")),
        redis_connected=connected if isinstance(connected, bool) else None,
        url=_text(entry.get("url")),
        epoch=_number(entry.get("epoch")),
        settings_revision=_number(entry.get("settingsRevision")),
        address_proven=entry.get("addressProven") is True,
    )


def _vote(entry: Mapping[str, object]) -> VoteLine:
    promised_to = entry.get("promisedTo")
    return VoteLine(
        voter=_text(entry.get("voter")),
        kind=_text(entry.get("kind")),
        votes=_number(entry.get("votes")) or 0,
        promised_to=_text(promised_to) if isinstance(promised_to, str) else None,
        promised_ms=_number(entry.get("promisedMs")),
        counted=entry.get("counted") is True,
        reason=_text(entry.get("reason")),
    )


def _finding(entry: Mapping[str, object]) -> FindingLine:
    fix = entry.get("fix")
    return FindingLine(
        code=_text(entry.get("code")),
        severity=_text(entry.get("severity")),
        what=_text(entry.get("what")),
        fix=_text(fix.split("\n", 1)[0]) if isinstance(fix, str) else "",
        evidence=_text(entry.get("evidence")),
    )


def parse_view(body: object, node: str = "") -> View | None:
    """The view in a JSON body; ``node`` names who answered where the body does not. ``None`` when it is not one."""
    if not isinstance(body, Mapping) or not isinstance(body.get("clusterHealthy"), bool):
        return None
    entries = body.get("nodes")
    warnings = body.get("warnings")
    note, votes, findings = body.get("note"), body.get("votes"), body.get("findings")
    return View(
        node=node or _text(body.get("answeredBy")),
        leader=_text(body.get("leaderNode")) or None,
        epoch=_number(body.get("epoch")) or 0,
        healthy=body["clusterHealthy"],
        quorum_met=body.get("quorumMet") is True,
        redis_connected=body.get("redisConnected") is True,
        redis_reason=_text(body.get("redisReason")),
        peers=tuple(_peer(entry) for entry in entries if isinstance(entry, Mapping))
        if isinstance(entries, list)
        else (),
        safety_level=_text(body.get("safetyLevel")),
        quorum_reason=_text(body.get("quorumReason")),
        note=_text(note.get("text")) if isinstance(note, Mapping) else "",
        cluster_id=_text(body.get("clusterId")),
        no_leader_reason=_text(body.get("noLeaderReason")),
        quorum_policy=_text(body.get("quorumPolicy")),
        votes=tuple(_vote(entry) for entry in votes if isinstance(entry, Mapping)) if isinstance(votes, list) else (),
        electorate_version=_text(body.get("electorateVersion")),
        pending_change=_text(body.get("pendingChange")),
        paused_by=_text(body.get("pausedBy")) if body.get("paused") is True else None,
        virtual_ip=_text(body.get("virtualIp")),
        virtual_ip_here=body.get("virtualIpHere") is True,
        findings=tuple(_finding(entry) for entry in findings if isinstance(entry, Mapping))
        if isinstance(findings, list)
        else (),
        warnings=tuple(_text(item) for item in warnings if isinstance(item, str)) if isinstance(warnings, list) else (),
    )
