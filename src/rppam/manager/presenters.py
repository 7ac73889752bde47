"""One snapshot, two views: what the product calls the cluster's health, and its status for administrators."""

from typing import Any

from rppam.cluster.health.model import ClusterSnapshot, MemberView, VoteView
from rppam.crypto.certificate_expiry import CertificateEnd, days_left
from rppam.http.times import iso_utc
from rppam.kernel.instant import WallMs
from rppam.manager.note_model import Note
from rppam.manager.schemas import (
    AdminNodeShape,
    CertificateShape,
    ClusterHealth,
    ClusterStatus,
    FindingShape,
    NodeShape,
    NoteShape,
    VoteShape,
)

EMPTY_NOTE = NoteShape(text="", author=None, epoch=None, node=None, written_at=None)


def cluster_health(snapshot: ClusterSnapshot, note: Note | None, note_reason: str) -> ClusterHealth:
    """The view for everybody who may sign in."""
    nodes = [NodeShape(**_node(member, snapshot.taken_at)) for member in snapshot.members]
    return ClusterHealth(nodes=nodes, **_common(snapshot, note, note_reason))


def cluster_status(snapshot: ClusterSnapshot, note: Note | None, note_reason: str) -> ClusterStatus:
    """The view for administrators."""
    nodes = [AdminNodeShape(node_id=member.node, **_node(member, snapshot.taken_at)) for member in snapshot.members]
    return ClusterStatus(
        status=_overall(snapshot),
        leader_node_id=snapshot.leader,
        nodes=nodes,
        quorum=snapshot.quorum_met,
        redis_status=_redis_status(snapshot),
        **_common(snapshot, note, note_reason),
    )


def note_shape(note: Note | None) -> NoteShape:
    """The note, or an empty one when none was ever written."""
    if note is None:
        return EMPTY_NOTE
    return NoteShape(
        text=note.text, author=note.author, epoch=note.epoch, node=note.node, written_at=iso_utc(note.written_at)
    )


def _common(snapshot: ClusterSnapshot, note: Note | None, note_reason: str) -> dict[str, Any]:
    return {
        "cluster_id": snapshot.cluster_id,
        "leader_node": snapshot.leader,
        "epoch": snapshot.epoch,
        "cluster_healthy": snapshot.healthy,
        "no_leader_reason": snapshot.no_leader_reason,
        "quorum_met": snapshot.quorum_met,
        "quorum_reason": snapshot.quorum_reason,
        "quorum_policy": snapshot.quorum_policy.value if snapshot.quorum_policy is not None else None,
        "votes": [_vote(line) for line in snapshot.votes],
        "electorate_version": snapshot.electorate_version,
        "pending_change": snapshot.pending_change,
        "paused": snapshot.paused,
        "paused_by": snapshot.paused_by,
        "paused_since": iso_utc(snapshot.paused_since) if snapshot.paused_since is not None else None,
        "redis_connected": snapshot.redis_connected,
        "redis_reason": snapshot.redis_reason,
        "redis_password_since": iso_utc(snapshot.redis_password_since)
        if snapshot.redis_password_since is not None
        else None,
        "redis_password_mark": snapshot.redis_password_mark,
        "safety_level": snapshot.safety_level.value,
        "answered_by": snapshot.node,
        "role": snapshot.role,
        "time": iso_utc(snapshot.taken_at),
        "store_clock_offset_ms": snapshot.store_clock_offset_ms,
        "warnings": list(snapshot.warnings),
        "virtual_ip": snapshot.virtual_ip or None,
        "virtual_ip_here": snapshot.virtual_ip_here,
        "members_refused": {one.reason: one.times for one in snapshot.refused},
        "findings": [FindingShape(**one._asdict()) for one in snapshot.findings],
        "certificates": [_certificate(one, snapshot.taken_at) for one in snapshot.certificates],
        "note": note_shape(note) if note is not None else None,
        "note_reason": note_reason,
    }


def _node(member: MemberView, now: WallMs) -> dict[str, Any]:
    seen = member.last_heartbeat
    return {
        "node_name": member.node,
        "hostname": member.hostname,
        "role": member.role,
        "status": member.status,
        "last_heartbeat": iso_utc(seen) if seen is not None else None,
        # A wall clock that was set back meanwhile must not show a heartbeat from the future.
        "heartbeat_age_ms": max(0, now - seen) if seen is not None else None,
        "redis_connected": member.redis_connected,
        "epoch": member.epoch,
        "version": member.version,
        "url": member.api_url,
        "loop_lag_ms": member.loop_lag_ms,
        "settings_revision": member.settings_revision,
        "address_proven": member.is_at_url,
    }


def _certificate(end: CertificateEnd, now: WallMs) -> CertificateShape:
    return CertificateShape(
        certificate=end.certificate, expires_at=iso_utc(end.not_after), days_left=days_left(end.not_after, now)
    )


def _vote(line: VoteView) -> VoteShape:
    return VoteShape(
        voter=line.voter,
        kind=line.kind,
        votes=line.votes,
        promised_to=line.promised_to or None,
        promised_ms=line.promised_ms,
        reached=line.is_reached,
        counted=line.is_counted,
        reason=line.reason,
    )


def _overall(snapshot: ClusterSnapshot) -> str:
    if snapshot.healthy:
        return "healthy"
    return "unavailable" if snapshot.leader is None else "degraded"


def _redis_status(snapshot: ClusterSnapshot) -> str:
    if not snapshot.redis_enabled:
        return "disabled"
    return "connected" if snapshot.redis_connected else "disconnected"
